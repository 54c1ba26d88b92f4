import re
from collections import Counter

import pytest
from sample_world import lines_of, texts

from kajiya.evaluation_sets import load_all, load_set
from kajiya.sample.facts import all_facts, alternatives
from kajiya.sample.settings import SampleSettings
from kajiya.sample.world import write_world

# Decontamination counts character n-grams of this length.
GRAM = 13


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    write_world(SampleSettings(), folder)
    return folder


def grams(text: str) -> set[str]:
    text = re.sub(r"\W", "", text)
    return {text[start : start + GRAM] for start in range(len(text) - GRAM + 1)}


def test_evaluation_sets_are_read_by_the_readers_of_the_pipeline(out):
    sets = {(one.name, one.split): one for one in load_all(out / "evaluation")}
    assert {name for name, _ in sets} == {"jcommonsenseqa", "jnli", "jsquad", "marc_ja", "english"}
    assert len(sets["jcommonsenseqa", "valid"].items) >= 300


def test_questions_have_one_right_choice_among_five_of_a_kind(out):
    truth = {(fact.subject, fact.object): fact.relation for fact in all_facts()}
    for item in load_set(out / "evaluation", "jcommonsenseqa", "valid").items:
        assert len(set(item.choices)) == 5
        right = item.choices[item.label]
        subject = max((one for one, other in truth if other == right and one in item.question), key=len)
        relation = truth[subject, right]
        assert set(item.choices) <= set(alternatives(relation.object_type))
        others = {truth[subject, choice].name for choice in item.choices if (subject, choice) in truth}
        assert others == {relation.name}


def test_labels_are_balanced(out):
    items = load_set(out / "evaluation", "jcommonsenseqa", "valid").items
    counts = Counter(item.label for item in items)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_right_choice_cannot_be_told_by_its_length(out):
    items = load_set(out / "evaluation", "jcommonsenseqa", "valid").items
    longest = sum(len(item.choices[item.label]) == max(map(len, item.choices)) for item in items)
    others = sum(len(choice) == max(map(len, item.choices)) for item in items for choice in item.choices)
    assert longest / others == pytest.approx(0.2, abs=0.06)


def test_passages_share_no_wording_with_corpus_or_tuning_data(out):
    leaked = {one["id"] for one in lines_of(out / "answer_key.jsonl") if one["kind"] == "leaked_evaluation"}
    seen: set[str] = set()
    for name, text in texts(out).items():
        if name not in leaked:
            seen |= grams(text)
    for path in [*out.glob("instructions/*.jsonl"), *out.glob("chat/*.jsonl")]:
        for record in lines_of(path):
            seen |= grams("\n".join(message["content"] for message in record["messages"]))
    for record in lines_of(out / "preferences/human.jsonl"):
        texts_of = [*record["prompt"], record["chosen"], record["rejected"]]
        seen |= grams("\n".join(one["content"] for one in texts_of))
    shared = [
        (one.name, passage.text)
        for one in load_all(out / "evaluation")
        for passage in one.passages()
        if grams(passage.text) & seen
    ]
    assert shared == []


def test_leaked_items_stand_whole_in_their_pages(out):
    found, sets = texts(out), {}
    for one in ("jcommonsenseqa", "jsquad"):
        sets[one] = {item.id: item for item in load_set(out / "evaluation", one, "valid").items}
    leaks = [one for one in lines_of(out / "answer_key.jsonl") if one["kind"] == "leaked_evaluation"]
    assert {leak["set"] for leak in leaks} == {"jcommonsenseqa", "jsquad"}
    for leak in leaks:
        item = sets[leak["set"]][leak["item"]]
        whole = [item.body] if leak["set"] == "jsquad" else [item.question, *item.choices]
        assert all(part in found[leak["id"]] for part in whole)


def test_sets_of_two_or_three_labels_hold_them_evenly(out):
    for name, share in (("jnli", 1 / 3), ("marc_ja", 1 / 2)):
        items = load_set(out / "evaluation", name, "valid").items
        counts = Counter(item.label for item in items)
        assert all(count / len(items) == pytest.approx(share, abs=0.02) for count in counts.values())
