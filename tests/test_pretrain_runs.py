"""Whole trainings of a tiny model in real ranks: resumed, continued, diverging."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from test_pretrain import prepare, small
from transformers import AutoModelForCausalLM, AutoTokenizer

from components.pretrain import run
from components.pretrain.settings import PretrainSettings
from kajiya.errors import KajiyaError
from kajiya.lm import checkpoint
from kajiya.stage import execute

INPUTS = ("tokens", "tokenizer", "base", "evaluation_sets")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("world"))


def train(world: dict[str, Path], config: PretrainSettings, out: Path) -> Path:
    execute(run, config, [world[name] for name in INPUTS], out)
    return out


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    return train(world, small(), tmp_path_factory.mktemp("undisturbed") / "base")


def kill_after(world: dict[str, Path], config: PretrainSettings, out: Path, step: int) -> None:
    """Start the stage from the command line and kill -9 it when it has saved `step`."""
    params = out.parent / "recipe.yaml"
    params.write_text(yaml.safe_dump({"pretrain": config.model_dump(mode="json")}))
    paths = [str(world[name]) for name in INPUTS]
    stage = subprocess.Popen(
        [sys.executable, "-m", "components.pretrain", "--params", str(params), *paths, str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    saved = checkpoint.step_folder(out.parent / ".work" / out.name / "checkpoints", step)
    while not saved.exists() and stage.poll() is None:
        time.sleep(0.002)
    stage.kill()
    assert stage.wait() == -9, "the stage ended before it could be killed"


def contents(out: Path) -> dict[str, bytes]:
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    return files | {"report": (out.parent / f"{out.name}.report.json").read_bytes()}


def test_killed_run_with_damaged_newest_checkpoint_ends_in_the_same_bytes(world, trained, tmp_path, capfd):
    out = tmp_path / "base"
    kill_after(world, small(), out, step=8)
    folder = tmp_path / ".work" / "base" / "checkpoints"
    part = checkpoint.step_folder(folder, 8) / "rank-0.safetensors"
    content = bytearray(part.read_bytes())
    content[-1] ^= 1
    part.write_bytes(content)
    train(world, small(), out)
    said = capfd.readouterr().err
    assert "step-00000008 is damaged" in said
    assert "continuing at step 4" in said
    assert contents(out) == contents(trained)


@pytest.mark.parametrize("zero_stage", [2, 3])
def test_killed_run_of_two_ranks_ends_in_the_same_bytes(world, tmp_path, zero_stage):
    config = small(ranks=2, zero_stage=zero_stage)
    whole = train(world, config, tmp_path / "whole" / "base")
    (tmp_path / "killed").mkdir()
    kill_after(world, config, tmp_path / "killed" / "base", step=4)
    assert contents(train(world, config, tmp_path / "killed" / "base")) == contents(whole)


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
