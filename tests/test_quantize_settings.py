"""What a recipe may ask of a quantization, what the report tells of it, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from compressed_tensors.quantization import QuantizationConfig
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_model import write_model, write_tokens
from transformers import AutoModelForCausalLM, AutoTokenizer

import components.quantize.compress
from components.quantize import QuantizeSettings, run
from components.quantize.calibration import check_variety, choose_sequences, tokens_by_source
from kajiya.errors import KajiyaError
from kajiya.stage import execute

SMALL = {"group_size": 32, "sequence_tokens": 32, "calibration_sequences": 8, "held_out_sequences": 4}


def settings(method: str, symmetric: bool | None = None) -> QuantizeSettings:
    return QuantizeSettings.model_validate({"method": method, "symmetric": symmetric, **SMALL})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "instruct")
    write_tokens(folder / "tokens", folder / "instruct")
    return folder


@pytest.mark.parametrize(("method", "symmetric"), [("gptq", False), ("awq", True), ("awq", None)])
def test_either_method_makes_either_form_in_the_shape_that_its_readers_expect(
    method: str, symmetric: bool | None, world: Path, tmp_path: Path
) -> None:
    out = tmp_path / method
    report = execute(run, settings(method, symmetric), [world / "instruct", world / "tokens"], out)

    written = json.loads((out / "config.json").read_text())["quantization_config"]
    # What vLLM and transformers read the config by: a group of all linear layers but the head, packed integers.
    read = QuantizationConfig.model_validate(written)
    (group,) = read.config_groups.values()
    assert (written["quant_method"], read.format, read.ignore) == (
        "compressed-tensors",
        "pack-quantized",
        ["lm_head"],
    )
    assert (group.targets, group.input_activations) == (["Linear"], None)
    assert (group.weights.num_bits, group.weights.group_size) == (4, 32)
    assert group.weights.symmetric is report.figures["symmetric"] is (symmetric is True)
    with safe_open(out / "model.safetensors", "pt") as file:
        kinds = {name.rpartition(".")[2] for name in file.keys() if ".mlp." in name}  # noqa: SIM118
    zero_points = set() if symmetric else {"weight_zero_point"}
    assert kinds == {"weight_packed", "weight_scale", "weight_shape"} | zero_points
    ids = AutoTokenizer.from_pretrained(out)("日本で一番長い川", return_tensors="pt").input_ids
    assert AutoModelForCausalLM.from_pretrained(out)(input_ids=ids).logits.isfinite().all()


def test_report_tells_sizes_with_and_without_embeddings_and_what_was_calibrated_on(
    world: Path, tmp_path: Path
) -> None:
    figures = execute(
        run, settings("gptq"), [world / "instruct", world / "tokens"], tmp_path / "gptq"
    ).figures

    linear = 2 * (4 * 64 * 64 + 3 * 64 * 128)
    norms = 5 * 64 * 4
    kept = figures["bytes_embeddings_before"]
    assert figures["stored_before"] == "F32"
    assert figures["bytes_before"] - kept == linear * 4 + norms
    packed = figures["bits_per_weight"] * linear / 8
    without = (linear * 4 + norms) / (packed + norms)
    assert figures["times_smaller_without_embeddings"] == pytest.approx(without, rel=1e-3)
    assert 1 < figures["times_smaller"] < without
    assert sum(figures["calibration_tokens"].values()) == 8 * 32
    assert set(figures["calibration_tokens"]) == {"diet", "wikipedia"}


def test_calibration_is_drawn_from_the_validation_tokens_by_the_seed(world: Path) -> None:
    chosen = [
        choose_sequences(
            settings("gptq").model_copy(update={"seed": seed}), world / "instruct", world / "tokens"
        )[0]
        for seed in (1, 1, 2)
    ]
    first, again, other = ([one["input_ids"].tolist() for one in sequences] for sequences in chosen)
    validation = np.load(world / "tokens" / "validation.npy").tolist()

    assert first == again != other
    for sequence in first:
        assert any(validation[at : at + 32] == sequence for at in range(0, len(validation), 32))


def test_tokens_by_source_are_those_of_the_spans_they_lie_in(world: Path, tmp_path: Path) -> None:
    whole = settings("gptq").model_copy(update={"calibration_sequences": 10**6})
    counted = tokens_by_source(whole, world / "instruct", world / "tokens")
    total = sum(counted.values())

    # A third of the documents are from the Diet; three quarters of the sequences are calibrated on.
    assert total == (len(np.load(world / "tokens" / "validation.npy")) - 1) // 32 * 3 // 4 * 32
    assert counted["diet"] / total == pytest.approx(1 / 3, abs=0.1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_model_with_a_weight_that_is_no_number_is_refused_by_name(
    value: float, world: Path, tmp_path: Path
) -> None:
    write_model(tmp_path / "instruct")
    path = tmp_path / "instruct" / "model.safetensors"
    tensors = load_file(path)
    tensors["model.layers.1.mlp.up_proj.weight"][3, 5] = value
    save_file(tensors, path, {"format": "pt"})

    with pytest.raises(KajiyaError, match=r"layers\.1\.mlp\.up_proj\.weight has 1 values of 8,192"):
        execute(run, settings("gptq"), [tmp_path / "instruct", world / "tokens"], tmp_path / "gptq")
    assert not (tmp_path / "gptq").exists()


def test_scale_that_is_no_number_is_not_published(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = components.quantize.compress.compress

    def broken(*given: Any) -> Any:
        made, out = honest(*given), given[-1]
        tensors = load_file(out / "model.safetensors")
        tensors["model.layers.0.mlp.up_proj.weight_scale"][0] = torch.inf
        save_file(tensors, out / "model.safetensors", {"format": "pt"})
        return made

    monkeypatch.setattr(components.quantize.compress, "compress", broken)
    with pytest.raises(
        KajiyaError, match=r"up_proj\.weight_scale has .*nothing was published.*calibration_sequences"
    ):
        execute(run, settings("gptq"), [world / "instruct", world / "tokens"], tmp_path / "gptq")
    assert not (tmp_path / "gptq").exists()


@pytest.mark.parametrize(
    "sequences",
    [
        pytest.param(np.tile(np.arange(64), (6, 1)), id="one text again and again"),
        pytest.param(np.random.default_rng(1).integers(0, 9, (6, 64)), id="few tokens"),
    ],
)
def test_calibration_without_variety_is_refused_with_the_remedy(sequences: np.ndarray) -> None:
    with pytest.raises(
        KajiyaError, match=r"tokens/validation\.npy: of 6 sequences.*lacks variety.*validation share"
    ):
        check_variety(sequences, Path("tokens"))
    check_variety(np.random.default_rng(1).integers(0, 900, (6, 64)), Path("tokens"))
