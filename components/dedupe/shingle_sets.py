"""Second pass over the text: the n-gram sets of all documents that have a candidate, on disk."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit

from components.dedupe.minhash import shingles
from components.dedupe.stream import read_batches
from kajiya.engine import map_shards
from kajiya.ngrams import WITHOUT_SPACE, decode


class _Task(NamedTuple):
    shard: Path
    rows: np.ndarray
    ngram_chars: int
    path: Path


class ShingleSets:
    """The sets by rank of the document, read from disk when asked for."""

    def __init__(self, slot: np.ndarray, sizes: np.ndarray, files: list[Path], cuts: np.ndarray) -> None:
        """slot: uint32 per rank; sizes and places are by slot; file i holds the slots from cuts[i] on."""
        self._slot, self._sizes, self._files, self._cuts = slot, sizes, files, cuts
        self._begins = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])

    def sizes(self, ranks: np.ndarray) -> np.ndarray:
        """Different n-grams per document."""
        return self._sizes[self._slot[ranks]]

    def read(self, ranks: np.ndarray) -> np.ndarray:
        """The sets of documents, one after another."""
        slots = self._slot[ranks]
        lengths = self._sizes[slots].astype(np.int64)
        ends = np.cumsum(lengths)
        result = np.empty(ends[-1] if len(ends) else 0, np.uint32)
        file = np.searchsorted(self._cuts, slots, "right") - 1
        for number in np.unique(file).tolist():
            # Mapped for this call alone: pages that stay mapped would count as the stage's memory.
            grams = np.memmap(self._files[number], np.uint32, "r")
            here = np.flatnonzero(file == number)
            begins = self._begins[slots[here]] - self._begins[self._cuts[number]]
            _copy(grams, begins, lengths[here], result, ends[here] - lengths[here])
        return result


@njit(cache=True, nogil=True)
def _copy(source, begins, lengths, result, places):
    for i in range(len(begins)):
        for k in range(lengths[i]):
            result[places[i] + k] = source[begins[i] + k]


def write_shingle_sets(
    parts: list[tuple[Path, int, int]], ranks: np.ndarray, wanted: np.ndarray, ngram_chars: int, folder: Path
) -> ShingleSets:
    """The sets of the documents for which `wanted` holds.

    parts: each shard with its first document and the one after its last. ranks, wanted: per document.
    """
    rows = [np.flatnonzero(wanted[begin:end]) for _, begin, end in parts]
    tasks = [
        _Task(shard, chosen, ngram_chars, folder / f"{number:05d}.sets")
        for number, ((shard, _, _), chosen) in enumerate(zip(parts, rows, strict=True))
        if len(chosen)
    ]
    sizes = list(map_shards(_write_sets, tasks, "n-gram sets"))
    first_slots = np.cumsum([0, *(len(one) for one in sizes)])[:-1]
    documents = np.flatnonzero(wanted)
    slot = np.zeros(len(ranks), np.uint32)
    slot[ranks[documents]] = np.arange(len(documents), dtype=np.uint32)
    all_sizes = np.concatenate([np.zeros(0, np.uint32), *sizes])
    return ShingleSets(slot, all_sizes, [task.path for task in tasks], first_slots)


def _write_sets(task: _Task) -> np.ndarray:
    """Write the sets of the documents in task.rows; their sizes."""
    sizes = []
    begin = 0
    with open(task.path, "wb") as handle:
        for table in read_batches(task.shard, ["text"]):
            low, high = np.searchsorted(task.rows, [begin, begin + table.num_rows])
            if high > low:
                texts = table["text"].combine_chunks().take(pa.array(task.rows[low:high] - begin))
                for grams in shingles(decode(texts, WITHOUT_SPACE), task.ngram_chars):
                    grams.tofile(handle)
                    sizes.append(len(grams))
            begin += table.num_rows
    return np.array(sizes, np.uint32)
