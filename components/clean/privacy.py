"""Mask e-mail addresses and telephone numbers.

A number is a telephone number only in the groupings that Japanese and North American numbers have,
or behind a word that says so: dates, postal codes, prices, years and ISBNs have others.
"""

import re
from typing import NamedTuple

import polars as pl

EMAIL_MASK = "<email>"
PHONE_MASK = "<phone>"

# No look-around: Polars finds the few texts worth a closer look with these.
_MAYBE_EMAIL = r"[@＠]|(?i)\[at\]|\(at\)|☆|★"
_MAYBE_PHONE = r"[0-9]{2,4}[)）]?[-‐‑–−ー― .(（]{0,2}[0-9]{3,4}|\+[0-9]{1,3}[- ]"

_EMAIL = re.compile(
    r"(?<![\w.+-])[A-Za-z0-9][\w.+-]{0,63}\s?(?:[@＠]|\[at\]|\(at\)|☆|★)\s?"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}(?![A-Za-z0-9])",
    re.ASCII | re.IGNORECASE,
)
_D = "[-‐‑–−ー―]"  # what people type for a hyphen
_GAP = rf"(?:{_D}| )"
_PHONE = re.compile(
    r"(?<![0-9A-Za-z.,/:_-])(?:"
    rf"(?:\+81{_GAP}?(?:\(0\))?|\(?0)(?:"
    # Landline: 10 digits with the leading 0; the area code takes 2 to 5 of them.
    rf"[1-9]\)?{_GAP}?[(（]?[0-9]{{4}}[)）]?{_D}[0-9]{{4}}"
    rf"|[1-9][0-9]\)?{_GAP}?[(（]?[0-9]{{3}}[)）]?{_D}[0-9]{{4}}"
    rf"|[1-9][0-9]{{2}}\)?{_GAP}?[(（]?[0-9]{{2}}[)）]?{_D}[0-9]{{4}}"
    rf"|[1-9][0-9]{{3}}\)?{_GAP}?[(（]?[0-9][)）]?{_D}[0-9]{{4}}"
    # Mobile and IP telephony: 11 digits. Free and shared-cost numbers.
    rf"|[5789]0\)?{_GAP}?[0-9]{{4}}{_GAP}?[0-9]{{4}}"
    rf"|120{_GAP}[0-9]{{3}}{_GAP}[0-9]{{3}}|120{_GAP}[0-9]{{2}}{_GAP}[0-9]{{4}}"
    rf"|(?:800|570|990){_GAP}[0-9]{{3}}{_GAP}[0-9]{{3,4}}"
    r")"
    rf"|(?:\+1{_GAP})?(?:\([2-9][0-9]{{2}}\) ?|[2-9][0-9]{{2}}-)[2-9][0-9]{{2}}-[0-9]{{4}}"
    rf"|\+[1-9][0-9]{{0,2}}(?:{_GAP}[0-9]{{1,4}}){{2,4}}"
    rf")(?!{_D}?[0-9]|[A-Za-z])"
)
_LABELLED = re.compile(
    r"((?:電話(?:番号)?|(?<![A-Za-z])(?:TEL|Tel|tel|FAX|Fax|fax|Phone|phone|ファックス))\s?[:：.]?\s?)"
    r"(0[0-9]{9,10})(?![0-9])"
)


class Masked(NamedTuple):
    """Texts without personal data, and how often something was masked."""

    texts: pl.Series
    emails: int
    phones: int


def mask(texts: pl.Series) -> Masked:
    """Replace every e-mail address by <email> and every telephone number by <phone>."""
    result = texts.to_list()
    emails = phones = 0
    for index in texts.str.contains(_MAYBE_EMAIL).arg_true():
        result[index], count = _EMAIL.subn(EMAIL_MASK, result[index])
        emails += count
    for index in texts.str.contains(_MAYBE_PHONE).arg_true():
        result[index], grouped = _PHONE.subn(PHONE_MASK, result[index])
        result[index], labelled = _LABELLED.subn(rf"\g<1>{PHONE_MASK}", result[index])
        phones += grouped + labelled
    return Masked(pl.Series(result, dtype=pl.String), emails, phones)
