"""The clean stage on folders: what is kept, what is rejected with which value, what is measured."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from clean_texts import OTHER_PROSE, PROSE
from corpus_folders import kept, output_bytes, rejected, write_source

from components.clean import CleanSettings, run
from components.clean.documents import clean_documents
from components.clean.rulesets import RULE_SETS
from kajiya.errors import KajiyaError
from kajiya.exclusions import Exclusion, add
from kajiya.records import REJECTED
from kajiya.settings import load_settings
from kajiya.shards import list_shards, read_dataset
from kajiya.stage import execute

EXCLUSIONS = Path(__file__).parents[1] / "exclusions.yaml"


def test_clean_keeps_every_document_in_out_or_rejected(tmp_path: Path):
    texts = {
        "a": "　連絡：a@example.com\r\n" + PROSE,
        "b": "短い。",
        "c": "トップページ\nホーム",
        "d": OTHER_PROSE,
    }
    source = write_source(tmp_path / "crawl" / "web", texts)
    out = tmp_path / "clean" / "web"
    report = execute(run, CleanSettings(rules="web-ja"), [source, EXCLUSIONS], out)
    assert kept(out) == {"web:a": "連絡：<email>\n" + PROSE, "web:d": OTHER_PROSE}
    assert rejected(out)["web:b"] == ("length", "3")
    assert rejected(out)["web:c"] == ("length", "0")
    flow = report.flows["web"]
    assert (flow.came_in, flow.out + flow.rejected.total()) == (4, 4)
    assert report.figures["masked"] == {"address": 0, "card": 0, "email": 1, "mynumber": 0, "phone": 0}
    assert report.figures["lines"]["navigation"] == 2


def test_clean_with_more_workers_writes_the_same_bytes(tmp_path: Path, monkeypatch):
    texts = {str(i): f"{i}番目の文書です。{PROSE if i % 3 else '短い。'}" for i in range(30)}
    source = write_source(tmp_path / "crawl" / "web", texts, shard_bytes=1500)
    outputs = []
    for workers in ("1", "2"):
        monkeypatch.setenv("KAJIYA_WORKERS", workers)
        out = tmp_path / workers / "web"
        execute(run, CleanSettings(rules="web-ja"), [source, EXCLUSIONS], out)
        outputs.append(output_bytes(out))
    assert len(outputs[0]) > 4
    assert outputs[0] == outputs[1]


def test_clean_of_an_empty_source_says_which(tmp_path: Path):
    source = write_source(tmp_path / "crawl" / "web", {})
    with pytest.raises(KajiyaError, match="crawl/web: holds no documents"):
        execute(run, CleanSettings(rules="web-ja"), [source, EXCLUSIONS], tmp_path / "clean" / "web")


def test_clean_that_keeps_nothing_names_the_reasons(tmp_path: Path):
    source = write_source(tmp_path / "crawl" / "web", {"a": "短い。", "b": "短い。"})
    with pytest.raises(KajiyaError, match=r"crawl/web: all 2 documents were rejected \(length 2\)"):
        execute(run, CleanSettings(rules="web-ja"), [source, EXCLUSIONS], tmp_path / "clean" / "web")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{rules: web-jp}", "clean.web.rules: no rule set of this name, known are: web-ja"),
        ("{rules: {documents: [{rule: length, min_char: 3}]}}", "min_char: unknown setting"),
        ("{}", "clean.web.rules: must be given"),
        (
            "{rules: {from: web-ja, change: {length: {min_chars: 5000, max_chars: 10}}}}",
            "rule length: min_chars 5000 is above max_chars 10: no document could pass",
        ),
    ],
)
def test_clean_with_a_wrong_setting_names_file_line_and_key(tmp_path: Path, section, message):
    params = tmp_path / "params.yaml"
    params.write_text(f"clean:\n  web: {section}\n", encoding="utf-8")
    with pytest.raises(KajiyaError) as error:
        load_settings(CleanSettings, params, ["clean", "web"])
    assert message in str(error.value)
    assert "params.yaml:2" in str(error.value)


def test_clean_with_an_own_rule_list_uses_that_alone(tmp_path: Path):
    params = tmp_path / "params.yaml"
    params.write_text("clean: {web: {rules: {documents: [{rule: length, min_chars: 3}]}}}", encoding="utf-8")
    config = load_settings(CleanSettings, params, ["clean", "web"])
    source = write_source(tmp_path / "crawl" / "web", {"a": "abc", "b": "ab"})
    execute(run, config, [source, EXCLUSIONS], tmp_path / "out")
    assert (list(kept(tmp_path / "out")), rejected(tmp_path / "out")) == (
        ["web:a"],
        {"web:b": ("length", "2")},
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Path:
    """Two shards cleaned by web-ja, with a takedown, an empty text and several reasons."""
    root = tmp_path_factory.mktemp("measured")
    texts = {"good": PROSE, "short": "短い。", "down": OTHER_PROSE, "menu": "ホーム\nトップページ"}
    texts |= {
        "again": PROSE + "とてもよい湖ですよ、" * 40 + "。",
        "lines": (PROSE + "\n") * 3,
        "other": OTHER_PROSE,
    }
    source = write_source(root / "crawl" / "web", texts, shard_bytes=1200)
    exclusions = root / "exclusions.yaml"
    add(exclusions, [Exclusion(id="web:down", reason="求め", requested="2026-01-01")])
    settings = {"from": "web-ja", "add": [{"rule": "open_end"}], "change": {"length": {"min_chars": 0}}}
    execute(run, CleanSettings(rules=settings), [source, exclusions], root / "web")
    assert len(list_shards(source)) > 1
    return root


def measures(root: Path) -> list[dict]:
    return [row for path in list_shards(root / "web" / "measures") for row in pq.read_table(path).to_pylist()]


def test_measures_lie_beside_each_shard_in_the_order_of_the_crawl(measured: Path):
    for crawled, path in zip(
        list_shards(measured / "crawl" / "web"), list_shards(measured / "web" / "measures"), strict=True
    ):
        assert crawled.name == path.name
        assert pq.read_table(crawled)["id"].to_pylist() == pq.read_table(path)["id"].to_pylist()
    assert {row["id"]: row["reason"] for row in measures(measured)} == {
        "web:good": None,
        "web:short": None,
        "web:down": "takedown",
        "web:menu": "japanese_share",
        "web:again": "duplicate_ngrams_5",
        "web:lines": "duplicate_lines",
        "web:other": None,
    }


def test_kept_documents_follow_from_the_measures_and_the_rules_alone(measured: Path):
    """What the audit's "what if" stands on."""
    rules = json.loads((measured / "web" / "rules.json").read_text(encoding="utf-8"))
    for row in measures(measured):
        failed = [
            rule["name"]
            for rule in rules
            if (rule["direction"] == "min" and row[rule["name"]] < rule["threshold"])
            or (rule["direction"] == "max" and row[rule["name"]] > rule["threshold"])
        ]
        assert row["kept"] == (row["reason"] is None)
        if row["reason"] not in ("takedown", "empty"):
            assert row["reason"] == next(iter(failed), None)


def test_rules_file_has_one_entry_per_bound_with_its_source(measured: Path):
    rules = json.loads((measured / "web" / "rules.json").read_text(encoding="utf-8"))
    assert [(one["direction"], one["threshold"]) for one in rules if one["name"] == "length"] == [
        ("min", 0),
        ("max", 10_000_000),
    ]
    assert {"name", "rule", "direction", "threshold", "source", "description"} == set(rules[0])
    assert all(one["source"] and one["description"] for one in rules)
    columns = pq.read_table(list_shards(measured / "web" / "measures")[0]).column_names
    assert columns == ["id", "kept", "reason", "chars", *dict.fromkeys(one["name"] for one in rules)]


def test_rejected_document_tells_value_and_threshold(measured: Path):
    (row,) = [
        row
        for table in read_dataset(measured / "web" / "rejected", REJECTED)
        for row in table.to_pylist()
        if row["id"] == "web:lines"
    ]
    assert (row["reason"], row["threshold"]) == ("duplicate_lines", 0.3)
    assert row["value"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", RULE_SETS)
def test_every_named_set_measures_every_text_as_a_number(tmp_path: Path, name):
    texts = {"prose": PROSE, "one": "あ", "code": "def f(x):\n    return x + 1\n" * 5, "sign": "★" * 30}
    source = write_source(tmp_path / "crawl" / "web", texts)
    documents = next(read_dataset(source))
    table = clean_documents(documents, RULE_SETS[name], True, {}).measures
    values = np.array([table[rule.name].to_numpy() for rule in RULE_SETS[name].documents])
    assert values.shape == (len(RULE_SETS[name].documents), 4)
    assert np.isfinite(values).all()


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("{from: web-jp}", "no rule set of this name"),
        ("{from: web-ja, change: {lenght: {min_chars: 3}}}", "no rule `lenght` in the set to change"),
        ("{from: web-ja, drop: [open_end]}", "no rule `open_end` in the set to change"),
        ("{from: web-ja, add: [{rule: length}]}", "`length` stands here twice"),
        ("{from: web-ja, change: {length: {min_char: 3}}}", "rule `length` has no setting `min_char`"),
        ("{from: web-ja, change: {length: 3}}", "rule `length` has no setting `3`"),
    ],
)
def test_changed_rule_set_with_a_slip_is_an_error(tmp_path: Path, rules, message):
    params = tmp_path / "params.yaml"
    params.write_text(f"clean: {{web: {{rules: {rules}}}}}\n", encoding="utf-8")
    with pytest.raises(KajiyaError) as error:
        load_settings(CleanSettings, params, ["clean", "web"])
    assert message in str(error.value)


def test_changed_rule_set_keeps_what_it_does_not_name():
    changed = CleanSettings(
        rules={
            "from": "web-ja",
            "change": {"length": {"min_chars": 7}},
            "drop": ["broken_off"],
            "lines": ["footer"],
        }
    ).rules
    named = RULE_SETS["web-ja"].documents
    assert [rule.name for rule in changed.documents] == [
        rule.name for rule in named if rule.name != "broken_off"
    ]
    assert (changed.documents[1].min_chars, changed.documents[2], changed.lines) == (7, named[2], ("footer",))
