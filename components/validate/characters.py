"""Scripts and lengths of texts, counted straight from Arrow's buffers in one pass."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from kajiya.scripts import KANJI, NONE, RARE_KANJI, script_table
from kajiya.utf8 import buffers, decode

# After the scripts' numbers.
OTHER, HANGUL, LETTER, UNREADABLE, AT_SIGN = NONE, 6, 7, 8, 9
SPACE, RETURN, NEWLINE = range(10, 13)  # white space comes last
_LINES, _CHARACTERS, _COLUMNS = 13, 14, 15

_RARE_KANJI, _AFTER_RARE_KANJI = RARE_KANJI
_RANGES = (
    (0x1100, 0x11FF, HANGUL),
    (0x3130, 0x318F, HANGUL),
    (0xAC00, 0xD7AF, HANGUL),
    (0x00, 0x08, UNREADABLE),
    (0x0E, 0x1F, UNREADABLE),
    (0x7F, 0x9F, UNREADABLE),
    (0xE000, 0xF8FF, UNREADABLE),
    (0xFFFD, 0xFFFF, UNREADABLE),
)


def _class_table() -> npt.NDArray[np.uint8]:
    """Class of each code point of the basic plane."""
    table = script_table()
    for point in np.flatnonzero(table == NONE):
        if chr(point).isalpha():
            table[point] = LETTER
    for first, last, kind in _RANGES:
        table[first : last + 1] = kind
    for point in range(0x10000):
        if chr(point).isspace():
            table[point] = SPACE
    table[0x40] = table[0xFF20] = AT_SIGN
    table[0x0D], table[0x0A] = RETURN, NEWLINE
    return table


_TABLE = _class_table()


class Counts(NamedTuple):
    """Per document."""

    classes: npt.NDArray[np.int64]
    """[document, class]: characters of each class, such as HIRAGANA."""
    characters: npt.NDArray[np.int64]
    """Without white space at the ends."""
    lines: npt.NDArray[np.int64]
    """Lines that are not blank."""
    hashes: npt.NDArray[np.uint64]
    """Of the text without white space at its ends."""

    @property
    def visible(self) -> npt.NDArray[np.int64]:
        """Characters that are no white space."""
        return self.classes[:, :SPACE].sum(axis=1)


def count(texts: pa.ChunkedArray) -> Counts:
    """Count the texts of a large_string column without nulls."""
    parts = [_count(*buffers(chunk), _TABLE) for chunk in texts.chunks]
    none = (np.zeros((0, _COLUMNS), np.int64), np.zeros(0, np.uint64))
    table, hashes = (np.concatenate(column) for column in zip(none, *parts, strict=True))
    return Counts(table[:, :_LINES], table[:, _CHARACTERS], table[:, _LINES], hashes)


@njit(cache=True, nogil=True)
def _count(data, offsets, table):  # type: ignore[no-untyped-def]
    documents = len(offsets) - 1
    counts, hashes = np.zeros((documents, _COLUMNS), np.int64), np.zeros(documents, np.uint64)
    for document in range(documents):
        row, i, end = counts[document], offsets[document], offsets[document + 1]
        first, last, seen, blank = -1, i, 0, True  # characters seen since the first visible one
        while i < end:
            point, width = decode(data, i)
            kind = table[point] if point < 0x10000 else _beyond(point)
            row[kind] += 1
            seen += 1
            if kind < SPACE:
                if first < 0:
                    first, seen = i, 1
                row[_LINES] += blank
                blank = False
                last = i + width
                row[_CHARACTERS] = seen
            elif kind == NEWLINE:
                blank = True
            i += width
        if first >= 0:
            hashes[document] = _hash(data, first, last)
    return counts, hashes


@njit(cache=True, nogil=True)
def _beyond(point):  # type: ignore[no-untyped-def]
    """Class of a code point beyond the basic plane: rare kanji, private use, or a symbol such as emoji."""
    if _RARE_KANJI <= point < _AFTER_RARE_KANJI:
        return np.uint8(KANJI)
    return np.uint8(UNREADABLE) if point >= 0xF0000 else np.uint8(OTHER)


@njit(cache=True, nogil=True)
def _hash(data, begin, end):  # type: ignore[no-untyped-def]
    value = np.uint64(end - begin)
    for i in range(begin, end):
        value = (value ^ np.uint64(data[i])) * np.uint64(0x9E3779B97F4A7C15)
        value ^= value >> np.uint64(29)
    return value
