"""Training loss per source: every label belongs to the source of the document it stands in."""

import numpy as np
import pyarrow.parquet as pq
import torch
import torch.distributed
from numpy.typing import NDArray

from kajiya.lm.packing import TokenDataset


class LabelSources:
    """Which source each label of a split is of, looked up in its table of spans."""

    def __init__(self, dataset: TokenDataset) -> None:
        table = pq.read_table(dataset.folder / f"{dataset.split}.spans.parquet", columns=["start", "source"])
        names = table["source"].combine_chunks().dictionary_encode()
        self._codes: NDArray[np.int64] = names.indices.to_numpy()
        self._starts: NDArray[np.int64] = table["start"].to_numpy()
        self._context = dataset.context
        self.names: list[str] = names.dictionary.to_pylist()

    def of(self, sequences: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of the source of each label, shape (sequences, context)."""
        places = sequences[:, None] * self._context + 1 + np.arange(self._context)
        return self._codes[np.searchsorted(self._starts, places, side="right") - 1]

    def sums(self, sequences: NDArray[np.int64], losses: torch.Tensor) -> NDArray[np.float64]:
        """Summed loss and number of labels per source, shape (2, sources). losses: (sequences, context)."""
        codes = self.of(sequences).ravel()
        weights = losses.double().cpu().numpy().ravel()
        return np.stack([np.bincount(codes, w, minlength=len(self.names)) for w in (weights, None)])


def means(sums: NDArray[np.float64], names: list[str], device: torch.device) -> dict[str, float]:
    """Mean loss per source over all ranks, as `loss/<source>`; every rank must call it."""
    total = torch.from_numpy(sums).to(device)
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(total)
    losses, counts = total.cpu().numpy()
    found = zip(names, losses, counts, strict=True)
    return {f"loss/{name}": float(loss / count) for name, loss, count in sorted(found) if count}
