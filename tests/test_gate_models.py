"""The gate over real models: an able one, quantized for real and evaluated for real, and ruined on purpose."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from able_model import QUESTIONS, answered, write_able_model, write_questions
from safetensors.torch import load_file, save_file
from tiny_model import write_tokens

from components.evaluate import EvaluateSettings
from components.evaluate import run as evaluate
from components.gate import GateSettings
from components.gate import run as gate
from components.quantize import QuantizeSettings
from components.quantize import run as quantize
from kajiya.errors import KajiyaError
from kajiya.gate_verdict import GateVerdict, read_verdict
from kajiya.stage import execute

EVALUATE = EvaluateSettings(
    tasks=("jcommonsenseqa",),
    shots={"jcommonsenseqa": (0,)},
    choices="cloze",
    english=False,
    perplexity_tokens=2000,
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """models/<recipe> with a model that has learnt its questions, quantized both ways, all evaluated."""
    root = tmp_path_factory.mktemp("models")
    write_able_model(root / "instruct")
    write_tokens(root / "tokens", root / "instruct", texts=answered())
    write_questions(root / "sets")
    for method in ("gptq", "awq"):
        execute(quantize, settings(method), [root / "instruct", root / "tokens"], root / method)
    for name in ("instruct", "gptq", "awq"):
        measure(root, name)
    return root


def settings(method: Literal["gptq", "awq"]) -> QuantizeSettings:
    return QuantizeSettings(
        method=method, group_size=32, sequence_tokens=32, calibration_sequences=24, held_out_sequences=4
    )


def measure(root: Path, name: str) -> dict:
    out = root / "evaluation" / name
    execute(evaluate, EVALUATE, [root / name, root / "tokens", root / "sets"], out)
    return json.loads((out / "results.json").read_text())


def judge(root: Path, name: str) -> GateVerdict:
    paths = [root / name, root / "evaluation" / "instruct", root / "evaluation" / name]
    execute(gate, GateSettings(), paths, root / "gates" / name)
    return read_verdict(root / "gates" / name)


def ruin(root: Path, name: str, how: Callable[[torch.Tensor], torch.Tensor]) -> str:
    """A copy of a quantized model whose scales are others; all else stays byte for byte."""
    target = root / f"{name}.ruined"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(root / name, target)
    tensors = load_file(target / "model.safetensors")
    scales = {key: how(value).contiguous() for key, value in tensors.items() if key.endswith(".weight_scale")}
    assert scales
    save_file(tensors | scales, target / "model.safetensors", {"format": "pt"})
    measure(root, target.name)
    return target.name


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_honest_quantization_passes(models: Path, method: str) -> None:
    verdict = judge(models, method)

    (row,) = verdict.tasks
    assert (verdict.verdict, verdict.kind) == ("passed", "quantized")
    assert row.before > 95
    assert row.chance == 20
    assert row.items == QUESTIONS
    assert row.difference >= -2
    assert set(verdict.bits_per_byte) == {"diet", "wikipedia"}


def test_quantization_calibrated_on_text_of_another_kind_is_stopped(models: Path) -> None:
    write_tokens(models / "other-tokens", models / "instruct", documents=60)
    execute(
        quantize, settings("gptq"), [models / "instruct", models / "other-tokens"], models / "gptq.strange"
    )
    measure(models, "gptq.strange")

    with pytest.raises(KajiyaError, match="lost more against instruct"):
        judge(models, "gptq.strange")

    page = models / "gates" / "gptq.strange.pages" / "gate.json"
    shown = GateVerdict.model_validate_json(page.read_bytes())
    assert shown.tasks[0].difference < -5
    # What a gate by perplexity would have looked at hardly moved.
    assert all(abs(one.after / one.before - 1) < 0.05 for one in shown.bits_per_byte.values())


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(lambda scales: scales.flip(0), id="of other rows"),
        pytest.param(lambda scales: scales * torch.linspace(0.2, 3, scales.shape[1]), id="of the wrong size"),
    ],
)
def test_quantization_with_wrong_scales_is_stopped(
    models: Path, how: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    name = ruin(models, "gptq", how)

    with pytest.raises(KajiyaError, match=r"lost more against instruct(.|\n)*jcommonsenseqa +0") as raised:
        judge(models, name)

    assert f"gate.variants.{name}" in str(raised.value)
    assert not (models / "gates" / name).exists()
    shown = GateVerdict.model_validate_json((models / "gates" / f"{name}.pages" / "gate.json").read_bytes())
    assert shown.tasks[0].p_value < 0.001
    assert shown.tasks[0].settled
