"""Web archives: pages and texts as documents, and a cut archive never half read."""

import gzip
import random

import pytest
from crawl_world import FILES, crawl, rows

from kajiya.errors import KajiyaError

ARTICLE = (
    "鍛冶屋は鉄を打って農具や刃物を作る職人である。炉の火を見て鋼の温度を知り、槌の音で出来を聞き分けた。"
)
COLUMNS = {"url": "url", "title": "title", "date": "date", "language": "language"}
VALUES = {**FILES, "language": None, "columns": COLUMNS}


def record(kind, number, body, content_type, **more):
    fields = {
        "WARC-Type": kind,
        "WARC-Record-ID": f"<urn:uuid:00000000-0000-0000-0000-{number:012}>",
        "WARC-Date": "2024-01-02T03:04:05Z",
        "WARC-Target-URI": f"https://a.example/{number}",
        "Content-Type": content_type,
        "Content-Length": str(len(body)),
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"WARC/1.0\r\n{head}\r\n".encode() + body + b"\r\n\r\n"


def response(number, html, charset="utf-8", status="200 OK", kind="text/html", **more):
    body = html.encode(charset)
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}; charset={charset}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return record("response", number, head.encode() + body, "application/http; msgtype=response", **more)


def page(text, title="題"):
    menu = "<nav><ul><li><a href=/>ホーム</a></li><li><a href=/b>お問い合わせ</a></li></ul></nav>"
    return (
        f'<html lang="ja"><head><title>{title}</title></head><body>{menu}<article><h1>{title}</h1>'
        f"<p>{text}</p><p>{text[::-1]}</p></article><footer>Copyright</footer></body></html>"
    )


def write(tmp_path, name, records):
    (tmp_path / "in").mkdir(exist_ok=True)
    packed = name.endswith(".gz")
    body = b"".join(gzip.compress(one, mtime=0) if packed else one for one in records)
    (tmp_path / "in" / name).write_bytes(body)
    return tmp_path / "in" / name


def test_warc_pages_become_their_main_text(tmp_path):
    records = [
        record("warcinfo", 0, b"software: x\r\n", "application/warc-fields"),
        response(1, page(ARTICLE)),
        response(2, page(ARTICLE), charset="euc_jp"),
        response(3, page(ARTICLE), status="404 Not Found"),
        response(4, "{}", kind="application/json"),
        response(5, page(ARTICLE), WARC_Truncated="length"),
    ]
    write(tmp_path, "a.warc.gz", records)
    report = crawl(tmp_path, VALUES)
    found = rows(tmp_path)
    assert [row["id"] for row in found] == ["s:a.warc.gz:1", "s:a.warc.gz:2"]
    assert ARTICLE in found[0]["text"]
    assert "お問い合わせ" not in found[0]["text"]
    assert found[0]["text"] == found[1]["text"]
    assert (found[0]["title"], found[0]["language"], str(found[0]["date"])) == ("題", "ja", "2024-01-02")
    assert found[0]["url"] == "https://a.example/1"
    assert report.flows["s"].rejected == {"http_status": 1, "not_html": 1, "truncated": 1}
    assert [(row["reason"], row["detail"]) for row in rows(tmp_path, rejected=True)] == [
        ("http_status", "404"),
        ("not_html", "application/json"),
        ("truncated", "length"),
    ]


def test_warc_page_of_a_codec_that_never_decodes_does_not_end_the_crawl(tmp_path):
    odd = page(ARTICLE).replace("<head>", "<head><meta charset=undefined>")
    write(
        tmp_path, "a.warc.gz", [response(1, odd, kind="text/html; charset=idna"), response(2, page(ARTICLE))]
    )
    crawl(tmp_path, VALUES)
    assert [row["id"] for row in rows(tmp_path)] == ["s:a.warc.gz:0", "s:a.warc.gz:1"]


def test_warc_page_without_mapped_columns_keeps_its_address_and_date(tmp_path):
    write(tmp_path, "a.warc.gz", [response(1, page(ARTICLE))])
    crawl(tmp_path, FILES)
    (row,) = rows(tmp_path)
    assert (row["url"], str(row["date"]), row["title"]) == ("https://a.example/1", "2024-01-02", None)


def test_wet_texts_become_documents_in_their_language(tmp_path):
    texts = [("吾輩は猫である。", "jpn"), ("Hello.", "eng"), ("?", "")]
    records = [
        record("conversion", n, text.encode(), "text/plain", WARC_Identified_Content_Language=told)
        for n, (text, told) in enumerate(texts)
    ]
    write(tmp_path, "a.wet.gz", records)
    report = crawl(tmp_path, VALUES)
    assert [(row["text"], row["language"]) for row in rows(tmp_path)] == [
        ("吾輩は猫である。", "ja"),
        ("Hello.", "en"),
    ]
    assert report.flows["s"].rejected == {"no_language": 1}


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("a.warc.gz", lambda body, last: body[: -last // 2], "after 3 whole records"),
        ("a.warc.gz", lambda body, last: body[: -last + 20], "after 3 whole records"),
        ("a.warc.gz", lambda body, last: body[:-last] + b"\x00" * last, "after 3 whole records"),
        ("a.warc", lambda body, last: body[:-30], "after 3 whole records"),
    ],
    ids=["cut in the last record", "cut in its first bytes", "blanked", "plain and cut"],
)
def test_damaged_archive_names_file_and_record(tmp_path, name, damage, message):
    noise = [random.Random(n).randbytes(600).hex() for n in range(4)]
    records = [response(n, page(one)) for n, one in enumerate(noise)]
    path = write(tmp_path, name, records)
    last = len(gzip.compress(records[-1], mtime=0))
    path.write_bytes(damage(path.read_bytes(), last))
    with pytest.raises(KajiyaError, match=rf"{name}: the archive is cut off or damaged, {message}"):
        crawl(tmp_path, VALUES)
