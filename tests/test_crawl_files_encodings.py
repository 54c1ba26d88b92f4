"""Plain text and web pages in the encodings of Japan: read right, or not read."""

import codecs
import contextlib
import gzip

import pytest
from crawl_world import FILES, crawl, rows

from components.crawl.text_encoding import UndecodableError, decode_as, decode_japanese
from components.crawl.web_archives import decode_html
from components.crawl.web_encodings import _CODECS, web_codec
from kajiya.errors import KajiyaError

TEXTS = {
    "prose": "吾輩は猫である。名前はまだ無い。どこで生れたか頓と見当がつかぬ。",
    "short": "春はあけぼの",
    "katakana": "コンピューターとネットワーク",
    "signs": "①予算は㈱鍛冶屋の５％、Ｔｅｌは別。",
    "mixed": "The word 「鍛冶」 is read かじ.\n" * 3,
    "kanji": "議事日程第一号午前十時開議",
}


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "cp932", "euc_jis_2004", "iso2022_jp_2004"]
)
@pytest.mark.parametrize("name", TEXTS)
def test_encoding_of_japanese_text_is_found(name, encoding):
    if name == "signs" and encoding == "iso2022_jp_2004":
        pytest.skip("the signs are in no plain ISO-2022-JP")
    text = TEXTS[name]
    data = text.encode("iso2022_jp" if encoding == "iso2022_jp_2004" else encoding)
    assert decode_japanese(data) == text


def test_utf16_of_mostly_ascii_text_is_read():
    assert decode_japanese("naïve café".encode("utf-16")) == "naïve café"


@pytest.mark.parametrize("text", ["naïve café", "Привет, мир", "ｶﾀｶﾅ", "안녕하세요", "plain"])
def test_utf8_of_any_script_stays_utf8(text):
    assert decode_japanese(text.encode()) == text


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("ｱｲｳｴｵ".encode("cp932"), id="half-width katakana, or rare kanji"),
        pytest.param("吾輩は猫である".encode("euc_jp")[:-1] + b"\xff", id="damaged"),
        pytest.param(bytes(range(128, 256)), id="binary"),
        pytest.param("吾輩は猫".encode() + "吾輩は猫".encode("cp932"), id="two in one file"),
        pytest.param(codecs.BOM_UTF16_LE + bytes(range(1, 128)) * 2, id="binary that begins like UTF-16"),
        pytest.param(codecs.BOM_UTF8 + b"\x82\xa0", id="a mark that lies"),
    ],
)
def test_bytes_without_one_plausible_reading_are_refused(data):
    with pytest.raises(UndecodableError):
        decode_japanese(data)


def test_files_text_of_each_encoding_becomes_the_same_document(tmp_path):
    (tmp_path / "in").mkdir()
    for name, encoding in (("a", "utf-8"), ("b", "cp932"), ("c", "euc_jp"), ("d", "iso2022_jp")):
        (tmp_path / "in" / f"{name}.txt").write_bytes(TEXTS["prose"].encode(encoding))
    (tmp_path / "in" / "e.txt.gz").write_bytes(gzip.compress(TEXTS["prose"].encode("cp932")))
    crawl(tmp_path, FILES)
    assert [row["text"] for row in rows(tmp_path)] == [TEXTS["prose"]] * 5


def test_files_told_encoding_is_taken_at_its_word(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_bytes("ｱｲｳ\nｴｵ".encode("cp932"))
    with pytest.raises(KajiyaError, match=r"a\.txt: .* say its `encoding`"):
        crawl(tmp_path, FILES)
    crawl(tmp_path, {**FILES, "encoding": "cp932", "text_unit": "line"})
    assert [row["text"] for row in rows(tmp_path)] == ["ｱｲｳ", "ｴｵ"]
    with pytest.raises(KajiyaError, match="not UTF-8 at byte 0"):
        crawl(tmp_path, {**FILES, "encoding": "utf-8"})


def test_page_naming_codecs_that_only_python_knows_is_read_as_what_it_is():
    for name in (
        "undefined",
        "idna",
        "punycode",
        "rot13",
        "unicode_escape",
        "raw_unicode_escape",
        "utf-7",
        "hex",
    ):
        page = PAGE % f"<meta charset={name}>"
        assert decode_html(page.encode("cp932"), None) == page
        assert decode_html(page.encode("cp932"), name) == page


@pytest.mark.parametrize(
    ("codec", "http", "meta"),
    [
        ("utf-8", None, "utf-16"),  # what could be read there is no UTF-16: the standard says UTF-8
        ("utf-16-le", "utf-16", "utf-16"),
        ("utf-16", "shift_jis", "shift_jis"),  # the mark goes before what is stated
        ("cp949", "EUC-KR", ""),
        ("gb18030", None, "gb2312"),
        ("big5hkscs", "Big5", ""),
        ("cp1251", None, "windows-1251"),
        ("iso8859_2", "iso-8859-2", ""),
    ],
)
def test_page_in_an_encoding_of_the_web_is_read_as_browsers_do(codec, http, meta):
    text = {
        "cp949": "한국어",
        "gb18030": "简体中文",
        "big5hkscs": "繁體中文",
        "cp1251": "Русский",
        "iso8859_2": "Čeština",
    }
    page = f"<html><meta charset='{meta}'><p>{text.get(codec, TEXTS['prose'])}</p></html>"
    assert decode_html(page.encode(codec), http) == page


def test_every_label_of_the_web_has_a_strict_codec_of_text():
    for label, codec in _CODECS.items():
        assert web_codec(f" {label.upper()}") == codec
        with contextlib.suppress(UndecodableError):
            decode_as(bytes(range(256)), codec)
        assert decode_as("a".encode(codec), codec) == "a"


PAGE = "<html><head>%s</head><body><p>吾輩は猫である。</p></body></html>"


@pytest.mark.parametrize(
    ("encoding", "http", "meta"),
    [
        ("cp932", "Shift_JIS", ""),
        ("euc_jp", "iso-8859-1", '<meta http-equiv="Content-Type" content="text/html; charset=EUC-JP">'),
        ("cp932", None, "<meta charset='x-sjis'>"),
        ("euc_jp", "utf-8", ""),
        ("utf-8", "no-such-charset", ""),
    ],
)
def test_page_is_decoded_by_what_holds_of_it(encoding, http, meta):
    assert decode_html((PAGE % meta).encode(encoding), http) == PAGE % meta
