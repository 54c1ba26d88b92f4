"""The crawl's readers on real input: dumps, API answers and corpora that other people made."""

import bz2
import json
import os
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from components.crawl import run
from components.crawl.dump import read_pages, read_site
from components.crawl.minutes import AnswerError, meeting_text, parse_answer
from components.crawl.settings import CrawlSettings
from components.crawl.wikipedia import Article, dump_files, index_name
from kajiya.records import REJECTED
from kajiya.sample.server import serve
from kajiya.shards import read_dataset
from kajiya.stage import execute

DATA = Path(os.environ.get("KAJIYA_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data at {DATA} (set KAJIYA_SHARED_DATA)")

DUMPS = (
    "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2",
    "enwiki-table-markup.xml.bz2",
)
MARKUP = re.compile(
    r"\{\{|\}\}|\[\[|\]\]|\{\||\|\}|<ref|</?(?:br|poem|math|div|span|small)\b|'''|\(\s*\)|（\s*）"
)


def crawl(values, folder, out):
    return execute(run, TypeAdapter(CrawlSettings).validate_python(values), [folder], out)


def rows(folder, schema=None):
    tables = read_dataset(folder, schema) if schema else read_dataset(folder)
    return [row for table in tables for row in table.to_pylist()]


@pytest.mark.parametrize("name", DUMPS)
def test_real_dump_leaves_no_markup_in_any_text(name):
    path = DATA / "wikipedia" / name
    article = Article(read_site(path, "en"), "en", "CC-BY-SA-4.0")
    reasons, ids = Counter(), []
    for page in read_pages(path):
        row, reason, _ = article.row(page)
        reasons[reason] += 1
        ids.append(row["id"])
        if reason is None:
            found = MARKUP.search(row["text"])
            assert found is None, (
                f"{page.title}: {row['text'][max(0, found.start() - 80) : found.end() + 80]}"
            )
            assert not re.search(r"^(?:References|External links|See also)$", row["text"], re.MULTILINE)
    with bz2.open(path, "rt", encoding="utf-8") as xml:
        pages = sum(line.strip() == "<page>" for line in xml)
    assert len(ids) == len(set(ids)) == pages == reasons.total()


def test_real_dump_through_the_stage_accounts_for_every_page(tmp_path):
    folder = tmp_path / "site" / "enwiki" / "20160501"
    folder.mkdir(parents=True)
    name = "enwiki-20160501-pages-articles.xml.bz2"
    shutil.copy(DATA / "wikipedia" / DUMPS[1], folder / name)
    status = {
        "jobs": {"articlesdump": {"status": "done", "files": {name: {"url": f"/enwiki/20160501/{name}"}}}}
    }
    (folder / "dumpstatus.json").write_text(json.dumps(status))
    values = {"connector": "wikipedia", "wiki": "enwiki", "date": "20160501", "base_url": "sample"}
    flow = crawl(values, tmp_path / "site", tmp_path / "out" / "enwiki").flows["enwiki"]
    assert flow.came_in == flow.out + flow.rejected.total() == 5
    assert {row["language"] for row in rows(tmp_path / "out" / "enwiki")} == {"en"}


def test_real_dumpstatus_lists_dumps_in_page_order_with_their_indexes():
    path = DATA / "wikipedia" / "enwiki_20230301_dumpstatus.json"
    files = dump_files(json.loads(path.read_bytes()), path.name)
    dumps = [name for name in files if ".xml" in name]
    assert all(facts["size"] for facts in files.values())
    assert all(index_name(name) in files for name in dumps if "multistream" in name)
    first_pages = [int(re.search(r"-p(\d+)p", name)[1]) for name in dumps]
    assert len(dumps) > 10
    assert first_pages == sorted(first_pages)


@pytest.mark.parametrize("name", ["212-end", "212-plane"])
def test_real_answers_say_the_same_as_xml_and_json(name):
    xml = parse_answer((DATA / "diet_api" / f"{name}.xml").read_bytes())
    derived = parse_answer((DATA / "diet_api" / f"derived_meeting_{name}.json").read_bytes())
    assert xml.number_of_records == derived.number_of_records
    assert xml.next_position == derived.next_position
    assert [one["issueID"] for one in xml.meetings] == [one["issueID"] for one in derived.meetings]
    for one, other in zip(xml.meetings, derived.meetings, strict=True):
        text = meeting_text(one)
        assert text == meeting_text(other)
        assert text
        assert "\r" not in text
        assert not re.search(r"^[　─]", text, re.MULTILINE)
        spoken = [speech for speech in one["speeches"] if speech["speechOrder"]]
        paragraphs = text.split("\n\n")
        assert len(paragraphs) == len(spoken)
        for paragraph, speech in zip(paragraphs, spoken, strict=True):
            label = re.match("○([^　]+)　", speech["speech"])[1]
            assert paragraph.startswith(f"○{label}　")


@pytest.mark.parametrize(("start", "count"), [(258, 259), (1630, 1631)])
def test_real_last_page_has_no_next_position(start, count):
    bodies = [path.read_bytes() for path in sorted((DATA / "diet_api").glob("*.xml"))]
    pages = [body for body in bodies if f"<startRecord>{start}</startRecord>".encode() in body]
    if not pages:
        pytest.skip(f"no answer from record {start} of {count} in {DATA / 'diet_api'}")
    answer = parse_answer(pages[0])
    assert answer.number_of_records == count
    assert answer.next_position is None


def test_real_error_bodies_are_recognised():
    for example in json.loads((DATA / "diet_api" / "error_examples.json").read_bytes()):
        body = example.get("body_xml") or json.dumps(example["body"], ensure_ascii=False)
        with pytest.raises(AnswerError, match=r"\(190\d\d\)"):
            parse_answer(body.encode())


def test_real_meetings_through_the_stage(tmp_path):
    meetings = {}
    for name in ("212-end", "212-plane"):
        answer = json.loads((DATA / "diet_api" / f"derived_meeting_{name}.json").read_bytes())
        meetings |= {meeting["issueID"]: meeting for meeting in answer["meetingRecord"]}
    (tmp_path / "diet").mkdir()
    (tmp_path / "diet" / "meetings.json").write_text(json.dumps({"meetingRecord": list(meetings.values())}))
    with serve(tmp_path / "diet") as url:
        values = {
            "connector": "diet",
            "from_date": "2023-10-01",
            "until_date": "2023-12-31",
            "pause_seconds": 0,
        }
        crawl({**values, "base_url": url}, tmp_path / "diet", tmp_path / "out" / "diet")
    assert {row["id"] for row in rows(tmp_path / "out" / "diet")} == {f"diet:{one}" for one in meetings}


TEXTS = {
    "aozora": {"license": "public-domain", "language": "ja", "columns": {"title": "title"}},
    "diet_fragments": {
        "license": "ndl-terms",
        "language": "ja",
        "columns": {"title": "meeting", "url": "url", "date": "date"},
    },
    "ja_js_primer": {"license": "CC-BY-4.0", "language": "ja"},
    "ja_react_docs": {"license": "CC-BY-4.0", "language": "ja"},
    "ja_vue_docs": {"license": "CC-BY-4.0", "language": "ja"},
    "ja_rust_book": {"license": "MIT", "language": "ja"},
    "en_classic_books": {"license": "public-domain", "language": "en"},
}


@pytest.mark.parametrize("name", TEXTS)
def test_real_files_all_arrive_with_unique_ids_and_no_empty_text(tmp_path, name):
    values = {"connector": "files", "generator": "human", "paths": [f"{name}.jsonl.gz"], **TEXTS[name]}
    flow = crawl(values, DATA / "text", tmp_path / name).flows[name]
    kept, rejected = rows(tmp_path / name), rows(tmp_path / name / "rejected", REJECTED)
    ids = [row["id"] for row in kept + rejected]
    assert len(set(ids)) == len(ids) == flow.came_in
    assert all(row["text"].strip() and "\r" not in row["text"] for row in kept)
    assert all(kept[0][field] for field in values.get("columns", ()))
