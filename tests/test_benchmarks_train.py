"""The training benchmark: equal work on all sides, rows that say what they are, and its table."""

import json

import pytest

from benchmarks import train, trainers
from benchmarks.train_table import machine, table, with_table

SETTINGS = {
    "model": {"hidden_size": 32, "layers": 1, "heads": 2, "ffn_size": 64, "context": 32},
    "schedule": {"warmup_steps": 0, "final_fraction": 1.0},
    "precision": "fp32", "global_batch_sequences": 4, "micro_batch_sequences": 2, "threads_per_rank": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Of a tiny work in place of the real one, ours and HF's Trainer in processes of their own."""
    folder = tmp_path_factory.mktemp("train")
    tiny = train.WORKS["cpu-fp32"]._replace(settings=SETTINGS, vocabulary=97)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(train.WORKS, "cpu-fp32", tiny)
        names = ["--only", "cpu-fp32", "gpu-1.3b"]
        places = ["--work", str(folder), "--out", str(folder / "out.json")]
        train.main([*names, "--rounds", "1", "--steps", "2", *places])
    return json.loads((folder / "out.json").read_text())["rows"]


def test_both_sides_train_the_same_model_on_the_same_sequences(rows):
    row = rows[0]
    ours, theirs = row["ours_turns"][-1], row["peer_turns"][-1]
    assert ours["tokens"] == theirs["tokens"] == 2 * 4 * 32
    # transformers predicts one token less of each sequence.
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=0.01)
    assert row["ratio"] == pytest.approx(row["ours"] / row["peer_value"], rel=0.01)
    assert (row["unit"], row["cores"], row["reason"]) == ("tokens per CPU second", 1, None)
    assert row["command"] == "python -m benchmarks.train --only cpu-fp32"


def test_gpu_rows_without_a_gpu_are_not_measured_and_say_so(rows, monkeypatch):
    assert [row["peer"] for row in rows[1:]] == list(train.PEER_NAMES.values())
    assert {row["ours"] for row in rows[1:]} == {None}
    assert table({"rows": rows[1:], "machine": machine()}).count("not measured: no GPU here") == 2


def test_tokens_are_written_with_the_spans_that_the_stage_writes(tmp_path):
    trainers.write_tokens(tmp_path, vocabulary=50, tokens=5000)
    assert json.loads((tmp_path / "tokens.json").read_text())["vocabulary_size"] == 50


def test_table_of_the_page_is_that_of_the_results():
    document = train.DOCUMENT.read_text(encoding="utf-8")
    assert with_table(json.loads(train.RESULTS.read_text(encoding="utf-8")), document) == document
