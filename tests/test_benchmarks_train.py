"""The training benchmark: equal work on all sides, rows that say what they are, and its table."""

import argparse
import json

import pytest

from benchmarks import checkpointing, train, trainers
from benchmarks.machine import machine
from benchmarks.train_table import table, with_table

SETTINGS = {
    "model": {"hidden_size": 32, "layers": 1, "heads": 2, "ffn_size": 64, "context": 32},
    "schedule": {"warmup_steps": 0, "final_fraction": 1.0},
    "precision": "fp32", "global_batch_sequences": 4, "micro_batch_sequences": 2, "threads_per_rank": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Of a tiny work in place of the real one, ours and HF's Trainer in processes of their own."""
    folder = tmp_path_factory.mktemp("train")
    peers = ("hf", "hf-weights-memory")
    tiny = train.WORKS["cpu-fp32"]._replace(settings=SETTINGS, vocabulary=97, peers=peers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(train.WORKS, "cpu-fp32", tiny)
        patch.setattr(train, "gpu_name", lambda: None)
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


def test_row_says_how_often_it_was_measured_and_the_command_that_does_so_again(rows):
    assert rows[0]["command"] == "python -m benchmarks.train --only cpu-fp32 --rounds 1 --steps 2"
    assert rows[0]["input"].endswith("one turn of 2 steps")
    assert len(rows[0]["ours_turns"]) == len(rows[0]["peer_turns"]) == 1


def test_peer_with_weights_in_bf16_trains_them_without_autocast(rows):
    row = rows[1]
    assert row["peer"] == "HF Trainer, weights in bf16, our memory settings"
    assert row["peer_settings"] == "transformers Trainer, bf16 weights"
    assert row["peer_turns"][-1]["loss"] == pytest.approx(row["ours_turns"][-1]["loss"], rel=0.02)


def test_gpu_rows_without_a_gpu_are_not_measured_and_say_so(rows):
    measured = rows[2:]
    assert [row["peer"] for row in measured] == [
        "HF Trainer as users start it",
        "plain loop (nanoGPT's style)",
    ]
    assert {row["ours"] for row in measured} == {None}
    assert table({"rows": measured, "machine": machine()}).count("not measured: no GPU here") == 2


def test_goal_for_the_share_of_peak_is_not_printed_beside_tokens_per_second(rows):
    row = rows[0] | {
        "ratio_goal": None, "mfu_goal": 0.5, "work": "w", "ours_mfu": 0.4, "ours_mfu_full_attention": 0.45,
    }  # fmt: skip
    first, *others = [
        line
        for line in table({"rows": [row], "machine": machine()}).splitlines()
        if line.startswith(("| w |", "w:"))
    ]
    assert "0.5" not in first.split("|")[7]
    assert others == ["w: MFU 0.400 (0.450 with attention in full; goal 0.5)."]


def test_checkpoint_row_is_the_wall_time_that_it_adds_per_interval():
    def cost(wall, held=0.0):
        return checkpointing.Cost(wall, wall, held, held)

    costs = {"without": [cost(4.0), cost(3.0)], "beside": [cost(3.6, 0.4)], "within": [cost(6.0, 3.0)]}
    arguments = argparse.Namespace(interval_seconds=60.0, steps=8, rounds=2)
    row = checkpointing.make_row(costs, 53_000_000, arguments)
    assert (row["ours"], row["peer_value"], row["ratio"]) == (0.01, 0.05, 5.0)
    assert row["input"].endswith("best of 2 turns")
    assert row["command"].endswith("--interval-seconds 60 --steps 8 --rounds 2")


@pytest.mark.parametrize("name", train.COMPANIONS)
def test_rows_of_a_companion_are_those_of_its_own_results(name):
    own = json.loads(train.RESULTS.with_name(f"{name}.json").read_text(encoding="utf-8"))
    rows = json.loads(train.RESULTS.read_text(encoding="utf-8"))["rows"]
    assert [row for row in rows if row["name"] == name] == train.taken_over(name, own) != []


def test_tokens_are_written_with_the_spans_that_the_stage_writes(tmp_path):
    trainers.write_tokens(tmp_path, vocabulary=50, tokens=5000)
    assert json.loads((tmp_path / "tokens.json").read_text())["vocabulary_size"] == 50


def test_table_of_the_page_is_that_of_the_results():
    document = train.DOCUMENT.read_text(encoding="utf-8")
    assert with_table(json.loads(train.RESULTS.read_text(encoding="utf-8")), document) == document
