"""Character n-grams of many texts as 64-bit hashes, at memory speed.

Texts lie one after another in a single array of code points: Japanese has no spaces to cut words at,
and a kernel over a flat array is two orders of magnitude faster than one over Python strings.
"""

import unicodedata
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from kajiya.utf8 import buffers
from kajiya.utf8 import decode as decode_character

# Odd, so that no window of n-grams loses the oldest character; any large odd constant serves.
_BASE = np.uint64(0x9E3779B97F4A7C15)


class Points(NamedTuple):
    """Code points of several texts: text i is points[offsets[i]:offsets[i + 1]]."""

    points: npt.NDArray[np.uint32]
    offsets: npt.NDArray[np.int64]


def flatten(texts: list[str]) -> Points:
    """All texts in one array."""
    points = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return Points(points, offsets)


def select(texts: Points, table: npt.NDArray[np.uint32]) -> Points:
    """Every code point replaced by its entry in `table`, and left out where that is 0.

    table: one entry for each code point of the basic plane; those beyond stay as they are.
    """
    small = texts.points < len(table)
    points = np.where(small, table[np.where(small, texts.points, 0)], texts.points)
    stays = points != 0
    before = np.zeros(len(points) + 1, np.int64)
    np.cumsum(stays, out=before[1:])
    return Points(points[stays], before[texts.offsets])


def decode(texts: pa.Array, table: npt.NDArray[np.uint32]) -> Points:
    """As select(flatten(texts), table), straight from Arrow's UTF-8: five times as fast, no string made.

    texts: string or large_string without nulls.
    """
    return Points(*_decode(*buffers(texts), table))


@njit(cache=True, nogil=True)
def _decode(data, bounds, table):  # type: ignore[no-untyped-def]
    points = np.empty(bounds[-1] - bounds[0], np.uint32)
    offsets = np.zeros(len(bounds), np.int64)
    n = 0
    for text in range(len(bounds) - 1):
        i = bounds[text]
        while i < bounds[text + 1]:
            point, size = decode_character(data, i)
            if point < len(table):
                point = table[point]
            points[n] = point
            n += int(point != 0)  # what is left out is written over
            i += size
        offsets[text + 1] = n
    return points[:n], offsets


def _table(keep: Callable[[str], bool], fold: Callable[[str], str]) -> npt.NDArray[np.uint32]:
    table = np.zeros(0x10000, np.uint32)
    for point in range(1, 0x10000):
        folded = fold(chr(point)) if keep(chr(point)) else ""
        table[point] = ord(folded) if len(folded) == 1 else point if folded else 0
    return table


# For `select`: what two spellings of one text have in common.
WITHOUT_SPACE = _table(lambda c: not c.isspace(), lambda c: c)
LETTERS_AND_DIGITS = _table(str.isalnum, lambda c: unicodedata.normalize("NFKC", c).lower())


@njit(cache=True, nogil=True)
def ngram_hashes(points, n):  # type: ignore[no-untyped-def]
    """Hash of points[i:i + n] for every i from 0 to len(points) - n. Equal n-grams have equal hashes.

    The caller passes over windows that reach from one text into the next.
    """
    result = np.empty(max(0, len(points) - n + 1), np.uint64)
    oldest = np.uint64(1)
    for _ in range(n):
        oldest *= _BASE
    value = np.uint64(0)
    for i in range(len(points)):
        value = value * _BASE + np.uint64(points[i]) + np.uint64(1)
        if i >= n:
            value -= (np.uint64(points[i - n]) + np.uint64(1)) * oldest
        if i >= n - 1:
            # A polynomial's low bits depend on few bits of the characters: mix before anyone masks them.
            mixed = (value ^ (value >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
            result[i - n + 1] = mixed ^ (mixed >> np.uint64(32))
    return result
