"""Log-likelihoods of the ends of token sequences: shared beginnings once, and no logits that nobody asked for.

With tens of thousands of pieces, logits and their softmax cost as much as a small model's layers. So the head runs
on the tokens before the scored ones alone, a few at a time.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from components.evaluate.memory import Budget
from components.evaluate.prefix_tree import Row, Tokens, batches, lay_out, tree_rows
from kajiya.errors import KajiyaError

_LOGITS = 1 << 24
"""Most logits at once: 64 MB in float32."""


class Ending(NamedTuple):
    """A sequence of which the last `scored` tokens are to be judged."""

    tokens: Tokens
    scored: int


class Likelihood(NamedTuple):
    index: int
    """Of the ending among those given."""
    nats: float
    greedy: bool
    """Every scored token is the model's first guess."""


def likelihoods(model: Any, endings: Sequence[Ending], budget: Budget) -> Iterator[list[Likelihood]]:
    """A list for each forward pass, in the order in which they are computed: the longest rows first."""
    rows = tree_rows([ending.tokens[:-1] for ending in endings])
    done = 0
    while done < len(rows):
        taken, found = budget.attempt(partial(_next, model, rows, done, endings))
        done += taken
        yield found


def _next(
    model: Any, rows: list[Row], start: int, endings: Sequence[Ending], tokens: int
) -> tuple[int, list[Likelihood]]:
    """How many of the rows from `start` on fill one forward pass, and their likelihoods."""
    batch = next(batches(rows, tokens, start))
    return len(batch), _score(model, batch, endings)


@torch.inference_mode()
def _score(model: Any, rows: list[Row], endings: Sequence[Ending]) -> list[Likelihood]:
    """Of all paths of the rows, in one forward pass."""
    batch = lay_out(rows, model)
    hidden = model.model(
        input_ids=batch.tokens, position_ids=batch.positions, attention_mask=batch.mask, use_cache=False
    ).last_hidden_state
    width = batch.tokens.shape[1]
    paths = [(number * width, path) for number, row in enumerate(rows) for path in row.paths]
    # Single tokens after one prompt are judged by the same logits: each place is computed once.
    places, place_of = np.unique(
        np.concatenate([base + path.columns[-endings[path.index].scored :] for base, path in paths]),
        return_inverse=True,
    )
    wanted = np.concatenate(
        [ending.tokens[-ending.scored :] for ending in (endings[p.index] for _, p in paths)], dtype=np.int64
    )
    chosen = hidden.flatten(0, 1)[torch.from_numpy(places).to(hidden.device)]
    nats, greedy = judge(model.get_output_embeddings(), chosen, place_of, wanted)
    ends = np.cumsum([endings[path.index].scored for _, path in paths])
    return [
        Likelihood(path.index, float(nats[start:end].sum()), bool(greedy[start:end].all()))
        for (_, path), start, end in zip(paths, [0, *ends[:-1]], ends, strict=True)
    ]


def check_finite(model: Any, values: Sequence[float]) -> None:
    """Raises KajiyaError for a value that is no number: the greatest of such is none, and looks like a score."""
    if not np.isfinite(values).all():
        raise KajiyaError(
            f"{model.name_or_path or 'evaluate'}: the model gives a text no likelihood (NaN or infinity): its weights"
            " are damaged, or its training diverged. Look at the loss in its metrics.jsonl, and make the model again."
        )


def judge(
    head: Any, hidden: torch.Tensor, place_of: Tokens, wanted: Tokens
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Nats of each wanted token at its place, and whether it is the likeliest there.

    hidden: [places, width]. The softmax is in float32 and the sum in float64: in bfloat16 likelihoods move in
    steps of 1/32 and more, and choices tie that are not equal.
    """
    nats, greedy = np.zeros(len(wanted)), np.zeros(len(wanted), bool)
    step = max(1, _LOGITS // head.weight.shape[0]) if hasattr(head, "weight") else 256
    for start in range(0, len(hidden), step):
        logits = head(hidden[start : start + step]).float()
        asked = np.flatnonzero((place_of >= start) & (place_of < start + step))
        rows = torch.from_numpy(place_of[asked] - start).to(logits.device)
        tokens = torch.from_numpy(wanted[asked]).to(logits.device)
        nats[asked] = (logits[rows, tokens] - logits.logsumexp(-1)[rows]).cpu().numpy()
        greedy[asked] = (logits.argmax(-1)[rows] == tokens).cpu().numpy()
    return nats, greedy
