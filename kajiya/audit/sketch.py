"""The distribution of a measure in bounded memory, whatever the number of documents.

Values are grouped by the leading bits of their floating-point form: values of one group lie within
1/4096 of each other, and whole numbers up to 8192 stand alone. Each group is cut at the threshold, so
that what lies on either side of it is counted exactly, and it knows its least and greatest value.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_DROPPED_BITS = 40  # of the 52 bits of the fraction: 12 are left
_ALL_BUT_SIGN = np.int64(0x7FFFFFFFFFFFFFFF)


class Sketch(NamedTuple):
    """Groups of values in ascending order."""

    key: npt.NDArray[np.int64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    """[groups, kinds]: what was counted of the documents of each group."""

    @property
    def above(self) -> npt.NDArray[np.bool_]:
        """Which groups lie on the upper side of the threshold."""
        return (self.key & 1).astype(bool)


def sketch(
    values: npt.NDArray[np.float64], above: npt.NDArray[np.bool_], counts: npt.NDArray[np.int64]
) -> Sketch:
    """above: whether a value lies on the upper side of the threshold. counts: [documents, kinds]."""
    bits = (values + 0.0).view(np.int64)  # adding 0 makes one of the two zeros
    ordered = bits ^ ((bits >> 63) & _ALL_BUT_SIGN)  # integers in the order of the numbers
    key = ((ordered >> _DROPPED_BITS) << 1) | above
    return _grouped(key, values, values, counts)


def merge(parts: Sequence[Sketch]) -> Sketch:
    """The distribution of all documents of the parts."""
    return _grouped(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def quantiles(
    low: npt.NDArray[np.float64], counts: npt.NDArray[np.int64], shares: Sequence[float]
) -> list[float]:
    """The value at each share (0 to 1) of the counted documents; empty where there are none."""
    total = int(counts.sum())
    if not total:
        return []
    ranks = [min(max(int(np.ceil(share * total)), 1), total) for share in shares]
    return [float(low[index]) for index in np.searchsorted(np.cumsum(counts), ranks)]


def _grouped(
    key: npt.NDArray[np.int64],
    low: npt.NDArray[np.float64],
    high: npt.NDArray[np.float64],
    counts: npt.NDArray[np.int64],
) -> Sketch:
    if not len(key):
        return Sketch(key, low, high, counts)
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    return Sketch(
        key[starts],
        np.minimum.reduceat(low[order], starts),
        np.maximum.reduceat(high[order], starts),
        np.add.reduceat(counts[order], starts, axis=0),
    )
