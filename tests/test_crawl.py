"""The crawl stage as it is called: from a source to Documents, whatever happens on the way."""

import gzip
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from crawl_world import Source, output_bytes, page, serve_source, wikipedia_files
from pydantic import TypeAdapter, ValidationError

from components.crawl import run
from components.crawl.json_lines import read_json_lines
from components.crawl.settings import CrawlSettings
from components.crawl.wikipedia import dump_files
from kajiya.errors import KajiyaError
from kajiya.records import REJECTED
from kajiya.settings import load_settings
from kajiya.shards import read_dataset
from kajiya.stage import execute

ROOT = Path(__file__).parents[1]
REVISION = "607bd4c8450a42878aa9ddc051a65a055450ef87"
WIKIPEDIA = {"connector": "wikipedia", "wiki": "jawiki", "date": "20260101"}
C4 = {"connector": "c4", "revision": REVISION, "shard_count": 2, "until_shard": 1}
DIET = {"connector": "diet", "from_date": "2025-01-01", "until_date": "2025-03-31", "pause_seconds": 0}
FILES = {
    "connector": "files",
    "paths": ["**/*"],
    "license": "CC0-1.0",
    "generator": "human",
    "language": "ja",
}

PAGES = [
    page(1, "甲", "'''甲'''は町。"),
    page(2, "乙", "#REDIRECT [[甲]]", redirect="甲"),
    page(3, "丙", "* [[丙 (町)]]\n{{aimai}}"),
    page(5, "Template:丁", "型", namespace=10),
    page(8, "戊 & 己", "{{Infobox|a=b}}"),
    page(13, "庚", "庚は村。"),
    page(21, "辛", "辛は川。"),
]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setenv("KAJIYA_HTTP_WAIT_SECONDS", "0.01")


def settings(values):
    return TypeAdapter(CrawlSettings).validate_python(values)


def crawl(tmp_path, values, source="s", folder=None):
    folder = folder or tmp_path / "in"
    folder.mkdir(parents=True, exist_ok=True)
    return execute(run, settings(values), [folder], tmp_path / "crawl" / source)


def rows(tmp_path, source="s", rejected=False):
    folder = tmp_path / "crawl" / source
    tables = read_dataset(folder / "rejected", REJECTED) if rejected else read_dataset(folder)
    return [row for table in tables for row in table.to_pylist()]


# Wikipedia


@pytest.mark.parametrize("form", [{}, {"hashes": False}, {"multistream": False}])
def test_wikipedia_dump_becomes_articles_and_counted_rejects(tmp_path, form):
    with serve_source(Source(wikipedia_files(PAGES, **form))) as source:
        report = crawl(tmp_path, {**WIKIPEDIA, "base_url": source.url})
    assert report.flows["s"].rejected == {"redirect": 1, "disambiguation": 1, "namespace": 1, "empty": 1}
    assert [row["id"] for row in rows(tmp_path)] == ["s:1", "s:13", "s:21"]
    first = rows(tmp_path)[0]
    assert first["text"] == "甲は町。"
    assert first["url"] == "https://ja.wikipedia.org/wiki/%E7%94%B2"
    assert (first["title"], str(first["date"]), first["language"]) == ("甲", "2025-12-02", "ja")
    assert (first["license"], first["generator"]) == ("CC-BY-SA-4.0", "human")
    rejects = {row["id"]: (row["reason"], row["detail"]) for row in rows(tmp_path, rejected=True)}
    assert rejects["s:2"] == ("redirect", "甲")
    hashes = {
        name.rpartition("/")[2]: hashlib.sha256(body).hexdigest() for name, body in source.files.items()
    }
    assert report.figures["inputs"] == {name: hashes[name] for name in report.figures["inputs"]}
    assert any(name.endswith(".xml.bz2") for name in report.figures["inputs"])


def test_wikipedia_same_bytes_for_any_number_of_workers(tmp_path, monkeypatch):
    monkeypatch.setattr("components.crawl.wikipedia.PART_BYTES", 1)
    outputs = []
    for workers in "12":
        monkeypatch.setenv("KAJIYA_WORKERS", workers)
        with serve_source(Source(wikipedia_files(PAGES))) as source:
            # The address differs from run to run and must not reach the output.
            crawl(tmp_path / workers, {**WIKIPEDIA, "base_url": source.url})
        outputs.append(output_bytes(tmp_path / workers / "crawl" / "s"))
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("form", [{}, {"multistream": False}])
def test_wikipedia_truncated_dump_is_named(tmp_path, form):
    files = wikipedia_files(PAGES, hashes=False, **form)
    dump = next(path for path in files if path.endswith(".xml.bz2"))
    status = json.loads(files["/jawiki/20260101/dumpstatus.json"])
    files[dump] = files[dump][:-60]
    for job in status["jobs"].values():
        for facts in job["files"].values():
            del facts["size"]
    files["/jawiki/20260101/dumpstatus.json"] = json.dumps(status).encode()
    del files["/jawiki/20260101/jawiki-20260101-sha1sums.txt"]
    with (
        serve_source(Source(files)) as source,
        pytest.raises(KajiyaError, match=r"xml\.bz2: .*cut off or damaged"),
    ):
        crawl(tmp_path, {**WIKIPEDIA, "base_url": source.url})
    assert not (tmp_path / "crawl" / "s").exists()


def test_wikipedia_page_missing_from_the_dump_is_noticed(tmp_path):
    files, fewer = wikipedia_files(PAGES, hashes=False), wikipedia_files(PAGES, hashes=False)
    index = next(path for path in files if "index" in path)
    fewer[index] = wikipedia_files([*PAGES, page(34, "壬", "壬")], pages_a_stream=2)[index]
    status = json.loads(fewer["/jawiki/20260101/dumpstatus.json"])
    del status["jobs"]["articlesmultistreamdump"]["files"][index.rpartition("/")[2]]["size"]
    fewer["/jawiki/20260101/dumpstatus.json"] = json.dumps(status).encode()
    fewer["/jawiki/20260101/jawiki-20260101-sha1sums.txt"] = b""
    with serve_source(Source(fewer)) as source, pytest.raises(KajiyaError, match="the index says"):
        crawl(tmp_path, {**WIKIPEDIA, "base_url": source.url})


@pytest.mark.parametrize(
    "name", ["../../outside-pages-articles.xml.bz2", "/tmp/pages-articles.xml.bz2", ".ssh"]
)
def test_wikipedia_listing_with_a_path_for_a_name_is_refused(name):
    files = {"jawiki-20260101-pages-articles.xml.bz2": {}, name: {}}
    status = {"jobs": {"articlesdump": {"status": "done", "files": files}}}
    with pytest.raises(KajiyaError, match="is no name of a file of a dump"):
        dump_files(status, "http://mirror.example/dumpstatus.json")


def test_wikipedia_unknown_date_says_where_to_look(tmp_path):
    with (
        serve_source(Source(wikipedia_files(PAGES))) as source,
        pytest.raises(KajiyaError, match="no dump of jawiki"),
    ):
        crawl(tmp_path, {**WIKIPEDIA, "date": "20260202", "base_url": source.url})


# C4


def c4_files(shards):
    base = f"/datasets/allenai/c4/resolve/{REVISION}/multilingual/c4-ja.tfrecord-"
    return {f"{base}{n:05d}-of-{len(shards):05d}.json.gz": body for n, body in enumerate(shards)}


def c4_shard(*texts):
    lines = [
        {"text": text, "timestamp": "2019-04-21T10:00:00Z", "url": "https://a.example/"} for text in texts
    ]
    return gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode())


def test_c4_lines_become_documents_of_their_shard(tmp_path):
    with serve_source(Source(c4_files([c4_shard("一", " \n", "二\r\n三"), c4_shard("四")]))) as source:
        report = crawl(tmp_path, {**C4, "base_url": source.url})
    assert [(row["id"], row["text"]) for row in rows(tmp_path)] == [
        ("s:0:0", "一"),
        ("s:0:2", "二\n三"),
        ("s:1:0", "四"),
    ]
    assert rows(tmp_path, rejected=True)[0]["id"] == "s:0:1"
    assert report.flows["s"].rejected == {"empty": 1}
    assert str(rows(tmp_path)[0]["date"]) == "2019-04-21"


# Named: a gzip header holds the time, and every test worker must see the same ids.
@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(
            gzip.compress(b'{"text": "a"}\n{"text": \n'),
            r"00001-of-00002\.json\.gz: line 2: invalid JSON",
            id="invalid JSON",
        ),
        pytest.param(
            gzip.compress(b'{"text": "a"}\n{"text": "\xff"}\n'),
            r"00001.*: line 2: invalid UTF-8 at byte 10",
            id="invalid UTF-8",
        ),
        pytest.param(
            gzip.compress(b'{"text": "a"}\n[1]\n'), r"00001.*: line 2: expected a JSON object", id="no object"
        ),
        pytest.param(gzip.compress(b'{"url": "a"}\n'), r"00001.*: line 1: no `text`", id="no text"),
        pytest.param(
            gzip.compress(random.Random(1).randbytes(9000).hex().encode())[:-2000],
            r"00001.*cut off or damaged",
            id="cut off",
        ),
        pytest.param(b"not gzip", r"00001.*cut off or damaged after line 0", id="not gzip"),
    ],
)
def test_c4_damaged_shard_names_file_and_line(tmp_path, body, message):
    with (
        serve_source(Source(c4_files([c4_shard("一"), body]))) as source,
        pytest.raises(KajiyaError, match=message),
    ):
        crawl(tmp_path, {**C4, "base_url": source.url})
    assert not (tmp_path / "crawl" / "s").exists()


def test_crawl_killed_in_a_download_and_run_again_gives_the_same_bytes(tmp_path):
    texts = [random.Random(n).randbytes(400).hex() for n in range(600)]
    with serve_source(Source(c4_files([c4_shard(*texts[:300]), c4_shard(*texts[300:])]))) as source:
        values = {**C4, "base_url": source.url}
        crawl(tmp_path / "calm", values, folder=ROOT / "inputs" / "none")
        whole, source.body_bytes, source.bytes_a_second = source.body_bytes, 0, 150_000
        (tmp_path / "params.yaml").write_text(yaml.safe_dump({"crawl": {"s": values}}))
        command = [sys.executable, "-m", "components.crawl", "--params", str(tmp_path / "params.yaml")]
        command += ["inputs/none", str(tmp_path / "crawl" / "s")]
        child = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        while source.body_bytes < whole * 0.6:
            assert child.poll() is None
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert not (tmp_path / "crawl" / "s").exists()
        source.bytes_a_second, source.body_bytes = None, 0
        subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
        assert source.body_bytes < whole * 0.5
    assert output_bytes(tmp_path / "crawl" / "s") == output_bytes(tmp_path / "calm" / "crawl" / "s")


# Diet


def meeting(number, date, house="衆議院", kind="会議録"):
    identity = f"1000000{number:03d}X0012025{date[5:7]}{date[8:]}"
    speeches = [
        {"speechID": f"{identity}_{order:03d}", "speechOrder": order, "speaker": "甲", "speech": text}
        for order, text in enumerate(
            ["出席者", "○甲君　これより開きます。\r\n　本日は晴れ。", "○乙君　はい。"]
        )
    ]
    facts = {"issueID": identity, "imageKind": kind, "session": 217, "nameOfHouse": house, "issue": "第1号"}
    facts |= {"nameOfMeeting": "本会議", "date": date, "closing": None, "speechRecord": speeches}
    return {**facts, "meetingURL": f"https://kokkai.ndl.go.jp/txt/{identity}"}


MEETINGS = [meeting(n, f"2025-{n % 4 + 1:02}-{n % 28 + 1:02}") for n in range(100)]


@pytest.fixture
def diet_folder(tmp_path):
    folder = tmp_path / "diet"
    folder.mkdir()
    extra = [meeting(900, "2025-02-02", "参議院"), meeting(901, "2025-02-03", kind="目次")]
    (folder / "meetings.json").write_text(json.dumps({"meetingRecord": MEETINGS + extra}))
    return folder


def test_diet_window_gives_every_meeting_once_in_order(tmp_path, diet_folder):
    report = crawl(tmp_path, {**DIET, "base_url": "sample"}, folder=diet_folder)
    found = rows(tmp_path)
    assert len({row["id"] for row in found}) == len(found) == 75 + 1
    assert [row["date"] for row in found] == sorted(row["date"] for row in found)
    assert found[0]["text"] == "甲君：これより開きます。\n本日は晴れ。\n乙君：はい。"
    assert found[0]["title"] == "第217回国会 衆議院 本会議 第1号"
    assert found[0]["license"] == "ndl-terms"
    assert report.flows["s"].rejected == {"not_minutes": 1}
    assert list(report.figures["inputs"]) == [
        "2025-01-01_2025-01-31",
        "2025-02-01_2025-02-28",
        "2025-03-01_2025-03-31",
    ]


def test_diet_house_takes_only_its_meetings(tmp_path, diet_folder):
    crawl(tmp_path, {**DIET, "houses": ["参議院"], "base_url": "sample"}, folder=diet_folder)
    assert [row["title"].split()[1] for row in rows(tmp_path)] == ["参議院"]


def test_diet_unknown_house_is_refused_before_asking():
    with pytest.raises(ValidationError, match="houses"):
        settings({**DIET, "houses": ["貴族院"]})


def diet_page(count, following, meetings):
    body = {"numberOfRecords": count, "nextRecordPosition": following, "meetingRecord": meetings}
    return {"/api/meeting": json.dumps(body).encode()}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (diet_page(3, None, MEETINGS[:2]), "2 different meetings arrived, numberOfRecords says 3"),
        (diet_page(2, None, [MEETINGS[0], MEETINGS[0]]), "1 different meetings arrived"),
        (
            {"/api/meeting": '{"message": "(19011)入力に誤り", "details": ["(0) x"]}'.encode()},
            r"refused: \(19011\)",
        ),
        ({"/api/meeting": b"<html>proxy</html>"}, "no answer of the Diet API"),
    ],
)
def test_diet_wrong_answer_under_http_200_is_an_error(tmp_path, monkeypatch, answer, message):
    monkeypatch.setenv("KAJIYA_HTTP_ATTEMPTS", "2")
    with serve_source(Source(answer)) as source, pytest.raises(KajiyaError, match=message):
        crawl(tmp_path, {**DIET, "until_date": "2025-01-31", "base_url": source.url})
    assert not (tmp_path / "crawl" / "s").exists()


def test_diet_refusal_is_followed_by_the_pause_too(tmp_path, monkeypatch):
    waits = []
    monkeypatch.setenv("KAJIYA_HTTP_WAIT_SECONDS", "0")
    monkeypatch.setattr("components.crawl.http.time.sleep", waits.append)
    values = {**DIET, "until_date": "2025-01-31", "pause_seconds": 3}
    with serve_source(Source(diet_page(1, None, MEETINGS[:1]), faults=["503", "close"])) as source:
        crawl(tmp_path, {**values, "base_url": source.url})
    assert waits == [3, 3, 3]


def test_diet_ignored_house_filter_is_noticed(tmp_path):
    values = {**DIET, "until_date": "2025-01-31", "houses": ["参議院"]}
    with (
        serve_source(Source(diet_page(1, None, MEETINGS[:1]))) as source,
        pytest.raises(KajiyaError, match="ignored the filter"),
    ):
        crawl(tmp_path, {**values, "base_url": source.url})


def test_diet_pages_of_a_broken_off_crawl_are_not_asked_again(tmp_path, diet_folder, monkeypatch):
    monkeypatch.setenv("KAJIYA_HTTP_ATTEMPTS", "1")
    first = (diet_page(1, None, MEETINGS[:1]), diet_page(1, None, MEETINGS[4:5]))
    values = {**DIET, "until_date": "2025-01-31"}
    with serve_source(Source(diet_page(2, 2, MEETINGS[:1]), faults=["", "503"])) as source:
        values["base_url"] = source.url
        with pytest.raises(KajiyaError, match="gave up"):
            crawl(tmp_path, values)
        source.requests.clear()
        source.files = diet_page(2, None, MEETINGS[4:5])
        crawl(tmp_path, values)
        assert [path for path, _ in source.requests if "startRecord=1&" in path] == []
    assert len(rows(tmp_path)) == len(first)


# Files


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
        ("a.txt", b"ok\n\xe3\x81", r"a\.txt: line 2: invalid UTF-8"),
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


def test_files_pattern_without_match_lists_the_folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("x")
    with pytest.raises(KajiyaError, match=r"\*\.jsonl matches no file in .* It holds: a\.txt"):
        crawl(tmp_path, {**FILES, "paths": ["*.jsonl"]})


def test_files_input_that_is_a_file_asks_for_its_folder(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(KajiyaError, match=r"a\.txt: a file, not a folder"):
        execute(run, settings(FILES), [tmp_path / "a.txt"], tmp_path / "crawl" / "s")


def test_truncated_zst_is_named(tmp_path):
    path = tmp_path / "a.jsonl.zst"
    with pa.CompressedOutputStream(str(path), "zstd") as stream:
        stream.write(random.Random(1).randbytes(200_000).hex().encode())
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(KajiyaError, match="cut off or damaged"):
        list(read_json_lines(path))


# Settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({**WIKIPEDIA, "date": "2026-01-01"}, "date"),
        ({**C4, "revision": "main"}, "revision"),
        ({**C4, "until_shard": 2}, "until_shard"),
        ({**DIET, "until_date": "2024-01-01"}, "is after until_date"),
        ({**FILES, "license": None}, "state the license once"),
        ({**FILES, "paths": []}, "nothing to read"),
        ({**FILES, "connector": "ftp"}, "connector"),
    ],
)
def test_settings_that_pin_nothing_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        settings(values)


def test_settings_misspelt_key_of_a_source_is_named(tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump({"crawl": {"w": {**WIKIPEDIA, "licence": "x"}}}))
    with pytest.raises(KajiyaError, match="Did you mean `license`"):
        load_settings(CrawlSettings, params, ["crawl", "w"])


def test_params_of_the_repository_name_every_source():
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name in params["sources"]:
        load_settings(CrawlSettings, ROOT / "params.yaml", ["crawl", name])
