"""What the rules look at, measured once for a whole batch of texts.

The batch is one flat array of code points with the offsets of its documents, so that every kernel is
one pass over memory; a measure is computed when the first rule asks for it.
"""

import zlib
from functools import cached_property, lru_cache

import numpy as np
import pyarrow as pa
from numba import njit

from components.clean.automaton import Automaton, automaton
from components.clean.repetition import duplicate_lines, repetition
from components.clean.utf8 import encode
from kajiya.ngrams import Points
from kajiya.scripts import HIRAGANA, KANJI, KATAKANA, NONE, RARE_KANJI, script_table

# The scripts' numbers, with white space in the place of no script.
SPACE, STOP, OTHER = NONE, 6, 7
_RARE_KANJI, _AFTER_RARE_KANJI = RARE_KANJI
# After the classes in a row of counts.
_LINES, _CUT_LINES, _ENDS, _OPEN, _FULL_STOPS, _SENTENCES, _CUT_SENTENCES, _LONGEST, _KANA_AT_START = range(
    8, 17
)
_HEAD = 50  # characters, for _KANA_AT_START


def _class_table() -> np.ndarray:
    """Character class of every code point of the basic plane."""
    table = script_table()
    table[table == NONE] = OTHER
    for blank in " \t\n\u3000":
        table[ord(blank)] = SPACE
    for stop in "。！？!?.．":
        table[ord(stop)] = STOP
    return table


_TABLE = _class_table()


class Batch:
    """Normalised texts of one batch with their measures; every measure has one value per text."""

    def __init__(self, texts: Points, damage: np.ndarray):
        """damage: traces of a wrong decoding in the texts as they came, which normalising may hide."""
        self.texts = texts
        self.damage = damage
        self._repetitions: dict[int, np.ndarray] = {}

    @cached_property
    def utf8(self) -> pa.Array:
        """The texts as large_string."""
        return encode(self.texts)

    @cached_property
    def _measured(self) -> tuple[np.ndarray, Points]:
        counts, solid, offsets = _count(*self.texts, _TABLE)
        return counts, Points(solid[: offsets[-1]], offsets)

    @property
    def _counts(self) -> np.ndarray:
        return self._measured[0]

    def _repetition(self, n: int) -> np.ndarray:
        if n not in self._repetitions:
            self._repetitions[n] = repetition(*self._measured[1], n)
        return self._repetitions[n]

    @cached_property
    def chars(self) -> np.ndarray:
        """Characters without white space."""
        return np.diff(self._measured[1].offsets)

    def class_chars(self, *kinds: int) -> np.ndarray:
        """Characters that belong to these classes."""
        return self._counts[:, list(kinds)].sum(axis=1)

    def class_share(self, *kinds: int) -> np.ndarray:
        """Share of the characters (white space aside) that belong to these classes."""
        return _share(self.class_chars(*kinds), self.chars)

    @property
    def damage_share(self) -> np.ndarray:
        """Traces of a wrong decoding per character."""
        return _share(self.damage, self.chars)

    @cached_property
    def duplicate_line_share(self) -> np.ndarray:
        """Share of the non-empty lines that stood in the text before."""
        return _share(duplicate_lines(*self.texts), self._counts[:, _LINES])

    @property
    def ellipsis_share(self) -> np.ndarray:
        """Share of the non-empty lines that break off with … or ..."""
        return _share(self._counts[:, _CUT_LINES], self._counts[:, _LINES])

    @property
    def chars_per_end(self) -> np.ndarray:
        """Characters for every sentence end of any kind; a million where there is none."""
        return _per(self.chars, self._counts[:, _ENDS])

    @property
    def chars_per_full_stop(self) -> np.ndarray:
        """Characters for every 。; a million where there is none."""
        return _per(self.chars, self._counts[:, _FULL_STOPS])

    @property
    def ends_open(self) -> np.ndarray:
        """1 where the last line breaks off in mid-sentence, else 0."""
        return self._counts[:, _OPEN]

    @property
    def mean_sentence_chars(self) -> np.ndarray:
        """Characters per sentence; sentences end at 。！？!? and at line ends."""
        return _share(self.chars, self._counts[:, _SENTENCES])

    @property
    def longest_sentence_chars(self) -> np.ndarray:
        return self._counts[:, _LONGEST]

    @property
    def ellipsis_sentence_share(self) -> np.ndarray:
        """Share of the sentences that end in … or ..."""
        return _share(self._counts[:, _CUT_SENTENCES], self._counts[:, _SENTENCES])

    @property
    def kana_at_start(self) -> np.ndarray:
        """Kana among the first 50 characters."""
        return self._counts[:, _KANA_AT_START]

    def duplicate_ngram_share(self, n: int) -> np.ndarray:
        """Share of the character n-grams that stood in the text before."""
        return self._repetition(n)[:, 0]

    def top_ngram_share(self, n: int) -> np.ndarray:
        """Share of the text that its most frequent character n-gram covers."""
        return self._repetition(n)[:, 1]

    def top_ngram_frequency(self, n: int) -> np.ndarray:
        """Share of the character n-grams that are the most frequent one."""
        return self._repetition(n)[:, 2]

    @cached_property
    def zlib_ratio(self) -> np.ndarray:
        """Size of the text compressed by zlib (level 9) over its size in UTF-8."""
        texts = (value.as_buffer() for value in self.utf8)
        return np.array([len(zlib.compress(text, 9)) / max(1, text.size) for text in texts])

    def distinct_words(self, words: tuple[str, ...]) -> np.ndarray:
        """How many different ones of `words` occur; Latin letters match in either case."""
        return _count_words(*self.texts, *_automaton(words)[:3], len(words))


@lru_cache
def _automaton(words: tuple[str, ...]) -> Automaton:
    return automaton(words)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / np.maximum(whole, 1)


def _per(whole: np.ndarray, parts: np.ndarray) -> np.ndarray:
    return np.where(parts > 0, whole / np.maximum(parts, 1), 1e6)


@njit(cache=True, nogil=True)
def _count(points, offsets, table):
    """Per document a row of counts; and the texts without their white space."""
    documents = len(offsets) - 1
    counts = np.zeros((documents, 17), np.int64)
    solid = np.empty(len(points), np.uint32)
    ends = np.zeros(documents + 1, np.int64)
    j = np.int64(0)  # typed: a literal 0 would have every callee compiled once more
    for document in range(documents):
        row = counts[document]
        begin = j
        closed, after_stop, ended = True, False, False
        sentence, line = j, j
        for i in range(offsets[document], offsets[document + 1]):
            point = points[i]
            kind = OTHER
            if point < 0x10000:
                kind = table[point]
            elif _RARE_KANJI <= point < _AFTER_RARE_KANJI:
                kind = KANJI
            row[kind] += 1
            if kind == SPACE:
                if point == 0x0A:
                    _end_line(row, solid, line, j)
                    _end_sentence(row, solid, sentence, j)
                    sentence, line, after_stop, ended = j, j, False, False
                continue
            solid[j] = point
            j += 1
            if kind == STOP:
                row[_FULL_STOPS] += point == 0x3002
                row[_ENDS] += not after_stop
                ended = ended or _ends_sentence(point)
                closed, after_stop = True, True
            else:
                closing = _is_closing(point)
                if ended and not closing:
                    _end_sentence(row, solid, sentence, j - 1)
                    sentence, ended = j - 1, False
                after_stop = False
                closed = closed and closing
        _end_line(row, solid, line, j)
        _end_sentence(row, solid, sentence, j)
        row[_OPEN] = not closed
        for i in range(begin, min(j, begin + _HEAD)):
            kana = solid[i] < 0x10000 and (table[solid[i]] == HIRAGANA or table[solid[i]] == KATAKANA)
            row[_KANA_AT_START] += kana
        ends[document + 1] = j
    return counts, solid, ends


@njit(cache=True, nogil=True)
def _end_line(row, solid, begin, end):
    if end > begin:
        row[_LINES] += 1
        row[_CUT_LINES] += _is_cut(solid, begin, end)


@njit(cache=True, nogil=True)
def _end_sentence(row, solid, begin, end):
    if end > begin:
        row[_SENTENCES] += 1
        row[_LONGEST] = max(row[_LONGEST], end - begin)
        stop = end
        while stop > begin and (_ends_sentence(solid[stop - 1]) or _is_closing(solid[stop - 1])):
            stop -= 1
        row[_CUT_SENTENCES] += _is_cut(solid, begin, stop)


@njit(cache=True, nogil=True)
def _is_cut(solid, begin, end):
    """1 if the text between breaks off with … or three dots."""
    if end <= begin:
        return 0
    if solid[end - 1] == 0x2026:
        return 1
    return int(
        end - begin > 2 and solid[end - 1] == 0x2E and solid[end - 2] == 0x2E and solid[end - 3] == 0x2E
    )


@njit(cache=True, nogil=True)
def _ends_sentence(point):
    return point in (0x3002, 0xFF01, 0xFF1F, 0x21, 0x3F)  # 。！？!?


@njit(cache=True, nogil=True)
def _is_closing(point):
    return point in (0x300D, 0x300F, 0xFF09, 0x29, 0x22, 0x201D, 0x3011, 0x27)  # 」』）)"”】'


@njit(cache=True, nogil=True)
def _count_words(points, offsets, symbols, steps, words, count):
    result = np.zeros(len(offsets) - 1, np.int64)
    seen = np.full(count, -1, np.int64)
    for document in range(len(offsets) - 1):
        state = 0
        for i in range(offsets[document], offsets[document + 1]):
            point = points[i]
            state = steps[state, symbols[point]] if point < 0x10000 else 0
            word = words[state]
            if word >= 0:
                state = 0
                if seen[word] != document:
                    seen[word] = document
                    result[document] += 1
    return result
