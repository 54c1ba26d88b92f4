"""Run llm-compressor over a model folder and write the compressed folder."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme, forward_quantize
from llmcompressor import active_session, oneshot
from llmcompressor.modifiers import Modifier
from llmcompressor.modifiers.gptq import GPTQModifier
from llmcompressor.modifiers.quantization import QuantizationModifier
from llmcompressor.modifiers.transform.awq import AWQModifier
from llmcompressor.pipelines.cache import IntermediatesCache
from safetensors import safe_open
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, PreTrainedModel

from components.quantize.measure import last_states
from components.quantize.threads import fitting_threads
from kajiya.errors import KajiyaError
from kajiya.lm.model import load_model, make_readable, read_config
from kajiya.lm.tokenizer import copy_tokenizer

if TYPE_CHECKING:
    from components.quantize import QuantizeSettings
    from components.quantize.calibration import Sequence

BITS = 4
# The head decides over every token and is small beside the rest: all published 4-bit models keep it.
KEPT = "lm_head"


class Compressed(NamedTuple):
    weight_errors: dict[str, float]
    """Of each quantized layer: |Q - W| / |W| (Frobenius)."""
    states: torch.Tensor
    """Of the full model on the held-out sequences: `measure.last_states`."""


def compress(
    config: "QuantizeSettings",
    source: Path,
    calibration: list["Sequence"],
    held_out: list["Sequence"],
    out: Path,
) -> Compressed:
    """Write the quantized model into `out`."""
    torch.manual_seed(config.seed)
    if getattr(read_config(source), "quantization_config", None) is not None:
        raise KajiyaError(f"{source}: is quantized already. Quantize the full model it came from.")
    model = load_model(source, "auto").eval()
    layers = linear_layers(model)
    check_group_size(config.group_size, {name: layer.in_features for name, layer in layers.items()})
    with fitting_threads(model.config), unpinned_without_accelerator():
        states = last_states(model, held_out)
        oneshot(
            model=model,
            processor=AutoTokenizer.from_pretrained(source, local_files_only=True),
            recipe=modifiers(config),
            dataset=DataLoader(calibration),
            pipeline="sequential",
        )
        errors = weight_errors(config.method, layers, source)
        model.save_pretrained(out, save_compressed=True)
    # It holds the model, which nobody needs any more.
    active_session().reset()
    # llm-compressor's own record needs unsafe YAML tags to be read; config.json says the same.
    (out / "recipe.yaml").unlink()
    make_readable(out)
    copy_tokenizer(source, out)
    return Compressed(errors, states)


def linear_layers(model: PreTrainedModel) -> dict[str, torch.nn.Linear]:
    """The layers to quantize, by name."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name.rpartition(".")[2] != KEPT
    }


def check_group_size(group_size: int, input_sizes: dict[str, int]) -> None:
    """Raise KajiyaError unless `group_size` divides the input size of every layer."""
    wrong = {name: size for name, size in input_sizes.items() if size % group_size}
    if wrong:
        name, size = next(iter(wrong.items()))
        common = math.gcd(*input_sizes.values())
        fitting = [str(size) for size in (8, 16, 32, 64, 128, 256) if common % size == 0]
        raise KajiyaError(
            f"quantize: group_size {group_size} does not divide the input size {size} of {name}"
            f" (nor of {len(wrong) - 1} other layers). For this model it can be: {', '.join(fitting) or 'none'}."
        )


def modifiers(config: "QuantizeSettings") -> list[Modifier]:
    weights = QuantizationArgs(
        num_bits=BITS,
        type="int",
        strategy="group",
        group_size=config.group_size,
        symmetric=config.is_symmetric,
    )
    groups = {"group_0": QuantizationScheme(targets=["Linear"], weights=weights)}
    if config.method == "gptq":
        return [GPTQModifier(config_groups=groups, ignore=[KEPT], dampening_frac=config.dampening or 0.01)]
    scaling = AWQModifier(n_grid=config.grid_points or 20)
    return [scaling, QuantizationModifier(config_groups=groups, ignore=[KEPT])]


def weight_errors(method: str, layers: dict[str, torch.nn.Linear], source: Path) -> dict[str, float]:
    """|Q - W| / |W| (Frobenius) of each layer, before it is packed.

    GPTQ overwrites the weights, so the full ones are read from `source` again, one layer at a time. AWQ leaves the
    scaled ones in place, and these are what it rounds.
    """
    if method == "awq":
        return {name: _relative_error(layer, layer.weight) for name, layer in layers.items()}
    errors = {}
    for path in sorted(source.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in sorted(layers.keys() & {key.removesuffix(".weight") for key in file.keys()}):  # noqa: SIM118
                errors[name] = _relative_error(layers[name], file.get_tensor(f"{name}.weight"))
    return {name: errors[name] for name in layers}


def _relative_error(layer: torch.nn.Linear, full: torch.Tensor) -> float:
    scheme = layer.quantization_scheme.weights
    with torch.no_grad():
        rounded = forward_quantize(layer, layer.weight, "weight", scheme).float()
        # In the precision in which it was quantized.
        before = full.to(layer.weight).float()
        return float((rounded - before).norm() / before.norm())


@contextmanager
def unpinned_without_accelerator() -> Iterator[None]:
    """Let AWQ run without an accelerator, where pinning memory (llm-compressor 0.14 always does) raises."""
    original = IntermediatesCache.__dict__["_pin_intermediate"]
    if not torch.accelerator.is_available():
        IntermediatesCache._pin_intermediate = classmethod(lambda _cls, _value: None)
    try:
        yield
    finally:
        IntermediatesCache._pin_intermediate = original
