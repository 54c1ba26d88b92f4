"""Own files: what every kind becomes, and what is said of a damaged one."""

import gzip
import hashlib
import os
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl_world import (
    FILES,
    Source,
    crawl,
    rows,
    serve_source,
    settings,
)

from components.crawl import run
from components.crawl.json_lines import read_json_lines
from kajiya.errors import KajiyaError, PassingError
from kajiya.stage import execute


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setenv("KAJIYA_HTTP_WAIT_SECONDS", "0.01")
    monkeypatch.setenv("KAJIYA_WORKERS", "1")  # starting workers takes seconds


def test_files_of_every_kind_become_documents(tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    lines = '{"text": "一", "t": "題"}\n\n{"text": "二", "t": null}\n'.encode()
    (folder / "a.jsonl").write_bytes(lines)
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(lines))
    with pa.CompressedOutputStream(str(folder / "c.jsonl.zst"), "zstd") as stream:
        stream.write(lines)
    pq.write_table(pa.table({"text": ["三"], "t": ["題"], "other": [1]}), folder / "sub" / "d.parquet")
    (folder / "e.txt").write_text("四\n五\n")
    report = crawl(tmp_path, {**FILES, "columns": {"title": "t"}})
    assert [(row["id"], row["text"], row["title"]) for row in rows(tmp_path)] == [
        *((f"s:{name}:{n}", text, title) for name in ("a.jsonl", "b.jsonl.gz", "c.jsonl.zst")
          for n, text, title in [(0, "一", "題"), (2, "二", None)]),
        ("s:e.txt:0", "四\n五\n", "e"),
        ("s:sub/d.parquet:0", "三", "題"),
    ]  # fmt: skip
    assert report.flows["s"].rejected == {"empty": 3}
    assert report.figures["inputs"]["a.jsonl"] == hashlib.sha256(lines).hexdigest()


def test_files_provenance_by_column_rejects_a_record_without_it(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text('{"text": "一", "l": "MIT"}\n{"text": "二"}\n')
    values = {**FILES, "license": None, "columns": {"license": "l"}}
    assert crawl(tmp_path, values).flows["s"].rejected == {"no_license": 1}
    assert [row["license"] for row in rows(tmp_path)] == ["MIT"]


def test_files_at_an_address_are_checked_against_their_hash(tmp_path):
    body = b'{"text": "x"}\n'
    with serve_source(Source({"/d/x.jsonl": body})) as source:
        good = {**FILES, "paths": [], "urls": {f"{source.url}/d/x.jsonl": hashlib.sha256(body).hexdigest()}}
        crawl(tmp_path, good)
        with pytest.raises(KajiyaError, match="sha256"):
            crawl(tmp_path, {**good, "urls": {f"{source.url}/d/x.jsonl": "0" * 64}}, "t")
    assert [row["id"] for row in rows(tmp_path)] == ["s:x.jsonl:0"]


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("a.jsonl", b"", "gave no documents"),
        ("a.jsonl", b'{"body": "x"}\n', r"a\.jsonl: record 1: no `text` in this record. It has body"),
        ("a.jsonl", b'{"text": 3}\n', "record 1: `text` is int, not text"),
        ("a.jsonl", b'{"text": "a"}\nnonsense\n', r"a\.jsonl: line 2: invalid JSON at column 1: "),
        ("a.jsonl", b'{"text": "a"\n', r"a\.jsonl: line 1: invalid JSON at column 13: "),
        (
            "a.txt",
            b"ok\n\xe3\x81",
            r"a\.txt: not UTF-8 at byte 3 .*; not EUC-JP at byte 3 .*; 0% plausible as CP932",
        ),
        ("a.parquet", b"PAR1", r"a\.parquet: not a readable Parquet"),
        ("a.csv", b"x", r"a\.csv: no known kind of file"),
    ],
)
def test_files_bad_input_is_named(tmp_path, name, body, message):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(body)
    with pytest.raises(KajiyaError, match=message):
        crawl(tmp_path, FILES)
    assert not (tmp_path / "crawl" / "s").exists()


def test_files_of_one_name_at_two_addresses_are_refused(tmp_path, monkeypatch):
    (tmp_path / "in" / "b").mkdir(parents=True)
    (tmp_path / "in" / "b" / "x.jsonl").write_text('{"text": "x"}\n')
    monkeypatch.setattr("components.crawl.files.list_matches", lambda pattern: [pattern.replace("*", "x")])
    crawl(tmp_path, {**FILES, "paths": ["**/*", "b/*.jsonl"]})  # one file, named twice
    assert len(rows(tmp_path)) == 1
    with pytest.raises(KajiyaError, match=r"in/b/x\.jsonl and s3://b/x\.jsonl: both are named"):
        crawl(tmp_path, {**FILES, "paths": ["**/*", "s3://b/*.jsonl"]}, "t")
    with pytest.raises(KajiyaError, match=r"s3://b/x\.jsonl and gs://b/x\.jsonl: both are named"):
        crawl(tmp_path, {**FILES, "paths": ["s3://b/*.jsonl", "gs://b/*.jsonl"]}, "t")
    twice = {f"https://{host}.example/x.jsonl": "0" * 64 for host in "ab"}
    with pytest.raises(
        KajiyaError, match=r"a\.example/x\.jsonl and https://b\.example/x\.jsonl: both are named x"
    ):
        crawl(tmp_path, {**FILES, "paths": [], "urls": twice}, "u")


def test_files_pattern_without_match_lists_the_folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("x")
    with pytest.raises(KajiyaError, match=r"\*\.jsonl matches no file in .* It holds: a\.txt"):
        crawl(tmp_path, {**FILES, "paths": ["*.jsonl"]})


def test_files_input_that_is_a_file_asks_for_its_folder(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(KajiyaError, match=r"a\.txt: a file, not a folder"):
        execute(run, settings(FILES), [tmp_path / "a.txt"], tmp_path / "crawl" / "s")


def test_files_link_without_target_is_named(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("x")
    (tmp_path / "in" / "l.txt").symlink_to("gone.txt")
    with pytest.raises(KajiyaError, match=r"l\.txt: a symbolic link whose target gone\.txt is missing"):
        crawl(tmp_path, FILES)


def test_files_name_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / "in").mkdir()
    with open(os.fsencode(tmp_path / "in") + b"/" + "鍛冶.txt".encode("cp932"), "wb") as handle:
        handle.write(b"x")
    with pytest.raises(KajiyaError, match=r"the file name b'.*\.txt' is not UTF-8.*convmv"):
        crawl(tmp_path, FILES)


def test_files_address_that_does_not_answer_is_a_passing_error(tmp_path, monkeypatch):
    monkeypatch.setenv("KAJIYA_HTTP_ATTEMPTS", "2")
    with serve_source(Source()) as gone:
        url = gone.url
    with pytest.raises(PassingError, match="gave up after 2 tries"):
        crawl(tmp_path, {**FILES, "paths": [], "urls": {f"{url}/x.jsonl": "0" * 64}})


def test_truncated_zst_is_named(tmp_path):
    path = tmp_path / "a.jsonl.zst"
    with pa.CompressedOutputStream(str(path), "zstd") as stream:
        stream.write(random.Random(1).randbytes(200_000).hex().encode())
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(KajiyaError, match="cut off or damaged"):
        list(read_json_lines(path))
