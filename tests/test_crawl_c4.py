"""C4 shards, wherever they lie: every line once, and finished shards never twice."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from crawl_world import (
    C4,
    REVISION,
    Source,
    crawl,
    output_bytes,
    rows,
    serve_source,
)

from components.crawl.harvest import document
from components.crawl.shelf import Shelf
from kajiya.errors import KajiyaError
from kajiya.records import DOCUMENT
from kajiya.shards import list_shards, read_dataset

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setenv("KAJIYA_HTTP_WAIT_SECONDS", "0.01")
    monkeypatch.setenv("KAJIYA_WORKERS", "1")  # starting workers takes seconds


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
        pytest.param(gzip.compress(b"{}") + bytes(20), r"00001", id="blanked"),
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


def test_c4_finished_shards_are_neither_fetched_nor_read_again(tmp_path, monkeypatch):
    monkeypatch.setenv("KAJIYA_WORKERS", "1")
    good = c4_files([c4_shard("一"), c4_shard("二")])
    broken = c4_files([c4_shard("一"), b"not gzip"])
    with serve_source(Source(broken)) as source:
        values = {**C4, "base_url": source.url}
        with pytest.raises(KajiyaError, match=r"00001.*cut off or damaged"):
            crawl(tmp_path, values)
        work = tmp_path / "crawl" / ".work" / "s"
        assert not list((work / "raw").iterdir())  # nor do raw shards pile up
        source.files, source.requests = good, []
        crawl(tmp_path, values)
    assert ["00001-of" in path for path, _ in source.requests] == [True]
    assert [row["text"] for row in rows(tmp_path)] == ["一", "二"]


def test_c4_same_bytes_for_any_number_of_workers_and_from_any_place(tmp_path, monkeypatch):
    shards = [c4_shard(*(f"{shard}-{n}" for n in range(50))) for shard in range(3)]
    outputs = []
    for workers, base in (("1", "http"), ("2", "http"), ("1", "input"), ("1", "file")):
        monkeypatch.setenv("KAJIYA_WORKERS", workers)
        case = tmp_path / f"{base}{workers}"
        files = c4_files(shards)
        for name, body in files.items():
            path = case / "in" / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        with serve_source(Source(files)) as source:
            bases = {"http": source.url, "input": "input", "file": f"file://{case / 'in'}"}
            values = {**C4, "shard_count": 3, "until_shard": 2, "base_url": bases[base]}
            crawl(case, values, folder=case / "in")
        outputs.append(output_bytes(case / "crawl" / "s"))
        assert len(list((case / "in").rglob("*.gz"))) == 3
    assert all(output == outputs[0] for output in outputs)


def test_c4_large_shards_are_taken_over_as_they_are(tmp_path):
    texts = [chr(0x4E00 + n) * 20 for n in range(20)]
    shelf = Shelf(tmp_path / "a", DOCUMENT, 100)
    for text in texts:
        shelf.add(
            {**document("1", text), "source": "s", "license": "x", "generator": "human", "language": "ja"}
        )
    shelf.close()
    taken = Shelf(tmp_path / "b", DOCUMENT, 150)
    for shard in list_shards(tmp_path / "a"):
        taken.take(shard)
    taken.close()
    assert [row["text"] for table in read_dataset(tmp_path / "b") for row in table.to_pylist()] == texts
    linked = {path.stat().st_ino for path in (tmp_path / "a").iterdir()}
    assert linked & {path.stat().st_ino for path in (tmp_path / "b").iterdir()}


def test_c4_days_outside_the_window_are_rejected(tmp_path):
    with serve_source(Source(c4_files([c4_shard("一"), c4_shard("二")]))) as source:
        window = {"from_date": "2019-04-22", "until_date": "2019-05-01", "base_url": source.url}
        with pytest.raises(
            KajiyaError, match=r"all 2 documents were rejected \(outside_dates 2\), first s:0:0"
        ):
            crawl(tmp_path, {**C4, **window})
        crawl(tmp_path, {**C4, **window, "from_date": "2019-04-21"})
    assert len(rows(tmp_path)) == 2


def test_c4_mirror_with_another_folder_is_asked_there(tmp_path):
    files = {f"/mirror/{name.rpartition('/')[2]}": body for name, body in c4_files([c4_shard("一")]).items()}
    with serve_source(Source(files)) as source:
        one = {"shard_count": 1, "until_shard": 0, "folder": "/mirror/", "base_url": source.url}
        crawl(tmp_path, {**C4, **one})
    assert [row["text"] for row in rows(tmp_path)] == ["一"]
