"""4-bit weights of a model, by GPTQ or AWQ.

The last part of OUT names the variant and so the settings, and these the method: `models/smoke/gptq`
is made by `quantize.gptq`. Both read calibration sequences from the validation tokens of the recipe, chosen by
the seed, and measure the result on other validation sequences. GPTQ (arXiv:2210.17323) rounds the
columns of a weight one after the other and lets later columns make up for the error of earlier ones;
AWQ (arXiv:2306.00978) scales up the channels that carry large activations before plain rounding.

Every linear layer is quantized but the output head; embeddings and head keep their precision. OUT is
a model folder in the compressed-tensors format, which transformers and vLLM load. The report says
bytes before and after (embeddings apart), what the calibration held by source, bits per weight, the relative error of
the weights (of GPTQ against the full ones, of AWQ against the scaled ones that it rounds), and the mean KL divergence and perplexity against the full model.
"""

import math
import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from kajiya.errors import KajiyaError
from kajiya.report import Report
from kajiya.settings import Settings

Method = Literal["gptq", "awq"]

_REMEDY = "Take more calibration_sequences, a larger dampening (gptq), or the other method."


class QuantizeSettings(Settings):
    method: Method
    """gptq: later columns make up for the rounding of earlier ones. awq: channels with large activations
    are scaled up before rounding."""
    group_size: int = Field(default=128, ge=8)
    """Weights of one row that share a scale. Must divide the input size of every quantized layer."""
    symmetric: bool | None = None
    """Without zero points. Unset: symmetric for GPTQ, with zero points for AWQ, as both were published."""
    calibration_sequences: int = Field(default=256, ge=1)
    """Sequences of the recipe's validation tokens to calibrate on, sources in about the mixture's proportions; at most
    three quarters of those there are."""
    held_out_sequences: int = Field(default=16, ge=1)
    """Other validation sequences, to measure the error on."""
    sequence_tokens: int | None = Field(default=None, ge=8)
    """Tokens per sequence. Unset: the model's context, at most 2048."""
    dampening: float | None = Field(default=None, gt=0)
    """GPTQ only: added to the Hessian's diagonal, as a fraction of its mean. Unset: 0.01."""
    grid_points: int | None = Field(default=None, ge=3)
    """AWQ only: strengths of scaling to try per layer. Unset: 20."""
    seed: int = 20260101
    """Chooses the sequences."""

    @property
    def is_symmetric(self) -> bool:
        return self.method == "gptq" if self.symmetric is None else self.symmetric

    @model_validator(mode="after")
    def _of_its_method(self) -> Self:
        other = {"gptq": "grid_points", "awq": "dampening"}[self.method]
        if getattr(self, other) is not None:
            raise ValueError(f"{other}: {self.method} has no such setting. Remove it")
        return self


def run(config: QuantizeSettings, model: Path, tokens: Path, *, out: Path) -> Report:
    """Quantize the model in folder `model`; `tokens` is the token folder of its recipe."""
    # llm-compressor asks the hub for what a local folder lacks, and logs beside its progress bars.
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("LLM_COMPRESSOR_LOG_LEVEL", "WARNING")
    # torch and llm-compressor take ten seconds to import: --help and a wrong setting do not wait.
    from components.quantize.calibration import choose_sequences, tokens_by_source  # noqa: PLC0415
    from components.quantize.compress import compress  # noqa: PLC0415
    from components.quantize.finite import check_finite  # noqa: PLC0415
    from components.quantize.measure import compare  # noqa: PLC0415
    from components.quantize.sizes import model_sizes  # noqa: PLC0415

    calibration, held_out = choose_sequences(config, model, tokens)
    check_finite(
        model, "Its training broke down: nothing can be made of it. Look at its losses and train again."
    )
    weights, states = compress(config, model, calibration, held_out, out)
    check_finite(out, f"The quantization broke down, and nothing was published. {_REMEDY}")
    figures = {
        "method": config.method,
        "group_size": config.group_size,
        "symmetric": config.is_symmetric,
        "calibration_sequences": len(calibration),
        "calibration_tokens": tokens_by_source(config, model, tokens),
        "held_out_sequences": len(held_out),
        "sequence_tokens": len(calibration[0]["input_ids"]),
        **model_sizes(model, out, sorted(weights)),
        "weight_error": weights,
        "weight_error_mean": sum(weights.values()) / len(weights),
        **compare(states, out, held_out),
    }
    broken = [
        name for name, value in figures.items() if isinstance(value, float) and not math.isfinite(value)
    ]
    if broken:
        raise KajiyaError(
            f"{model}: {', '.join(broken)} of its 4-bit form came out as no number, so nothing was published. {_REMEDY}"
        )
    return Report(figures=_rounded(figures))


def _rounded(figures: dict) -> dict:
    """Six significant digits: enough to compare, and no noise in the tracked report."""
    return {
        key: _rounded(value)
        if isinstance(value, dict)
        else float(f"{value:.6g}")
        if isinstance(value, float)
        else value
        for key, value in figures.items()
    }
