"""Validation loss, in all and per source."""

import numpy as np
import torch
import torch.distributed

from components.pretrain.batches import ValidationSet, stack
from components.pretrain.engine import Engine


def validate(engine: Engine, validation: ValidationSet, micro: int) -> dict[str, float]:
    """Mean loss per token: "" for all, and by source. Every rank must call it and gets the same."""
    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    sums = np.zeros((2, len(validation.sources)))  # loss, tokens
    # Under ZeRO 3 every forward pass is a collective: all ranks make the same number of them.
    rounds = -(-len(validation.indices) // (micro * ranks))
    for number in range(rounds):
        first = (number * ranks + rank) * micro
        indices = validation.indices[first : first + micro]
        counted = len(indices) > 0
        losses = _token_losses(engine, validation, indices if counted else validation.indices[:1])
        if counted:
            codes = np.concatenate([validation.label_sources(index) for index in indices])
            sums[0] += np.bincount(codes, losses, minlength=len(validation.sources))
            sums[1] += np.bincount(codes, minlength=len(validation.sources))
    total = torch.from_numpy(sums).to(engine.device)
    torch.distributed.all_reduce(total)
    losses_by_source, counts = total.cpu().numpy()
    result = {"": float(losses_by_source.sum() / counts.sum())}
    for source, loss, count in zip(validation.sources, losses_by_source, counts, strict=True):
        if count:
            result[str(source)] = float(loss / count)
    return result


def _token_losses(engine: Engine, validation: ValidationSet, indices: np.ndarray) -> np.ndarray:
    tokens = stack(validation.dataset, indices).to(engine.device)
    losses: np.ndarray = engine.losses(tokens).double().cpu().numpy().ravel()
    return losses
