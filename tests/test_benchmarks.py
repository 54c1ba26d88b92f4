"""The corpus benchmark: what it measures, what it says of a peer that cannot run, and its tables."""

import json

import pytest

from benchmarks import corpus, inputs
from benchmarks.tables import TABLES, extrapolation_table, speed_table, two_processes_table, with_tables


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Of the signatures over a little of the sample world, where no peer is installed."""
    root = tmp_path_factory.mktemp("benchmark")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "SHARED", root / "no-real-data")
        size = ["--megabytes", "0.1", "--rounds", "1"]
        places = [
            "--work",
            str(root / "work"),
            "--out",
            str(root / "out.json"),
            "--peers",
            str(root / "absent"),
        ]
        corpus.main(["--only", "signatures", *size, *places])
    return json.loads((root / "out.json").read_text(encoding="utf-8"))


def test_row_says_what_was_measured_on_what_and_how_to_do_it_again(results):
    row = results["rows"][0]
    assert row["ours"] > 0
    assert row["ours_counts"]["permutations"] == 128
    assert row["ours_counts"]["documents"] > 10
    assert row["input"] == "0.1 MB of text of the sample world"
    assert row["command"] == "python -m benchmarks.corpus --only signatures"
    assert (row["unit"], row["cores"], row["goal"]) == ("MB/s/core", 1, 200)


def test_peer_that_cannot_run_has_no_value_and_a_reason(results):
    rows = results["rows"]
    assert [row["peer"] for row in rows] == ["rensa, from text", "datasketch", "datatrove (Japanese words)"]
    assert {row["peer_value"] for row in rows} == {row["ratio"] for row in rows} == {None}
    assert all("make bench-corpus" in row["peer_reason"] for row in rows)
    assert speed_table(results).count("not run") == 3


def row(name, ours, **more):
    return {"name": name, "work": name, "ours": ours, "unit": "MB/s/core", "goal": None, "cores": 1} | more


def test_extrapolation_is_the_corpus_through_each_stage():
    line = extrapolation_table({"rows": [row("clean", 50.0)]}).splitlines()[2]
    assert line == "| clean | 50 | 3.9 h | 4 min |"  # 700,000 MB / 50 MB/s = 14,000 s


def test_two_processes_stand_in_a_table_of_their_own():
    peer = {"peer": "one process", "peer_value": 40.0, "ratio": 1.9, "ratio_goal": 1.8, "peer_reason": None}
    rows = [row("clean", 40.0, **peer), row("two-processes", 76.0, **peer | {"cores": 2}, work="clean, two")]
    assert two_processes_table({"rows": rows}).splitlines()[2:] == [
        "| clean | 40 MB/s/core | 76 | 1.9 | 1.8 |"
    ]
    assert len(speed_table({"rows": rows}).splitlines()) == 3


def test_tables_of_the_page_are_those_of_the_results():
    document = corpus.DOCUMENT.read_text(encoding="utf-8")
    results = json.loads(corpus.RESULTS.read_text(encoding="utf-8"))
    assert with_tables(results, document) == document
    assert all(f"<!-- {name} -->" in document for name in TABLES)
