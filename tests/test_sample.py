import bz2
import hashlib
import json
import random
import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from lxml import etree
from sample_world import DUMP, NAMESPACE, articles, lines_of, texts, web_pages, wikitext

from components.sample import run
from kajiya.sample.defects import jaccard
from kajiya.sample.facts import all_facts, entities, read_data, true_objects
from kajiya.sample.prose import PLAIN, POLITE, SPOKEN, Writer
from kajiya.sample.settings import SampleSettings

TUNING = ("instructions", "chat", "preferences")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The default world: its folder, its report, and its answer key."""
    out = tmp_path_factory.mktemp("sample")
    report = run(SampleSettings(), out=out)
    return out, report.figures, lines_of(out / "answer_key.jsonl")


def written(out: Path, **settings) -> dict[str, str]:
    run(SampleSettings(**settings), out=out)
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_world_written_twice_is_the_same_to_the_byte(tmp_path):
    assert written(tmp_path / "a", scale=0.05) == written(tmp_path / "b", scale=0.05)


def test_world_of_another_seed_has_the_same_files_with_other_content(tmp_path):
    left, right = written(tmp_path / "a", scale=0.05), written(tmp_path / "b", scale=0.05, seed=7)
    assert left.keys() == right.keys()
    assert not set(left.values()) & set(right.values())


def test_world_holds_three_megabytes_of_text(world):
    out, figures, _ = world
    assert figures["text_bytes_total"] >= 3_000_000
    plain = sum(len(page["text"].encode()) for page in web_pages(out).values())
    assert figures["text_bytes"]["c4"] == plain


def test_facts_are_several_hundred_and_name_different_things():
    facts = [(fact.relation.name, fact.subject, fact.object) for fact in all_facts()]
    assert len(facts) > 400
    assert len(set(facts)) == len(facts)
    assert all(len(true_objects(relation, subject)) == 1 for relation, subject, _ in facts)


@pytest.mark.parametrize("register", [PLAIN, POLITE, SPOKEN])
def test_sentences_of_every_fact_leave_no_mark_of_a_frame(register):
    for fact in all_facts():
        writer = Writer(random.Random(fact.subject), register)
        for sentence in (writer.state(fact), writer.fill(fact.relation.group, fact.subject)):
            assert not re.search(r"[\[\]<>{}|/]|。。", sentence), sentence
            assert sentence.endswith(("。", "」"))


def test_every_asked_fact_is_said_in_many_documents(world):
    out, _, _ = world
    documents = list(texts(out).values())
    asked = [fact for fact in all_facts() if fact.relation.askable]
    near = {
        (fact.subject, fact.object): sum(fact.subject in text and fact.object in text for text in documents)
        for fact in asked
    }
    rare = {pair: count for pair, count in near.items() if count < 60}
    assert not rare


def test_dump_status_tells_size_and_hashes_of_its_files(world):
    folder = world[0] / DUMP
    jobs = json.loads((folder / "dumpstatus.json").read_bytes())["jobs"]
    sums = dict(
        reversed(line.split("  "))
        for line in (folder / "jawiki-20260101-sha1sums.txt").read_text().splitlines()
    )
    assert {job: len(jobs[job]["files"]) for job in jobs} == {"articlesdump": 1, "articlesmultistreamdump": 2}
    for job in jobs.values():
        for name, told in job["files"].items():
            content = (folder / name).read_bytes()
            assert told["size"] == len(content)
            assert told["md5"] == hashlib.md5(content).hexdigest()
            assert told["sha1"] == sums[name] == hashlib.sha1(content).hexdigest()
            assert told["url"] == f"/jawiki/20260101/{name}"


def test_dump_stream_at_each_offset_of_the_index_holds_its_pages(world):
    folder = world[0] / DUMP
    content = (folder / "jawiki-20260101-pages-articles-multistream.xml.bz2").read_bytes()
    index = bz2.decompress((folder / "jawiki-20260101-pages-articles-multistream-index.txt.bz2").read_bytes())
    told: dict[int, list[tuple[str, str]]] = {}
    for line in index.decode().splitlines():
        offset, page_id, title = line.split(":", 2)
        told.setdefault(int(offset), []).append((page_id, title))
    assert len(told) > 3
    for offset, pages in told.items():
        stream = bz2.BZ2Decompressor().decompress(content[offset:])
        root = etree.fromstring(b"<pages>" + stream + b"</pages>")
        assert [(page.findtext("id"), page.findtext("title")) for page in root] == pages


def test_multistream_dump_decodes_to_the_single_stream_dump(world):
    folder = world[0] / DUMP
    plain, parts = (
        bz2.decompress((folder / f"jawiki-20260101-pages-articles{kind}.xml.bz2").read_bytes())
        for kind in ("", "-multistream")
    )
    assert plain == parts


def test_dump_pages_carry_the_markup_of_real_ones(world):
    everything = "\n".join(wikitext(page) for page in articles(world[0]).values())
    for mark in ("{{仮リンク|", "{{基礎情報", "<ref", '{| class="wikitable', "[[ファイル:", "{{要出典|", "<math>", "<gallery>",
                 "<nowiki>", "<!--", "[[Category:", "== 脚注 ==", "{{convert|", "{{Reflist}}", "{{aimai}}"):  # fmt: skip
        assert mark in everything, mark


def test_dump_revisions_tell_bytes_and_sha1_of_their_text(world):
    for page in articles(world[0]).values():
        text = page.find(f"{NAMESPACE}revision/{NAMESPACE}text")
        content = (text.text or "").encode()
        assert int(text.get("bytes")) == len(content)
        assert int(text.get("sha1"), 36) == int(hashlib.sha1(content).hexdigest(), 16)


def test_shards_hold_the_three_fields_of_c4(world):
    pages = web_pages(world[0])
    assert (
        len(list(world[0].glob("c4/datasets/allenai/c4/resolve/*/multilingual/c4-ja.tfrecord-*.json.gz")))
        == 4
    )
    assert all(set(page) == {"text", "timestamp", "url"} for page in pages.values())
    assert all(
        re.fullmatch(r"https://[a-z0-9]+\.example\.(jp|com|net)/\S+", page["url"]) for page in pages.values()
    )


def test_good_pages_are_no_copies_of_each_other(world):
    out, _, key = world
    planted = {entry["id"] for entry in key if entry["kind"] != "inline_template"}
    good = [text for name, text in texts(out).items() if name not in planted and len(text) > 200]
    for some in (good, [text for text in good if "{{Reflist}}" in text]):
        chosen = random.Random(1).sample(some, 40)
        assert max(jaccard(left, right) for left, right in combinations(chosen, 2)) < 0.5


def test_answer_key_names_documents_that_exist(world):
    out, figures, key = world
    known = texts(out).keys()
    documents = [entry for entry in key if entry["kind"] != "forbidden_generator"]
    assert {entry["id"] for entry in documents} <= known
    assert {entry["of"] for entry in documents if "of" in entry} <= known
    assert Counter(entry["kind"] for entry in key) == figures["planted"]


def test_answer_key_values_stand_in_their_documents(world):
    out, _, key = world
    found = texts(out)
    for entry in key:
        if entry["kind"] in ("email", "phone"):
            assert entry["value"] in found[entry["id"]]
        elif entry["kind"] == "menu_lines":
            assert set(entry["value"]) <= set(found[entry["id"]].split("\n"))


def test_answer_key_copies_are_as_similar_as_it_says(world):
    out, _, key = world
    found = texts(out)
    for entry in key:
        if entry["kind"] == "exact_duplicate":
            assert found[entry["id"]] == found[entry["of"]]
        elif entry["kind"] == "near_duplicate":
            assert entry["jaccard"] == round(jaccard(found[entry["id"]], found[entry["of"]]), 3)
            assert 0.85 <= entry["jaccard"] < 1


def test_answer_key_lists_every_record_of_a_forbidden_generator(world):
    out, _, key = world
    told = {(one["path"], one["id"]) for one in key if one["kind"] == "forbidden_generator"}
    files = [path for folder in TUNING for path in sorted(out.glob(f"{folder}/*.jsonl"))]
    records = {path: lines_of(path) for path in files}
    found = {
        (f"{path.parent.name}/{path.name}", record["id"])
        for path, some in records.items()
        for record in some
        if "gpt-4" in json.dumps(record)
    }
    assert found == told
    assert {place for place, _ in told} == {f"{path.parent.name}/{path.name}" for path in records}


def test_conversations_alternate_and_end_with_the_assistant(world):
    for path in [*world[0].glob("instructions/*.jsonl"), *world[0].glob("chat/*.jsonl")]:
        for record in lines_of(path):
            roles = [message["role"] for message in record["messages"]]
            spoken = roles[1:] if roles[0] == "system" else roles
            assert spoken == ["user", "assistant"] * (len(spoken) // 2)
            assert record["license"] == "CC0-1.0"


def test_last_reply_of_many_chats_stands_in_an_earlier_reply_only(world):
    frames = read_data("evaluation.yaml")["chat"]
    looking_back = 0
    for record in lines_of(world[0] / "chat/human.jsonl"):
        *earlier, asked, answered = record["messages"]
        if asked["content"] in frames["first_user"] + frames["list_user"]:
            looking_back += 1
            told = " ".join(message["content"] for message in earlier if message["role"] == "assistant")
            named = re.sub(r"^(一つ目の|はじめの)答えは|はい、|(です|でした)。$", "", answered["content"])
            assert all(part in told for part in named.split("、"))
            assert all(part not in asked["content"] for part in named.split("、"))
    assert looking_back > 100


def test_rejected_answers_differ_from_the_chosen(world):
    for record in lines_of(world[0] / "preferences/human.jsonl"):
        assert record["chosen"]["content"] != record["rejected"]["content"]
        assert [message["role"] for message in record["prompt"]] == ["user"]


def test_meetings_have_ids_of_21_characters_and_speeches_as_printed(world):
    meetings = json.loads((world[0] / "diet/meetings.json").read_bytes())["meetingRecord"]
    dates = [meeting["date"] for meeting in meetings]
    assert dates == sorted(dates, reverse=True)
    for meeting in meetings:
        assert len(meeting["issueID"]) == 21
        header, *speeches = meeting["speechRecord"]
        assert (header["speaker"], header["speechOrder"]) == ("会議録情報", 0)
        assert all(re.match(r"○.+君(）)?　", speech["speech"]) for speech in speeches)
        assert "\n" not in header["speech"].replace("\r\n", "")


def test_entities_have_one_type_each_where_articles_are_written():
    assert entities()["青森県"] == "都道府県"
    assert entities()["パリ"] == "首都"
