"""Whole trainings of a tiny model in real ranks: resumed, continued, diverging."""

import json
import shutil
import signal
from pathlib import Path

import pytest
from test_pretrain import prepare, small
from training_run import (
    contents,
    events,
    losses,
    rank_processes,
    saved_steps,
    signal_all,
    start,
    train,
    wait_for_checkpoint,
    wait_for_step,
    work_of,
)
from transformers import AutoModelForCausalLM, AutoTokenizer

from kajiya.errors import TRY_AGAIN, KajiyaError
from kajiya.lm import checkpoint


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    return train(world, small(), tmp_path_factory.mktemp("undisturbed") / "base")


def test_killed_run_with_damaged_newest_checkpoint_ends_in_the_same_bytes(world, trained, tmp_path, capfd):
    out = tmp_path / "base"
    stage = start(world, small(), out)
    wait_for_checkpoint(stage, out, step=8)
    stage.kill()
    assert stage.wait() == -9, "the stage ended before it could be killed"
    newest = saved_steps(out)[-1]
    part = checkpoint.step_folder(work_of(out) / "checkpoints", newest) / "rank-0.safetensors"
    content = bytearray(part.read_bytes())
    content[-1] ^= 1
    part.write_bytes(content)
    train(world, small(), out)
    said = capfd.readouterr().err
    assert f"step-{newest:08d} is damaged" in said
    assert f"continuing at step {newest - 4}" in said
    assert contents(out) == contents(trained)


def disturb(world, config, out: Path, step: int, number: int, ranks: int = 2) -> None:
    """Start, and at `step` kill the last rank, or send the stage a notice to stop. It ends with "try again"."""
    stage = start(world, config, out, KAJIYA_RANKS=str(ranks))
    assert wait_for_step(stage, out, step), (out.parent / f"{out.name}.log").read_text()
    if number == signal.SIGKILL:
        signal_all(rank_processes(out)[-1:], number)
    else:  # to all, as a machine that goes does; by way of the launcher alone the last step might be quicker
        signal_all([stage.pid, *rank_processes(out)], number)
    assert stage.wait() == TRY_AGAIN


def test_two_ranks_killed_end_in_the_same_bytes_and_with_other_ranks_within_the_bound(world, tmp_path):
    config = small(
        ranks=2,
        zero_stage=3,
        steps=40,
        max_epochs=99,
        save_every_steps=5,
        validate_every_steps=40,
        precision="fp32",
    )
    whole = train(world, config, tmp_path / "whole" / "base")
    out = tmp_path / "killed" / "base"
    disturb(world, config, out, 12, signal.SIGKILL)
    shutil.copytree(out.parent, tmp_path / "changed")
    assert contents(train(world, config, out)) == contents(whole)
    (cause, _) = [event["why"] for event in events(out) if event["event"] == "end"]
    assert "rank 1 of the training was killed by SIGKILL" in cause

    changed = tmp_path / "changed" / "base"
    disturb(world, config, changed, 24, signal.SIGTERM, ranks=1)
    assert 24 <= saved_steps(changed)[-1] < 60
    train(world, config, changed)
    assert [event["ranks"] for event in events(changed) if event["event"] == "begin"] == [2, 1, 2]
    assert contents(changed)["samples.parquet"] == contents(whole)["samples.parquet"]
    # The bound of docs/pretraining.md.
    assert losses(changed) == pytest.approx(losses(whole), rel=1e-4)


def test_trained_model_has_learned_and_loads_with_its_tokenizer(trained):
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4, 6, 8, 10, 12]
    assert rows[0]["loss"] > 3.9  # log(64) = 4.16 before training
    assert rows[-1]["validation_loss"] < 3.0
    assert {"validation_loss/diet", "validation_loss/wikipedia"} <= rows[-1].keys()
    model = AutoModelForCausalLM.from_pretrained(trained)
    ids = AutoTokenizer.from_pretrained(trained)("あぃい", return_tensors="pt").input_ids
    assert model(ids).logits.shape[-1] == 64
    report = json.loads((trained.parent / "base.report.json").read_text())["figures"]
    assert report["parameters"] == model.num_parameters()
    assert report["tokens_seen"] == 12 * 16 * 16


def test_base_model_is_continued_from_its_weights(world, trained, tmp_path):
    config = small(steps=1, schedule={"warmup_steps": 0}, precision="fp32", zero_stage=0)
    out = train(world | {"base": trained}, config, tmp_path / "base")
    first = json.loads((out / "metrics.jsonl").read_text())
    assert first["loss"] < 3.0


def test_training_on_cpus_needs_no_compiler(world, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    train(world, small(steps=2), tmp_path / "base")
    assert (tmp_path / "base" / "model.safetensors").is_file()


def test_operator_without_a_compiler_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    from deepspeed.ops.op_builder import CPUAdamBuilder

    from components.pretrain.deepspeed_engine import explain_missing_compiler

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KajiyaError, match=r"apt-get install g\+\+ ninja-build"), explain_missing_compiler():
        CPUAdamBuilder().load(verbose=False)


def test_diverging_training_stops_naming_the_step(world, tmp_path):
    config = small(
        optimizer={"peak_learning_rate": 1e30},
        schedule={"warmup_steps": 0},
        guards={"not_finite": "skip", "max_skips": 2},
    )
    with pytest.raises(KajiyaError, match=r"at step [2-9]\b.*peak_learning_rate"):
        train(world, config, tmp_path / "base")
    assert not (tmp_path / "base").exists()
