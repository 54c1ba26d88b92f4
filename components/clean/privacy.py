"""Mask what tells who and where a person is: addresses by mail and post, numbers of phones, cards and people.

A number is masked only where its form or a check digit says what it is: dates, prices, years, ISBNs and
postal codes have other groupings. docs/cleaning.md lists what is masked and what stays.
"""

import re
from collections import Counter

from components.clean.scan import ADDRESS, EMAIL, NUMBER

MASKS = {kind: f"<{kind}>" for kind in ("email", "phone", "address", "card", "mynumber")}

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
    rf"|\+(?=[0-9](?:{_GAP}?[0-9]){{7}})[1-9][0-9]{{0,2}}(?:{_GAP}[0-9]{{1,4}}){{2,4}}"
    rf")(?!{_D}?[0-9]|[A-Za-z])"
)
_LABELLED = re.compile(
    r"((?:電話(?:番号)?|(?<![A-Za-z])(?:TEL|Tel|tel|FAX|Fax|fax|Phone|phone|ファックス))\s?[:：.]?\s?)"
    r"(0[0-9]{9,10})(?![0-9])"
)

_PREFECTURE = (
    "(?:北海道|東京都|大阪府|京都府|(?:青森|岩手|宮城|秋田|山形|福島|茨城|栃木|群馬|埼玉|千葉|神奈川|新潟|富山|石川|福井|山梨|長野|岐阜|静岡|"
    "愛知|三重|滋賀|兵庫|奈良|和歌山|鳥取|島根|岡山|広島|山口|徳島|香川|愛媛|高知|福岡|佐賀|長崎|熊本|大分|宮崎|鹿児島|沖縄)県)"
)
# Towns may have hiragana in their names (さいたま市), but not the particles that end a noun in prose.
_MUNICIPALITY = r"(?:[^\s、。，,：:（()）0-9「」はがをにでともの]{1,8}[市区郡町村]){1,3}"
_TOWN = r"[^\s、。，,：:（()）0-9「」ぁ-ん]{0,14}(?:の[^\s、。，,：:（()）0-9「」ぁ-ん]{1,6})?"
_N = r"(?:[0-9]{1,4}|[一二三四五六七八九十]{1,3})"
_JOINT = rf"(?:丁目|番地の?|番町?|号|{_D}|の)"
_HOUSE = (
    rf"(?:{_N}{_JOINT}(?:{_N}{_JOINT}){{0,2}}{_N}(?:番地|番|号)?|{_N}番地)"
    rf"(?![0-9年月日%％人点円万億億回話巻章節台本枚]|対|キロ|メートル|{_D}[0-9])"
)
_BUILDING = r"(?: ?[^\s、。，,：:（()）「」]{1,16}(?:ビル|マンション|ハイツ|コーポ|アパート|荘|ハウス|タワー)(?: ?[0-9]{1,4}(?:号室|階|F)?)?)?"
_POSTAL_CODE = rf"〒 ?[0-9]{{3}}{_D}?[0-9]{{4}}"
_ADDRESS = re.compile(
    rf"{_POSTAL_CODE}\s?(?:{_PREFECTURE}(?:{_MUNICIPALITY}{_TOWN})?(?:{_HOUSE})?|{_MUNICIPALITY}{_TOWN}{_HOUSE}){_BUILDING}"
    rf"|{_PREFECTURE}{_MUNICIPALITY}{_TOWN}{_HOUSE}{_BUILDING}"
    rf"|(?<=住所)(?P<label>\s?[:：]?\s?){_MUNICIPALITY}{_TOWN}{_HOUSE}{_BUILDING}"
)

# Groups as they are embossed: 4-4-4-4; 4-6-5 (American Express); 4-6-4 (Diners).
_CARD = re.compile(
    r"(?<![0-9A-Za-z.-])(?:[0-9]{4}([- ]?)[0-9]{4}\1[0-9]{4}\1[0-9]{4}|3[47][0-9]{2}([- ]?)[0-9]{6}\2[0-9]{5}"
    r"|3[0689][0-9]{2}([- ]?)[0-9]{6}\3[0-9]{4})(?![0-9A-Za-z]|[.-][0-9])"
)
_MY_NUMBER = re.compile(r"(?<![0-9A-Za-z.-])[0-9]{4}([- ]?)[0-9]{4}\1[0-9]{4}(?![0-9A-Za-z]|[ .-][0-9])")
_MY_NUMBER_WORD = re.compile("マイナンバー|個人番号|my ?number", re.IGNORECASE)
_WORD_REACH = 20  # characters between the word and the number


def masked_line(line: str, suspected: int) -> tuple[str, Counter[str]]:
    """The line with personal data masked, and how often by kind; suspected: bits of `suspicious_lines`."""
    counts: Counter[str] = Counter()
    if suspected & EMAIL:
        line, counts["email"] = _EMAIL.subn(MASKS["email"], line)
    if suspected & NUMBER:
        line, counts["card"] = _replaced(line, _CARD, "card", lambda found: is_card_number(found.group()))
        line, counts["mynumber"] = _replaced(line, _MY_NUMBER, "mynumber", _is_my_number)
        line, grouped = _PHONE.subn(MASKS["phone"], line)
        line, labelled = _LABELLED.subn(rf"\g<1>{MASKS['phone']}", line)
        counts["phone"] = grouped + labelled
    if suspected & ADDRESS:
        line, counts["address"] = _ADDRESS.subn(_address_mask, line)
    return line, counts


def _address_mask(found: re.Match[str]) -> str:
    return (found["label"] or "") + MASKS["address"]


def _replaced(line: str, pattern: re.Pattern[str], kind: str, holds) -> tuple[str, int]:  # type: ignore[no-untyped-def]
    """The line with those matches masked for which `holds`, and their number."""
    count = 0

    def mask(found: re.Match[str]) -> str:
        nonlocal count
        if not holds(found):
            return found.group()
        count += 1
        return MASKS[kind]

    return pattern.sub(mask, line), count


def is_card_number(text: str) -> bool:
    """Whether the digits begin like a card of a known network and end in Luhn's check digit (ISO/IEC 7812)."""
    digits = [int(char) for char in text if char.isdigit()]
    doubled = [d if i % 2 == 0 else d * 2 - 9 * (d > 4) for i, d in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0 and _has_network(digits)


def _has_network(digits: list[int]) -> bool:
    four = int("".join(map(str, digits[:4])))
    if len(digits) == 16:  # Visa, Mastercard, JCB, Discover
        ranges = ((4000, 4999), (5100, 5599), (2221, 2720), (3528, 3589), (6011, 6011), (6440, 6599))
    elif len(digits) == 15:  # American Express
        ranges = ((3400, 3499), (3700, 3799))
    else:  # Diners Club
        ranges = ((3000, 3059), (3600, 3699), (3800, 3999))
    return any(first <= four <= last for first, last in ranges)


def is_my_number(text: str) -> bool:
    """Whether 12 digits end in the check digit of an individual number (MIC ordinance 85 of 2014, article 5)."""
    *digits, check = (int(char) for char in text if char.isdigit())
    # From the right, without the check digit: weights 2 to 7, then 2 to 6.
    remainder = sum(d * (i + 2 if i < 6 else i - 4) for i, d in enumerate(reversed(digits))) % 11
    return check == (0 if remainder <= 1 else 11 - remainder)


def _is_my_number(found: re.Match[str]) -> bool:
    """The check digit alone fits every eleventh number: a word before it or the grouping must agree."""
    if not is_my_number(found.group()):
        return False
    if _MY_NUMBER_WORD.search(found.string, max(0, found.start() - _WORD_REACH), found.start()):
        return True
    if not found[1]:
        return False
    groups = found.group().split(found[1])
    return not all("1000" <= group <= "2100" for group in groups)  # years
