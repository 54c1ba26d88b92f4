"""One spelling for one character: what normalising changes, and what it leaves as it is."""

import json
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from clean_texts import normalized_text
from hypothesis import given, settings
from hypothesis import strategies as st

from components.clean.characters import SPELLING
from components.clean.composition import compose
from components.clean.utf8 import decode, encode


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("ＡＢＣ１２３％", "ABC123%"),
        ("ｶﾞｷﾞﾎﾟｰﾙ", "ガギポール"),
        ("か\u3099き", "がき"),
        ("10～20度、１〜２枚", "10〜20度、1〜2枚"),
        ("コーヒーとすごーーい", "コーヒーとすごーーい"),
        ("本当！？（笑）：はい", "本当！？（笑）：はい"),
        ("3．14と1，000，000円、１．２．３", "3.14と1,000,000円、1.2.3"),
        ("法律，政治．", "法律，政治．"),
        ("面積は10㎡、…と10⁵", "面積は10㎡、…と10⁵"),
        ("見え\u200bない\ufeff字\x07", "見えない字"),
        ("行\r\n行\r行\u2028行", "行\n行\n行\n行"),
        ("　段落の\u3000\u3000字下げ  \n\n\n\n次", "段落の 字下げ\n\n次"),
        ("def f():\n    return 1", "def f():\n    return 1"),
    ],
)
def test_normalisation_of_a_spelling_gives_one_form(before, after):
    assert normalized_text(before) == after


AWKWARD = (
    "ｶﾞﾊﾟ゙゚\u3099\u309aかハ\u0344\u0301e　 \t\r\n\x0b\x85\u2028\u200b\ufeff１２３45．，0～〜ーｰ―－‐‾！\ufe0f\u2000"
    "アンッaﾞ／＼″〳〴〵〱ﬁﬃÅ神⼈⻑︐㎡\ud83d\ude00\ud842🏽각\u1100\u1161\u11a8𠮷\U0002f800"
)


@settings(max_examples=400, deadline=None)
@given(st.text(st.one_of(st.sampled_from(AWKWARD), st.characters()), max_size=40))
def test_normalisation_applied_twice_changes_nothing_more(text):
    once = normalized_text(text)
    assert normalized_text(once) == once


def test_spelling_of_a_character_is_its_own_spelling():
    letters = np.flatnonzero(SPELLING >= 0x20)
    assert [hex(p) for p in letters if SPELLING[SPELLING[p]] != SPELLING[p]] == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_decoded_and_encoded_again_are_the_same(texts):
    array = pa.array(["あ", *texts], pa.large_string())[1:]
    assert encode(decode(array).texts).to_pylist() == texts


@pytest.mark.parametrize(
    ("raw", "text", "damage"),
    [
        (b"a\xffb", "a\ufffdb", 1),
        (b"\xe3\x81", "\ufffd\ufffd", 2),
        (b"\xc0\xaf", "\ufffd\ufffd", 2),
        ("\ud83d".encode(errors="surrogatepass"), "", 1),
        ("a\ude00".encode(errors="surrogatepass"), "a", 1),
        ("\ud83d\ude00".encode(errors="surrogatepass"), "😀", 0),
    ],
    ids=["invalid", "cut", "overlong", "high", "low", "pair"],
)
def test_bytes_that_are_no_utf8_are_replaced_and_counted(raw, text, damage):
    parts = pa.array([raw], pa.large_binary()).buffers()
    decoded = decode(pa.LargeStringArray.from_buffers(1, parts[1], parts[2]))
    assert (encode(decoded.texts).to_pylist(), decoded.damage.tolist()) == ([text], [damage])


def test_lone_surrogate_of_a_json_escape_is_dropped():
    assert normalized_text(json.loads('"\\ud83d\\ude00と\\ud83d"')) == "😀と"


LONG = 400_000
"""Pieces of a text that would take hours, were each looked at together with all the others."""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("アア" + "―ア" * LONG, "アア" + "ーア" * LONG),
        ("ア―" * LONG + "アア", "アー" * LONG + "アア"),
        ("‾" * LONG + "a", "~" * LONG + "a"),
        ("ア" * LONG + "―" + "ア" * LONG, "ア" * LONG + "―" + "ア" * LONG),
        ("1，" * LONG + "1" * LONG, "1，" * LONG + "1" * LONG),
        ("q" + "\u0301\u0323" * LONG, "q" + "\u0323" * LONG + "\u0301" * LONG),
        ("か " * LONG + "\n" * LONG, "か " * (LONG - 1) + "か"),
    ],
    ids=["dashes", "dashes settled from the end", "overlines", "long runs", "digits", "marks", "spaces"],
)
def test_normalisation_of_one_long_chain_comes_to_an_end(before, after):
    assert normalized_text(before) == after


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from("aé\u0301\u0323\u0344\u0f71\u0f73\u0f81\U0001d165\u3099か\u302a"), max_size=90)
)
def test_composition_of_marks_in_any_order_is_that_of_unicode(characters):
    text = "".join(characters)
    assert compose(text) == unicodedata.normalize("NFC", text)


def _settled_naively(text: str) -> str:
    """Dashes between katakana, every one asked again until none changes any more."""
    before = ""
    while before != text:
        before = text
        for place in range(len(text)):
            left, right = text[:place], text[place + 1 :]
            runs = (_katakana_run(left[::-1]), _katakana_run(right))
            is_long = text[place] == "―" and sorted(min(run, 2) for run in runs) == [1, 2]
            if is_long and left[-1] not in "ンッ" and right[0] != "ー":
                text = f"{left}ー{right}"
    return text


def _katakana_run(text: str) -> int:
    return len(text) - len(text.lstrip("アンッー"))


@settings(max_examples=300, deadline=None)
@given(st.text("アンッー―a", max_size=30))
def test_dashes_in_a_chain_settle_as_if_all_were_asked_again_and_again(text):
    assert normalized_text(text) == _settled_naively(text)
