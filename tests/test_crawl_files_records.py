"""Own files with odd records: each is rejected alone with its reason, and only a wrong mapping ends the crawl."""

import codecs
import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl_world import FILES, crawl, rows

from kajiya.errors import KajiyaError


@pytest.fixture(autouse=True)
def _one_worker(monkeypatch):
    monkeypatch.setenv("KAJIYA_WORKERS", "1")


def write(tmp_path, *lines, name="a.jsonl"):
    (tmp_path / "in").mkdir(exist_ok=True)
    (tmp_path / "in" / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def test_json_as_python_writes_it_is_read(tmp_path):
    write(
        tmp_path,
        r'{"text": "鍛\ud83d冶", "title": "\ud83d\ude00\ude00"}',
        '{"text": "二", "score": NaN, "least": -Infinity, "title": NaN}',
    )
    crawl(tmp_path, {**FILES, "columns": {"title": "title"}})
    assert [(row["text"], row["title"]) for row in rows(tmp_path)] == [("鍛冶", "😀"), ("二", None)]


@pytest.mark.parametrize("line", ['{"text": "\\ud83d"', '{"text": NaN', "[NaN]", '{"text": "a" NaN}', "nan"])
def test_json_damaged_beside_what_python_writes_stays_an_error(tmp_path, line):
    write(tmp_path, '{"text": "一"}', line)
    with pytest.raises(KajiyaError, match=r"a\.jsonl: line 2"):
        crawl(tmp_path, FILES)


def test_record_that_does_not_fit_is_rejected_alone(tmp_path):
    write(
        tmp_path,
        '{"text": "一", "l": "ja", "t": 1984, "d": "2024-01-02T03:04:05Z"}',
        '{"text": "二", "d": "2024-13-45"}',
        '{"body": "三"}',
        '{"text": null}',
        '{"text": 5}',
        '{"text": "六", "t": ["a"]}',
        '{"text": "七", "d": {"y": 1}}',
        '{"text": "八", "l": "Japanese"}',
        '{"text": "九"}',
    )
    columns = {"title": "t", "date": "d", "language": "l"}
    values = {**FILES, "language": None, "columns": columns}
    flow = crawl(tmp_path, values).flows["s"]
    assert [(row["title"], str(row["date"])) for row in rows(tmp_path)] == [("1984", "2024-01-02")]
    assert [(row["id"][-1], row["reason"], row["detail"]) for row in rows(tmp_path, rejected=True)] == [
        ("1", "bad_date", "2024-13-45"),
        ("2", "no_text", ""),
        ("3", "no_text", ""),
        ("4", "bad_text", "int, not text"),
        ("5", "bad_title", "list, not text"),
        ("6", "bad_date", "{'y': 1}"),
        ("7", "bad_language", "Japanese"),
        ("8", "no_language", ""),
    ]
    assert (flow.came_in, flow.out, flow.rejected.total()) == (9, 1, 8)


def test_first_record_without_the_text_column_is_a_wrong_mapping(tmp_path):
    write(tmp_path, "", '{"body": "一"}', '{"text": "二"}')
    with pytest.raises(KajiyaError, match=r"a\.jsonl: record 2: no `text` in this record. It has body"):
        crawl(tmp_path, FILES)


def test_parquet_with_odd_values_rejects_them_alone(tmp_path):
    (tmp_path / "in").mkdir()
    columns = {
        "text": ["一", None, "三"],
        "d": ["2024-01-02", None, "0000-00-00"],
        "t": [1.5, 2.0, float("nan")],
    }
    pq.write_table(pa.table(columns), tmp_path / "in" / "a.parquet")
    flow = crawl(tmp_path, {**FILES, "columns": {"date": "d", "title": "t"}}).flows["s"]
    assert flow.rejected == {"no_text": 1, "bad_date": 1}
    assert [row["title"] for row in rows(tmp_path)] == ["1.5"]


def test_json_lines_with_a_byte_order_mark_are_read(tmp_path):
    (tmp_path / "in").mkdir()
    lines = codecs.BOM_UTF8 + '{"text": "一"}\n{"text": "二"}\n'.encode()
    (tmp_path / "in" / "a.jsonl").write_bytes(lines)
    (tmp_path / "in" / "b.jsonl.gz").write_bytes(gzip.compress(lines))
    with pa.CompressedOutputStream(str(tmp_path / "in" / "c.jsonl.zst"), "zstd") as stream:
        stream.write(lines)
    crawl(tmp_path, FILES)
    assert [row["text"] for row in rows(tmp_path)] == ["一", "二"] * 3
