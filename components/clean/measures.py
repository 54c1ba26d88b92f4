"""What the rules look at, measured once for a whole batch of texts.

The batch is one flat array of code points with the offsets of its documents, so that every kernel is
one pass over memory; a measure is computed when the first rule asks for it.
"""

from functools import cached_property

import numpy as np
import polars as pl
from numba import njit

from kajiya.ngrams import WITHOUT_SPACE, Points, flatten, ngram_hashes, select

SPACE, HIRAGANA, KATAKANA, KANJI, LATIN, DIGIT, OTHER = range(7)
_CLASSES = 7


def _class_table() -> np.ndarray:
    """Character class of every code point of the basic plane."""
    table = np.full(0x10000, OTHER, np.uint8)
    ranges = [
        (KATAKANA, "゠ヿ"), (KATAKANA, "ㇰㇿ"), (HIRAGANA, "ぁゟ"),
        (KANJI, "㐀䶿"), (KANJI, "一鿿"), (KANJI, "豈﫿"), (KANJI, "々〇"),
        (LATIN, "AZ"), (LATIN, "az"), (LATIN, "Àɏ"), (DIGIT, "09"),
    ]  # fmt: skip
    for kind, (first, last) in ranges:
        table[ord(first) : ord(last) + 1] = kind
    for blank in " \t\n\u3000":
        table[ord(blank)] = SPACE
    table[ord("・")] = OTHER
    return table


_TABLE = _class_table()


class Batch:
    """Texts of one batch with their measures; every measure has one value per text."""

    def __init__(self, originals: list[str], texts: list[str]):
        """originals: the texts as they came, for the rules on damage that normalising hides."""
        self.originals = originals
        self.texts = texts
        self.series = pl.Series(texts, dtype=pl.String)
        self._repetitions: dict[int, np.ndarray] = {}

    @cached_property
    def _flat(self) -> Points:
        return flatten(self.texts)

    @cached_property
    def _solid(self) -> Points:
        return select(self._flat, WITHOUT_SPACE)

    def _repetition(self, n: int) -> np.ndarray:
        if n not in self._repetitions:
            hashes = ngram_hashes(self._solid.points, n)
            self._repetitions[n] = _repetition(hashes, self._solid.offsets, n)
        return self._repetitions[n]

    @cached_property
    def _classes(self) -> np.ndarray:
        return _count_classes(*self._flat, _TABLE)

    @cached_property
    def _lines(self) -> np.ndarray:
        return _measure_lines(*self._flat)

    @cached_property
    def _sentences(self) -> np.ndarray:
        return _measure_sentences(*self._flat)

    @cached_property
    def chars(self) -> np.ndarray:
        """Characters without white space."""
        return self._classes.sum(axis=1) - self._classes[:, SPACE]

    def class_share(self, *kinds: int) -> np.ndarray:
        """Share of the characters (white space aside) that belong to these classes."""
        return _share(self._classes[:, list(kinds)].sum(axis=1), self.chars)

    @cached_property
    def duplicate_line_share(self) -> np.ndarray:
        """Share of the non-empty lines that stood in the text before."""
        return _share(self._lines[:, 1], self._lines[:, 0])

    @cached_property
    def ellipsis_share(self) -> np.ndarray:
        """Share of the non-empty lines that break off with … or ..."""
        return _share(self._lines[:, 2], self._lines[:, 0])

    @cached_property
    def sentence_end_share(self) -> np.ndarray:
        """Sentence ends per character."""
        return _share(self._sentences[:, 0], self.chars)

    @cached_property
    def ends_open(self) -> np.ndarray:
        """1 where the last line breaks off in mid-sentence, else 0."""
        return self._sentences[:, 1]

    def duplicate_ngram_share(self, n: int) -> np.ndarray:
        """Share of the character n-grams that stood in the text before."""
        return self._repetition(n)[:, 0]

    def top_ngram_share(self, n: int) -> np.ndarray:
        """Share of the text that its most frequent character n-gram covers."""
        return self._repetition(n)[:, 1]

    def original_pattern_count(self, pattern: str) -> np.ndarray:
        """Matches of a regular expression in the texts as they came."""
        return (
            pl.Series(self.originals, dtype=pl.String).str.count_matches(pattern).to_numpy().astype(np.int64)
        )

    def distinct_words(self, words: tuple[str, ...]) -> np.ndarray:
        """How many different ones of `words` occur."""
        found = self.series.str.to_lowercase().str.extract_many(list(words), overlapping=False)
        return found.list.n_unique().fill_null(0).to_numpy().astype(np.int64)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / np.maximum(whole, 1)


@njit(cache=True, nogil=True)
def _count_classes(points, offsets, table):
    counts = np.zeros((len(offsets) - 1, _CLASSES), np.int64)
    for document in range(len(offsets) - 1):
        for i in range(offsets[document], offsets[document + 1]):
            point = points[i]
            if point < 0x10000:
                counts[document, table[point]] += 1
            elif 0x20000 <= point < 0x40000:
                counts[document, KANJI] += 1
            else:
                counts[document, OTHER] += 1
    return counts


@njit(cache=True, nogil=True)
def _is_space(point):
    return point == 0x20 or point == 0x09 or point == 0x0A or point == 0x3000  # noqa: PLR1714


@njit(cache=True, nogil=True)
def _measure_lines(points, offsets):
    """Per document: non-empty lines, those that stood before, those that end in an ellipsis."""
    result = np.zeros((len(offsets) - 1, 3), np.int64)
    for document in range(len(offsets) - 1):
        seen = {np.uint64(0)}
        begin, end = offsets[document], offsets[document + 1]
        value, last, before, third = np.uint64(0), np.uint32(0), np.uint32(0), np.uint32(0)
        for i in range(begin, end + 1):
            if i < end and points[i] != 0x0A:
                if not _is_space(points[i]):
                    value = (value ^ np.uint64(points[i])) * np.uint64(0x9E3779B97F4A7C15)
                    value ^= value >> np.uint64(29)
                    last, before, third = points[i], last, before
                continue
            if last != 0:
                result[document, 0] += 1
                if value in seen:
                    result[document, 1] += 1
                seen.add(value)
                dots = last == 0x2E and before == 0x2E and third == 0x2E
                result[document, 2] += last == 0x2026 or dots
            value, last, before, third = np.uint64(0), np.uint32(0), np.uint32(0), np.uint32(0)
    return result


@njit(cache=True, nogil=True)
def _is_stop(point):
    return point in (0x3002, 0xFF01, 0xFF1F, 0x21, 0x3F, 0x2E, 0xFF0E)  # 。！？!?.．


@njit(cache=True, nogil=True)
def _is_closing(point):
    return point in (0x300D, 0x300F, 0xFF09, 0x29, 0x22, 0x201D, 0x3011, 0x27)  # 」』）)"”】'


@njit(cache=True, nogil=True)
def _measure_sentences(points, offsets):
    """Per document: sentence ends, and 1 if the last sentence did not end."""
    result = np.zeros((len(offsets) - 1, 2), np.int64)
    for document in range(len(offsets) - 1):
        closed = True
        previous_stop = False
        for i in range(offsets[document], offsets[document + 1]):
            point = points[i]
            if point == 0x0A:
                previous_stop = False
            elif _is_stop(point):
                if not previous_stop:
                    result[document, 0] += 1
                closed, previous_stop = True, True
            elif not _is_space(point):
                previous_stop = False
                if not (closed and _is_closing(point)):
                    closed = False
        result[document, 1] = 0 if closed else 1
    return result


@njit(cache=True, nogil=True)
def _repetition(hashes, offsets, n):
    """Per document: share of n-grams seen before; share of characters the most frequent n-gram covers.

    A table of open addressing is reused for all documents: a slot is taken when its stamp is the
    document's number.
    """
    size = _table_size(np.max(np.diff(offsets))) if len(offsets) > 1 else 1
    keys = np.zeros(size, np.uint64)
    stamps = np.full(size, -1, np.int64)
    counts = np.zeros(size, np.int32)
    result = np.zeros((len(offsets) - 1, 2), np.float64)
    for document in range(len(offsets) - 1):
        begin, end = offsets[document], offsets[document + 1] - n + 1
        if end <= begin:
            continue
        mask = np.uint64(_table_size(end - begin) - 1)
        repeated, top = 0, 1
        for i in range(begin, end):
            slot = hashes[i] & mask
            while stamps[slot] == document and keys[slot] != hashes[i]:
                slot = (slot + np.uint64(1)) & mask
            if stamps[slot] == document:
                repeated += 1
                counts[slot] += 1
                top = max(top, counts[slot])
            else:
                stamps[slot], keys[slot], counts[slot] = document, hashes[i], 1
        result[document, 0] = repeated / (end - begin)
        # One occurrence repeats nothing; overlapping ones can add up to more than the text.
        result[document, 1] = min(1.0, top * n / (end - begin + n - 1)) if top > 1 else 0.0
    return result


@njit(cache=True, nogil=True)
def _table_size(entries):
    size = 16
    while size < 2 * entries:
        size *= 2
    return size
