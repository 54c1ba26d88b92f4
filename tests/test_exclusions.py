"""Takedowns: the list of documents to leave out, and what the clean stage does with it."""

import datetime
from pathlib import Path

import pytest
from corpus_folders import kept, rejected, write_source

from components.clean import CleanSettings, run
from kajiya.errors import KajiyaError
from kajiya.exclusions import Exclusion, add, load
from kajiya.records import REJECTED
from kajiya.shards import read_dataset
from kajiya.stage import execute

DAY = datetime.date(2026, 1, 5)


def listed(path: Path, *ids: str) -> Path:
    add(path, [Exclusion(id=one, reason=f"{one}の著者の求め", requested=DAY) for one in ids])
    return path


def test_exclusion_that_was_added_is_loaded_once(tmp_path: Path):
    path = listed(tmp_path / "exclusions.yaml", "web:a")
    entry = Exclusion(id="web:a", reason="again", requested=DAY)
    assert add(path, [entry]) == []
    assert load(path) == {"web:a": Exclusion(id="web:a", reason="web:aの著者の求め", requested=DAY)}


WRITTEN = """\
# Asked of us by hand
- {id: 'web:a', reason: x, requested: 2026-01-01}  # ticket 12

# The second was a long matter:
- id: web:b
  reason: |
    on two
    lines
  requested: 2026-01-02
# Ends here
"""


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(WRITTEN, id="comments"),
        pytest.param(WRITTEN.rstrip(), id="without a last line end"),
        pytest.param("".join(f"  {line}" for line in WRITTEN.splitlines(True)), id="indented"),
        pytest.param("# What is asked for\n", id="only a comment"),
        pytest.param("", id="empty"),
    ],
)
def test_exclusion_that_is_added_leaves_what_a_person_wrote(tmp_path: Path, content):
    path = tmp_path / "exclusions.yaml"
    path.write_text(content, encoding="utf-8")
    before = load(path)
    listed(path, "web:c", "web:d")
    assert path.read_text(encoding="utf-8").startswith(content)
    after = load(path)
    assert list(after) == [*before, "web:c", "web:d"]
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        ("# Nothing yet\n[]\n", []),
        ("# Nothing yet\n[] # none", []),
        ("# Nothing yet\n[{id: 'web:a', reason: x, requested: 2026-01-01},\n]\n", ["web:a"]),
        ("# Nothing yet\n---\n- {id: 'web:a', reason: x, requested: 2026-01-01}\n...\n", ["web:a"]),
    ],
)
def test_exclusion_is_added_to_a_list_of_any_style(tmp_path: Path, content, ids):
    path = tmp_path / "exclusions.yaml"
    path.write_text(content, encoding="utf-8")
    listed(path, "web:c")
    listed(path, "web:d")
    assert list(load(path)) == [*ids, "web:c", "web:d"]
    assert path.read_text(encoding="utf-8").startswith("# Nothing yet\n")


def test_exclusions_file_of_a_new_project_is_an_empty_list():
    assert load(Path(__file__).parents[1] / "exclusions.yaml") == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- {id: 'a:1', reason: x}\n", r":1: requested: Field required"),
        ("[]\n---\n[]\n", "not valid YAML"),
        (
            "- {id: 'a:1', reason: x, requested: 2026-01-01}\n- {id: 'a:2', reason: x, requested: soon}\n",
            r":2: requested",
        ),
        ("- {id: 'a:1', reason: '', requested: 2026-01-01}\n", r":1: reason"),
        ("- {id: 'a:1', reason: x, requested: 2026-01-01, by: me}\n", r":1: by"),
        ("- a:1\n", r":1: entry: Input should be a valid dictionary"),
        ("id: 'a:1'\n", r":1: expected a list"),
        ("- {id: a, reason: x, requested: 2026-01-01}\n" * 2, r":2: a stands here twice"),
    ],
)
def test_malformed_exclusion_is_an_error_with_file_and_line(tmp_path: Path, content, message):
    path = tmp_path / "exclusions.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(KajiyaError, match=f"exclusions.yaml.*{message}"):
        load(path)


def test_taken_down_document_is_rejected_before_all_rules_and_without_its_text(tmp_path: Path):
    source = write_source(tmp_path / "crawl" / "web", {"a": "短い。", "b": "短い。", "c": "短い。"})
    exclusions = listed(tmp_path / "exclusions.yaml", "web:b", "web:unknown")
    out = tmp_path / "out"
    rules = {"documents": [{"rule": "length", "min_chars": 3}]}
    report = execute(run, CleanSettings(rules=rules), [source, exclusions], out)
    assert list(kept(out)) == ["web:a", "web:c"]
    assert rejected(out) == {"web:b": ("takedown", "web:bの著者の求め")}
    assert report.flows["web"].rejected == {"takedown": 1}
    (table,) = read_dataset(out / "rejected", REJECTED)
    assert table["text"].to_pylist() == [""]
