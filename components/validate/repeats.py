"""Ids and texts that stand in the corpus more than once, by sorted hashes on the disk.

Every shard has its hashes in order, so the corpus is gone through range by range of the hash: memory is
what one range takes, whatever the size of the corpus.
"""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

_RANGE_DOCUMENTS = 4_000_000  # held at once: 24 bytes each


class Repeats(NamedTuple):
    copies: dict[int, int]
    """How often a value occurs -> how many values do."""
    places: list[tuple[int, int]]
    """(shard, row) of the first repeated documents, those of one value together."""


def find_repeats(folder: Path, kind: str, shards: int, examples: int) -> Repeats:
    """kind: text or id. examples: how many documents to name."""
    hashes = [np.load(folder / f"{kind}-{i:05d}.npy", mmap_mode="r") for i in range(shards)]
    rows = [np.load(folder / f"{kind}-rows-{i:05d}.npy", mmap_mode="r") for i in range(shards)]
    ranges = max(1, -(-sum(len(one) for one in hashes) // _RANGE_DOCUMENTS))
    copies: Counter[int] = Counter()
    groups: list[list[tuple[int, int]]] = []
    for number in range(ranges):
        cuts = [[_cut(one, number, ranges), _cut(one, number + 1, ranges)] for one in hashes]
        values = np.concatenate([one[slice(*cut)] for one, cut in zip(hashes, cuts, strict=True)])
        places = np.concatenate([one[slice(*cut)] for one, cut in zip(rows, cuts, strict=True)])
        shard = np.repeat(np.arange(shards), [end - begin for begin, end in cuts])
        order = np.argsort(values, kind="stable")  # keeps the order of shards and rows
        _, starts, times = np.unique(values[order], return_index=True, return_counts=True)
        copies.update(dict(zip(*(c.tolist() for c in np.unique(times, return_counts=True)), strict=True)))
        for i in np.flatnonzero(times > 1)[:examples]:
            at = order[starts[i] : starts[i] + min(times[i], examples)]
            groups.append(list(zip(shard[at].tolist(), places[at].tolist(), strict=True)))
    return Repeats(
        dict(sorted(copies.items())), [place for one in sorted(groups) for place in one][:examples]
    )


def _cut(hashes: np.ndarray, number: int, ranges: int) -> int:
    """Where range `number` begins."""
    if number == ranges:
        return len(hashes)
    return int(np.searchsorted(hashes, np.uint64(number * 2**64 // ranges)))
