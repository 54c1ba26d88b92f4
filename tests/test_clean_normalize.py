"""One spelling for one character: what normalising changes, and what it leaves as it is."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.clean.characters import SPELLING
from components.clean.normalize import normalized_text
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
