"""Lines that stand in many documents: menus, notices, footers that no rule of `clean` knows.

A line is compared without white space. Which lines are boilerplate is decided over the documents that
stay, so that copies of one page do not make its lines common.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
from numba import njit

from components.dedupe.spill import HASHED, as_records
from kajiya.ngrams import WITHOUT_SPACE, decode

_NEWLINE = 10
_BY_LINES = WITHOUT_SPACE.copy()
_BY_LINES[_NEWLINE] = _NEWLINE


class CommonLines(NamedTuple):
    """Lines to remove, by ascending hash."""

    hashes: np.ndarray
    first: np.ndarray
    """The document that keeps the line: of all that hold it the best, by rank."""
    documents: np.ndarray
    """In how many documents that stay it stands."""

    def store(self, folder: Path) -> None:
        """For the workers, who share the pages of the files where a copy each would be pickled."""
        for name, column in self._asdict().items():
            np.save(folder / f"common.{name}.npy", column)

    @classmethod
    def stored(cls, folder: Path) -> Self:
        return cls(*(np.load(folder / f"common.{name}.npy", mmap_mode="r") for name in cls._fields))


class Lines(NamedTuple):
    """Every line of several texts: text i has the lines offsets[i]:offsets[i + 1]."""

    hashes: np.ndarray
    chars: np.ndarray
    offsets: np.ndarray


def lines_of(texts: pa.Array) -> Lines:
    return Lines(*_lines(*decode(texts, _BY_LINES)))


def line_records(texts: pa.Array, documents: np.ndarray, min_chars: int) -> np.ndarray:
    """One record per line of `min_chars` and more."""
    lines = lines_of(texts)
    long = lines.chars >= min_chars
    owner = np.repeat(documents, np.diff(lines.offsets))
    return as_records(HASHED, key=lines.hashes[long], document=owner[long])


def common_lines(
    groups: Iterable[np.ndarray], kept: np.ndarray, rank: np.ndarray, max_documents: int
) -> CommonLines:
    """Lines that stand in more than `max_documents` documents that stay.

    groups: records of lines, equal keys together. kept: per document whether it stays; rank: its rank.
    """
    parts = [CommonLines(np.zeros(0, np.uint64), np.zeros(0, np.uint32), np.zeros(0, np.int64))]
    parts += [_common(group, kept, rank, max_documents) for group in groups]
    return CommonLines(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _common(group: np.ndarray, kept: np.ndarray, rank: np.ndarray, max_documents: int) -> CommonLines:
    group = _frequent(group[kept[group["document"]]], max_documents)
    order = np.lexsort((rank[group["document"]], group["key"]))
    keys, documents = group["key"][order], group["document"][order]
    new_line = np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)]
    new_document = new_line | np.concatenate([[True], documents[1:] != documents[:-1]])[: len(keys)]
    begins = np.flatnonzero(new_line)
    counts = np.add.reduceat(new_document.astype(np.int64), begins) if len(begins) else begins
    common = counts > max_documents
    return CommonLines(keys[begins[common]], documents[begins[common]], counts[common])


def _frequent(group: np.ndarray, least: int) -> np.ndarray:
    """The records of keys that come more than `least` times, in whatever documents."""
    order = np.argsort(group["key"])
    keys = group["key"][order]
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)])
    sizes = np.diff(np.append(begins, len(keys)))
    return group[order[np.repeat(sizes > least, sizes)]]


class Shortened(NamedTuple):
    """One text without its common lines."""

    text: str
    removed: list[tuple[int, str]]
    """Index among the common lines, and the line, for each that was taken out."""


def shorten(
    texts: pa.Array, documents: np.ndarray, common: CommonLines, keep_first: bool
) -> Iterator[tuple[int, Shortened]]:
    """Index and new text of every text that loses a line."""
    lines = lines_of(texts)
    found = np.searchsorted(common.hashes, lines.hashes)
    found[found == len(common.hashes)] = 0
    hits = common.hashes[found] == lines.hashes if len(common.hashes) else np.zeros(len(found), bool)
    owner = np.repeat(np.arange(len(texts)), np.diff(lines.offsets))
    for index in np.unique(owner[hits]).tolist():
        begin, end = lines.offsets[index], lines.offsets[index + 1]
        which = np.where(hits[begin:end], found[begin:end], -1).tolist()
        spared = {i for i in which if keep_first and i >= 0 and common.first[i] == documents[index]}
        shortened = _shorten(texts[index].as_py(), which, spared)
        if shortened.removed:
            yield index, shortened


def _shorten(text: str, which: list[int], spared: set[int]) -> Shortened:
    """which: per line its index among the common ones, or -1. spared: those whose first occurrence stays."""
    stay, removed = [], []
    for line, index in zip(text.split("\n"), which, strict=True):
        if index < 0 or index in spared:
            spared.discard(index)
            stay.append(line)
        else:
            removed.append((index, line))
    return Shortened("\n".join(stay).strip("\n"), removed)


@njit(cache=True, nogil=True)
def _lines(points, offsets):
    texts = len(offsets) - 1
    count = texts
    for i in range(offsets[0], offsets[texts]):
        count += points[i] == _NEWLINE
    hashes, chars = np.empty(count, np.uint64), np.empty(count, np.int64)
    line_offsets = np.zeros(texts + 1, np.int64)
    line = 0
    for text in range(texts):
        value, size = np.uint64(0xCBF29CE484222325), 0
        for i in range(offsets[text], offsets[text + 1] + 1):
            if i < offsets[text + 1] and points[i] != _NEWLINE:
                value = (value ^ np.uint64(points[i])) * np.uint64(0x100000001B3)
                size += 1
                continue
            value = (value ^ (value >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
            hashes[line], chars[line] = value ^ (value >> np.uint64(32)), size
            value, size = np.uint64(0xCBF29CE484222325), 0
            line += 1
        line_offsets[text + 1] = line
    return hashes, chars, line_offsets
