"""Token sequences that begin alike, laid out as trees: what they share is computed once.

The choices of an item share its prompt, questions on a passage the passage, a task its fixed examples.
Sequences that share most of their tokens become one row. A token of the row sees its ancestors alone, so for
the model every path from the root is a sequence of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Tokens = NDArray[np.int64]
_ROW_TOKENS = 512
"""A row may always grow to so many tokens; beyond, to twice its first sequence: attention is quadratic."""
_ALIGNMENT = 8  # attention kernels of accelerators want the width of a mask so


@dataclass
class Path:
    """One sequence in a row."""

    index: int
    """Of the sequence among those given."""
    columns: Tokens
    """Where its tokens stand."""
    shared: int
    """How many of them, from the first, stood there before."""


@dataclass
class Row:
    limit: int
    """Most tokens."""
    width: int = 0
    parts: list[Tokens] = field(default_factory=list)
    """The tokens, in the order of their columns."""
    paths: list[Path] = field(default_factory=list)

    def add(self, index: int, tokens: Tokens, shared: int) -> None:
        """A sequence whose first `shared` tokens are those of the sequence before."""
        stem = self.paths[-1].columns[:shared] if shared else np.zeros(0, np.int64)
        width = self.width + len(tokens) - shared
        self.paths.append(Path(index, np.concatenate([stem, np.arange(self.width, width)]), shared))
        self.parts.append(tokens[shared:])
        self.width = width


@dataclass(frozen=True)
class Batch:
    """Rows of like width side by side, padded on the right."""

    rows: list[Row]
    tokens: torch.Tensor
    """[rows, width], int64"""
    positions: torch.Tensor
    """[rows, width], int64: each token's place in its sequence."""
    mask: torch.Tensor | None
    """[rows, 1, width, width], added to the attention's scores; None where no row branches."""


def tree_rows(sequences: Sequence[Tokens]) -> list[Row]:
    """The sequences in rows, the widest first."""
    rows: list[Row] = []
    before: Tokens | None = None
    # Big-endian bytes sort as the tokens do. In that order a sequence shares most with the one before it.
    for index in sorted(range(len(sequences)), key=lambda index: sequences[index].astype(">u4").tobytes()):
        tokens = sequences[index]
        shared = 0 if before is None else _common_length(before, tokens)
        new = len(tokens) - shared
        if not rows or shared < new or rows[-1].width + new > rows[-1].limit:
            rows.append(Row(max(_ROW_TOKENS, 2 * len(tokens))))
            shared = 0
        rows[-1].add(index, tokens, shared)
        before = tokens
    return sorted(rows, key=lambda row: (-row.width, row.paths[0].index))


def batches(rows: Sequence[Row], tokens: int, start: int = 0) -> Iterator[list[Row]]:
    """Runs of rows, from `start` on, that fill at most `tokens` when padded to the widest, and one row at least."""
    while start < len(rows):
        end = start + max(1, tokens // rows[start].width)
        yield list(rows[start:end])
        start = end


def lay_out(rows: list[Row], model: Any) -> Batch:
    """Tensors for the model, on its device and, the mask, in its precision."""
    branching = any(len(path.columns) < row.width for row in rows for path in row.paths)
    width = max(row.width for row in rows)
    width += -width % _ALIGNMENT if branching else 0
    tokens = np.zeros((len(rows), width), np.int64)
    # Padding counts on: a place that begins anew would be another document for transformers.
    positions = np.tile(np.arange(width), (len(rows), 1))
    for number, row in enumerate(rows):
        tokens[number, : row.width] = np.concatenate(row.parts)
        for path in row.paths:
            positions[number, path.columns] = np.arange(len(path.columns))
    mask = None
    if branching:
        # Padding sees itself: a token that sees nothing has no attention at all, but NaN.
        seen = np.broadcast_to(np.eye(width, dtype=bool), (len(rows), width, width)).copy()
        for number, row in enumerate(rows):
            for path in row.paths:
                _see(seen[number], path)
        mask = torch.zeros(seen.shape, dtype=model.dtype)
        mask = mask.masked_fill_(torch.from_numpy(~seen), float("-inf"))[:, None].to(model.device)
    return Batch(
        rows, torch.from_numpy(tokens).to(model.device), torch.from_numpy(positions).to(model.device), mask
    )


def _see(seen: NDArray[np.bool_], path: Path) -> None:
    """Let the tokens that a path added see those before them on the path."""
    new = path.columns[path.shared :]
    if len(new):
        start, end = int(new[0]), int(new[-1]) + 1
        seen[start:end, path.columns[: path.shared]] = True
        seen[start:end, start:end] = np.tri(end - start, dtype=bool)


def _common_length(left: Tokens, right: Tokens) -> int:
    shorter = min(len(left), len(right))
    different = left[:shorter] != right[:shorter]
    return int(different.argmax()) if different.any() else shorter


def reads_trees(model: Any, context: int) -> bool:
    """Whether for this model a token's place is its position id, and what it sees is up to the mask alone."""
    config = model.config
    window = getattr(config, "sliding_window", None)
    rotary = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    return (
        config.model_type in ("llama", "mistral", "qwen2", "qwen3")
        and (window is None or window >= context)
        and rotary not in ("dynamic", "longrope")  # which look at all that is computed together
        and config._attn_implementation in ("sdpa", "eager")
    )
