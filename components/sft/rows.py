"""The conversations of one optimizer step as rows of tokens: alone, or several in one row, blind to each other."""

from typing import NamedTuple

import numpy as np
import torch

from components.sft.examples import IGNORED

_ROOM = 8  # columns of a row are a multiple of it: matrix products like that


class Rows(NamedTuple):
    """How an optimizer step is cut up."""

    max_tokens: int
    packing: bool
    micro_batch_size: int
    padding_id: int

    def __call__(self, examples: list[dict[str, list[int]]]) -> dict[str, object]:
        """{"parts": micro-batches for the model, "learnt": tokens that count in the loss of all of them}."""
        lengths = [len(one["input_ids"]) for one in examples]
        rows = fill(lengths, self.max_tokens) if self.packing else [[place] for place in range(len(lengths))]
        # Rows of like length together: the longest of a micro-batch decides what is computed.
        rows.sort(key=lambda row: sum(lengths[place] for place in row), reverse=True)
        parts = [
            self._part(
                [[examples[place] for place in row] for row in rows[start : start + self.micro_batch_size]]
            )
            for start in range(0, len(rows), self.micro_batch_size)
        ]
        learnt = sum(sum(label != IGNORED for label in one["labels"][1:]) for one in examples)
        return {"parts": parts, "learnt": learnt}

    def _part(self, rows: list[list[dict[str, list[int]]]]) -> dict[str, torch.Tensor]:
        longest = max(sum(len(one["input_ids"]) for one in row) for row in rows)
        shape = (len(rows), min(-(-longest // _ROOM) * _ROOM, max(self.max_tokens, longest)))
        ids = np.full(shape, self.padding_id, np.int64)
        labels = np.full(shape, IGNORED, np.int64)
        positions = np.zeros(shape, np.int64)
        owners = np.zeros(shape, np.int64)  # which conversation of its row a token belongs to; 0: padding
        for number, row in enumerate(rows):
            start = 0
            for owner, one in enumerate(row, start=1):
                end = start + len(one["input_ids"])
                ids[number, start:end] = one["input_ids"]
                labels[number, start + 1 : end] = one["labels"][
                    1:
                ]  # nothing before it predicts the first token
                positions[number, start:end] = np.arange(end - start)
                owners[number, start:end] = owner
                start = end
            positions[number, start:] = np.arange(shape[1] - start)
        part = {"input_ids": ids, "labels": labels, "position_ids": positions}
        return {name: torch.from_numpy(value) for name, value in part.items()} | {
            "attention_mask": attention(torch.from_numpy(owners))
        }


def attention(owners: torch.Tensor) -> torch.Tensor:
    """(rows, 1, tokens, tokens), true where a token may look: at itself and what its own conversation said before.

    Said outright, because a mask derived from position_ids is dropped where a cache is in use, and the
    conversations of a row then see each other. Padding sees padding: a row that sees nothing is NaN.
    """
    same = owners[:, :, None] == owners[:, None, :]
    return (same & torch.ones(same.shape[1:], dtype=torch.bool).tril())[:, None]


def fill(lengths: list[int], capacity: int) -> list[list[int]]:
    """Places of `lengths` by row, each row of at most `capacity`: longest first, into the first row with room."""
    rows: list[list[int]] = []
    room: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda one: -lengths[one]):
        fitting = next((row for row, left in enumerate(room) if left >= lengths[place]), None)
        if fitting is None:
            rows.append([])
            room.append(capacity)
            fitting = len(rows) - 1
        rows[fitting].append(place)
        room[fitting] -= lengths[place]
    return rows
