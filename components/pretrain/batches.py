"""Which sequences each step and rank sees, and the validation sequences with their sources."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from components.pretrain.replay import Change, Pools, taken
from kajiya.lm.packing import TokenDataset, order


class Batches:
    """Global batch k is a pure function of seed, replay schedule and k, whatever the number of ranks.

    Without pools it is the k-th slice of the shuffled order of all sequences.
    """

    def __init__(
        self, dataset: TokenDataset, seed: int, batch: int, micro: int, pools: Pools | None = None
    ) -> None:
        self.dataset = dataset
        self.seed = seed
        self.batch = batch
        self.micro = micro
        self.pools = pools
        self._schedule: tuple[Change, ...] = ()

    @property
    def schedule(self) -> tuple[Change, ...]:
        """Shares of the replay pool, (steps done, share) in order; JSON keeps it. Empty without pools."""
        return self._schedule

    @schedule.setter
    def schedule(self, changes: Sequence[Sequence[float]]) -> None:
        self._schedule = tuple((int(step), float(share)) for step, share in changes)
        steps = [step for step, _ in self._schedule]
        if self.pools is not None and (steps[:1] != [0] or steps != sorted(set(steps))):
            raise ValueError(f"a schedule of shares begins at step 0 and rises: {self._schedule}")

    def micro_batches(self, step: int, rank: int, ranks: int) -> list[tuple[np.ndarray, torch.Tensor]]:
        """For `rank` in step `step`, per accumulation: numbers of its sequences, and their ids (micro, context + 1)."""
        indices = self.sequence_indices(step).reshape(-1, ranks, self.micro)[:, rank]
        return [(part, stack(self.dataset, part)) for part in indices]

    def sequence_indices(self, step: int) -> NDArray[np.int64]:
        """Numbers of the sequences of one global batch, in order; epochs follow without a gap."""
        if self.pools is None:
            return walk(self.seed, len(self.dataset), step * self.batch, (step + 1) * self.batch)
        before, after = (taken(self._schedule, self.batch, at) for at in (step, step + 1))
        replayed, others = self.pools.replayed, self.pools.others
        # Another seed, so that pools of one size do not walk in step.
        again = replayed[walk(self.seed + 1, len(replayed), before, after)]
        first, last = step * self.batch - before, (step + 1) * self.batch - after
        rest = others[walk(self.seed, len(others), first, last)]
        # Spread over the micro-batches: each rank gets its part of both.
        return np.concatenate([rest, again])[order(self.seed, step, self.batch)]

    def token_ids(self, sequences: np.ndarray) -> np.ndarray:
        """Of sequences by their number, shape (sequences, context + 1)."""
        return np.stack([self.dataset.sequence(int(number)) for number in sequences])


def walk(seed: int, count: int, first: int, last: int) -> NDArray[np.int64]:
    """Places first..last of the endless row of shuffled epochs of `count` things."""
    epochs, places = np.divmod(np.arange(first, last), count)
    found = np.empty(last - first, np.int64)
    for epoch in np.unique(epochs):
        chosen = epochs == epoch
        found[chosen] = order(seed, int(epoch), count, at=places[chosen])
    return found


def stack(dataset: TokenDataset, indices: Any) -> torch.Tensor:
    return torch.from_numpy(np.stack([dataset.sequence(int(index)) for index in indices]))


class ValidationSet:
    """A fixed draw of validation sequences; each token knows its source."""

    def __init__(self, tokens: Path, context: int, limit: int, seed: int) -> None:
        self.dataset = TokenDataset(tokens, "validation", context)
        count = min(limit, len(self.dataset))
        self.indices = np.sort(order(seed, 0, len(self.dataset), at=np.arange(count)))
        spans = pq.read_table(tokens / "validation.spans.parquet")
        names = spans["source"].to_numpy(zero_copy_only=False)
        self.sources, codes = np.unique(names.astype(str), return_inverse=True)
        self._codes = codes
        self._starts = spans["start"].to_numpy()

    def label_sources(self, index: int) -> np.ndarray:
        """Number of the source of each label of sequence `index`, shape (context,)."""
        first = index * self.dataset.context + 1
        positions = np.arange(first, first + self.dataset.context)
        return self._codes[np.searchsorted(self._starts, positions, side="right") - 1]
