"""Compare the quantized model with the full one on held-out sequences.

Of the full model its last hidden states are kept, from before it is quantized in place: a hundredth of the logits, which
the head makes of them again. The head is the same in both models, since it is never quantized. So neither model is
loaded twice, nor are both in memory at once.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import nll_loss

from components.quantize.threads import fitting_threads
from kajiya.engine import progress
from kajiya.lm.model import load_model

if TYPE_CHECKING:
    from components.quantize.calibration import Sequence

# Tokens of a forward pass: the logits of as many are in memory at once.
_BATCH_TOKENS = 2048


@torch.inference_mode()
def last_states(model: torch.nn.Module, sequences: list["Sequence"]) -> torch.Tensor:
    """What the head gets to see, on the CPU: shape (sequences, tokens, width)."""
    device = accelerator()
    model.to(device)
    # Without use_cache=False transformers ignores the borders in position_ids.
    states = [
        model.base_model(**_moved(batch, device), use_cache=False).last_hidden_state.cpu()
        for batch in _batches(sequences)
    ]
    # llm-compressor brings layer after layer to the device by itself.
    model.to("cpu")
    return torch.cat(states)


@torch.inference_mode()
def compare(states: torch.Tensor, quantized: Path, sequences: list["Sequence"]) -> dict[str, float]:
    """Perplexities per token and the mean KL(full || quantized) in nats per token.

    states: of the full model, by `last_states`. The quantized model is loaded from its folder, so a folder that
    cannot be loaded fails here.
    """
    device = accelerator()
    model = load_model(quantized, "auto").to(device).eval()
    head = model.get_output_embeddings()
    divergence, losses, tokens, done = 0.0, [0.0, 0.0], 0, 0
    with fitting_threads(model.config):
        for batch in progress(list(_batches(sequences)), "comparing", len(sequences)):
            small = model(**_moved(batch, device), use_cache=False).logits
            for ids, logits in zip(batch["input_ids"], small, strict=True):
                full = head(states[done].to(device))
                logs = [some[:-1].float().log_softmax(-1) for some in (full, logits)]
                divergence += float((logs[0].exp() * (logs[0] - logs[1])).sum())
                labels = ids[1:].to(device)
                losses = [
                    loss + float(nll_loss(log, labels, reduction="sum"))
                    for loss, log in zip(losses, logs, strict=True)
                ]
                tokens += len(labels)
                done += 1
    return {
        "kl_divergence": divergence / tokens,
        "perplexity_full": math.exp(losses[0] / tokens),
        "perplexity_quantized": math.exp(losses[1] / tokens),
    }


def accelerator() -> torch.device:
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")


def _moved(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    return {name: tensor.to(device) for name, tensor in batch.items()}


def _batches(sequences: list["Sequence"]) -> Iterator[dict[str, torch.Tensor]]:
    """All sequences are of one length."""
    size = max(1, _BATCH_TOKENS // len(sequences[0]["input_ids"]))
    for start in range(0, len(sequences), size):
        part = sequences[start : start + size]
        yield {name: torch.stack([sequence[name] for sequence in part]) for name in part[0]}
