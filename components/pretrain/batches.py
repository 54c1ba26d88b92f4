"""Which sequences each step and rank sees, and the validation sequences with their sources."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from kajiya.lm.packing import TokenDataset, order


class Batches:
    """Global batch k is the k-th slice of the shuffled order, whatever the number of ranks."""

    def __init__(self, dataset: TokenDataset, seed: int, batch: int, micro: int) -> None:
        self.dataset = dataset
        self.seed = seed
        self.batch = batch
        self.micro = micro

    def micro_batches(self, step: int, rank: int, ranks: int) -> list[tuple[np.ndarray, torch.Tensor]]:
        """For `rank` in step `step`, per accumulation: numbers of its sequences, and their ids (micro, context + 1)."""
        indices = self.sequence_indices(step).reshape(-1, ranks, self.micro)[:, rank]
        return [(part, stack(self.dataset, part)) for part in indices]

    def sequence_indices(self, step: int) -> np.ndarray:
        """Numbers of the sequences of one global batch, in order; epochs follow without a gap."""
        count = len(self.dataset)
        epochs, places = np.divmod(np.arange(step * self.batch, (step + 1) * self.batch), count)
        indices = np.empty(self.batch, np.int64)
        for epoch in np.unique(epochs):
            chosen = epochs == epoch
            indices[chosen] = order(self.seed, int(epoch), count, at=places[chosen])
        return indices

    def token_ids(self, sequences: np.ndarray) -> np.ndarray:
        """Of sequences by their number, shape (sequences, context + 1)."""
        return np.stack([self.dataset.sequence(int(number)) for number in sequences])


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
