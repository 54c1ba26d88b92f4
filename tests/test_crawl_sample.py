"""The crawl against the sample world: its answer key says what must be rejected and what kept."""

import json
import re
from pathlib import Path

import pytest
from crawl_world import output_bytes

from components.crawl import run
from components.crawl.settings import CrawlSettings
from kajiya.records import REJECTED
from kajiya.sample.faults import Faults
from kajiya.sample.server import serve
from kajiya.sample.settings import SampleSettings
from kajiya.sample.world import write_world
from kajiya.settings import load_settings
from kajiya.shards import read_dataset
from kajiya.stage import execute

ROOT = Path(__file__).parents[1]
SOURCES = ("wikipedia", "c4", "diet", "files")
MARKUP = re.compile(
    r"\{\{|\}\}|\[\[|\]\]|\{\||<[a-z/]|''|（\s*）|^[*#:=]|(?:ファイル|Category):", re.MULTILINE
)


@pytest.fixture(scope="module", autouse=True)
def _one_worker():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAJIYA_WORKERS", "1")  # starting workers takes seconds
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("sample")
    write_world(SampleSettings(scale=0.05), root)
    return root


@pytest.fixture(scope="module")
def crawled(world, tmp_path_factory):
    """Every source with the settings of params.yaml: rows kept and rejected, and the report."""
    out = tmp_path_factory.mktemp("crawl")
    found = {}
    for source in SOURCES:
        config = load_settings(CrawlSettings, ROOT / "params.yaml", ["crawl", source])
        report = execute(run, config, [world / source], out / source)
        kept = [row for table in read_dataset(out / source) for row in table.to_pylist()]
        rejects = [
            row for table in read_dataset(out / source / "rejected", REJECTED) for row in table.to_pylist()
        ]
        found[source] = (kept, rejects, report)
    return found


@pytest.fixture(scope="module")
def answer_key(world):
    return [json.loads(line) for line in (world / "answer_key.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("source", SOURCES)
def test_sample_source_gives_whole_documents_with_unique_ids(crawled, source):
    kept, rejects, report = crawled[source]
    ids = [row["id"] for row in kept + rejects]
    assert kept
    assert len(set(ids)) == len(ids) == report.flows[source].came_in
    assert all(row["source"] == source and row["text"].strip() and row["date"] for row in kept)
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in report.figures["inputs"].values())


def test_sample_pages_that_are_no_articles_are_rejected_as_planted(crawled, answer_key):
    planted = {
        key["id"]: key["kind"]
        for key in answer_key
        if key["kind"] in ("redirect", "disambiguation", "namespace") and key["id"].startswith("wikipedia:")
    }
    assert {row["id"]: row["reason"] for row in crawled["wikipedia"][1]} == planted


def test_sample_articles_keep_the_words_of_inline_templates(crawled, answer_key):
    texts = {row["id"]: re.sub("（[^（）]*）", "", row["text"]) for row in crawled["wikipedia"][0]}
    planted = [key for key in answer_key if key["kind"] == "inline_template"]
    lost = [key for key in planted if re.sub("（[^（）]*）", "", key["value"]) not in texts[key["id"]]]
    assert planted
    assert lost == []


def test_sample_articles_keep_no_markup(crawled):
    found = [
        (row["title"], match[0])
        for row in crawled["wikipedia"][0]
        # A page that tells how to write markup shows it: there it stands in <nowiki>.
        for match in MARKUP.finditer(row["text"].replace("'''語''' と書く", ""))
    ]
    assert found == []


@pytest.mark.parametrize("source", ["wikipedia", "c4", "diet"])
def test_sample_source_on_a_failing_server_gives_the_same_bytes(world, tmp_path, monkeypatch, source):
    monkeypatch.setenv("KAJIYA_HTTP_WAIT_SECONDS", "0")
    monkeypatch.setenv("KAJIYA_HTTP_ATTEMPTS", "25")  # more than the server's failures
    config = load_settings(CrawlSettings, ROOT / "params.yaml", ["crawl", source])
    outputs = []
    for name, faults in [
        ("calm", None),
        ("rough", Faults(7, rate=0.5, retry_after_seconds=0, slow_seconds=0.01)),
    ]:
        with serve(world / source, faults=faults) as url:
            execute(
                run, config.model_copy(update={"base_url": url}), [world / source], tmp_path / name / source
            )
        outputs.append(output_bytes(tmp_path / name / source))
    assert outputs[0] == outputs[1]
