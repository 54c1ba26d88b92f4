"""Compare the quantized model with the full one on held-out sequences."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import kl_div, nll_loss

from kajiya.engine import progress
from kajiya.lm.model import load_model

if TYPE_CHECKING:
    from components.quantize.calibration import Sequence


@torch.inference_mode()
def compare(full: Path, quantized: Path, sequences: list["Sequence"]) -> dict[str, float]:
    """Perplexities per token and the mean KL(full || quantized) in nats per token.

    The quantized model is loaded from its folder, so a folder that cannot be loaded fails here.
    """
    models = [_load(folder) for folder in (full, quantized)]
    divergence, losses, tokens = 0.0, [0.0, 0.0], 0
    for sequence in progress(sequences, "comparing", len(sequences)):
        labels = sequence["input_ids"][1:]
        logs = [_log_probabilities(model, sequence) for model in models]
        divergence += float(kl_div(logs[1], logs[0], reduction="sum", log_target=True))
        losses = [
            loss + float(nll_loss(log, labels, reduction="sum"))
            for loss, log in zip(losses, logs, strict=True)
        ]
        tokens += len(labels)
    return {
        "kl_divergence": divergence / tokens,
        "perplexity_full": math.exp(losses[0] / tokens),
        "perplexity_quantized": math.exp(losses[1] / tokens),
    }


def _log_probabilities(model: torch.nn.Module, sequence: "Sequence") -> torch.Tensor:
    """Of every token but the first, given those before it: shape (tokens - 1, vocabulary)."""
    batch = {name: tensor[None].to(model.device) for name, tensor in sequence.items()}
    # Without use_cache=False transformers ignores the borders in position_ids.
    return model(**batch, use_cache=False).logits[0, :-1].float().log_softmax(-1).cpu()


def _load(folder: Path) -> torch.nn.Module:
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    return load_model(folder, "auto").to(device).eval()
