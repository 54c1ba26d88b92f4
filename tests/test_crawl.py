"""The Wikipedia connector as it is called: from a dump site to Documents."""

import hashlib
import json

import pytest
from crawl_world import (
    Source,
    crawl,
    output_bytes,
    page,
    rows,
    serve_source,
    wikipedia_files,
)

from components.crawl.wikipedia import dump_files
from kajiya.errors import KajiyaError

WIKIPEDIA = {"connector": "wikipedia", "wiki": "jawiki", "date": "20260101"}

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


def test_wikipedia_listing_with_an_address_elsewhere_is_refused(tmp_path):
    files = wikipedia_files(PAGES)
    listing = "/jawiki/20260101/dumpstatus.json"
    files[listing] = files[listing].replace(b'"url": "/', b'"url": "http://169.254.169.254/')
    with (
        serve_source(Source(files)) as source,
        pytest.raises(KajiyaError, match=r"names a file on another host, http://169\.254\.169\.254/jawiki"),
    ):
        crawl(tmp_path, {**WIKIPEDIA, "base_url": source.url})


def test_wikipedia_unknown_date_says_where_to_look(tmp_path):
    with (
        serve_source(Source(wikipedia_files(PAGES))) as source,
        pytest.raises(KajiyaError, match="no dump of jawiki"),
    ):
        crawl(tmp_path, {**WIKIPEDIA, "date": "20260202", "base_url": source.url})
