"""The corpus stages against the sample world's answer key: what was planted is caught, good text stays."""

import json
import re
from collections import defaultdict
from pathlib import Path

import pytest
from corpus_folders import kept, rejected

from components.clean import CleanSettings
from components.clean import run as run_clean
from components.crawl import run as run_crawl
from components.crawl.settings import CrawlSettings
from components.decontaminate import DecontaminateSettings
from components.decontaminate import run as run_decontaminate
from components.dedupe import DedupeSettings
from components.dedupe import run as run_dedupe
from kajiya.sample.settings import SampleSettings
from kajiya.sample.world import write_world
from kajiya.settings import load_settings
from kajiya.stage import execute

PARAMS = Path(__file__).parents[1] / "params.yaml"
EXCLUSIONS = PARAMS.with_name("exclusions.yaml")
SOURCES = ("wikipedia", "c4", "diet", "files")
# Kinds that drop a document, and the stage that must.
DROPPED_BY = {
    "menu": "clean",
    "mojibake": "clean",
    "truncated": "clean",
    "spam": "clean",
    "adult": "clean",
    "too_short": "clean",
    "wrong_language": "clean",
    "leaked_evaluation": "decontaminate",
}
COPIES = ("exact_duplicate", "near_duplicate", "near_duplicate_across_sources")
TAKEN_OUT = ("email", "phone", "menu_lines")


class Outcome:
    """What became of every document that was crawled."""

    def __init__(self, root: Path):
        self.texts: dict[str, str] = {}
        self.dropped: dict[str, tuple[str, str]] = {}
        self.key: dict[str, list[dict]] = defaultdict(list)
        for line in (root / "sample" / "answer_key.jsonl").read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            self.key[entry["kind"]].append(entry)
        self.texts = kept(root / "decontaminated")
        folders = {root / "clean" / source: "clean" for source in SOURCES}
        folders |= {root / "deduped": "dedupe", root / "decontaminated": "decontaminate"}
        for folder, stage in folders.items():
            self.dropped |= {name: (stage, reason) for name, (reason, _) in rejected(folder).items()}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory) -> Outcome:
    root = tmp_path_factory.mktemp("chain")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KAJIYA_WORKERS", "1")  # the world is small, starting workers is not
        write_world(SampleSettings(scale=0.25), root / "sample")
        for source in SOURCES:
            crawl = load_settings(CrawlSettings, PARAMS, ["crawl", source])
            execute(run_crawl, crawl, [root / "sample" / source], root / "crawl" / source)
            clean = load_settings(CleanSettings, PARAMS, ["clean", source])
            execute(run_clean, clean, [root / "crawl" / source, EXCLUSIONS], root / "clean" / source)
        dedupe = load_settings(DedupeSettings, PARAMS, ["dedupe"])
        execute(run_dedupe, dedupe, [root / "clean"], root / "deduped")
        decontaminate = load_settings(DecontaminateSettings, PARAMS, ["decontaminate"])
        inputs = [root / "deduped", root / "sample" / "evaluation"]
        execute(run_decontaminate, decontaminate, inputs, root / "decontaminated")
    return Outcome(root)


@pytest.mark.parametrize(("kind", "stage"), DROPPED_BY.items())
def test_planted_document_is_dropped_by_its_stage(outcome, kind, stage):
    planted = [entry["id"] for entry in outcome.key[kind]]
    caught = [name for name in planted if outcome.dropped.get(name, ("",))[0] == stage]
    assert planted
    assert len(caught) >= 0.95 * len(planted), set(planted) - set(caught)


@pytest.mark.parametrize(
    ("kind", "reason"), [("spam", "advertising_words"), ("adult", "adult_words"), ("mojibake", "mojibake")]
)
def test_planted_document_is_dropped_for_what_it_is(outcome, kind, reason):
    reasons = [outcome.dropped[entry["id"]][1] for entry in outcome.key[kind]]
    assert reasons.count(reason) >= 0.9 * len(reasons)


@pytest.mark.parametrize("kind", COPIES)
def test_of_planted_copies_at_most_one_stays(outcome, kind):
    both = [one for one in outcome.key[kind] if one["id"] in outcome.texts and one["of"] in outcome.texts]
    assert outcome.key[kind]
    assert both == []


@pytest.mark.parametrize("kind", TAKEN_OUT)
def test_planted_lines_and_personal_data_are_gone_and_the_page_stays(outcome, kind):
    assert outcome.key[kind]
    for entry in outcome.key[kind]:
        values = entry["value"] if isinstance(entry["value"], list) else [entry["value"]]
        text = outcome.texts.get(entry["id"], "")
        assert [value for value in values if value in text] == []
    staying = [entry["id"] in outcome.texts for entry in outcome.key[kind]]
    assert sum(staying) >= 0.9 * len(staying)


def test_good_documents_are_lost_in_less_than_two_of_a_hundred_cases(outcome):
    defects = (*DROPPED_BY, *COPIES)
    bad = {entry["id"] for kind in defects for entry in outcome.key[kind]}
    originals = {entry["of"] for kind in COPIES for entry in outcome.key[kind]}
    good = (outcome.texts.keys() | outcome.dropped.keys()) - bad - originals
    lost = {name: outcome.dropped[name] for name in good if name in outcome.dropped}
    assert len(good) > 200
    assert len(lost) < 0.02 * len(good), lost


def test_personal_data_is_seen_in_less_than_two_of_a_hundred_pages_that_have_none(outcome):
    planted = {entry["id"] for kind in ("email", "phone") for entry in outcome.key[kind]}
    without = {name: text for name, text in outcome.texts.items() if name not in planted}
    wrong = [
        name for name, text in without.items() if re.search("<(email|phone|address|card|mynumber)>", text)
    ]
    assert len(without) > 200
    assert len(wrong) < 0.02 * len(without), wrong
