"""One look at every line: which may be boilerplate or hold personal data, and so deserve a closer one."""

from typing import NamedTuple

import numpy as np
from numba import njit

from components.clean.automaton import Automaton
from kajiya.ngrams import Points

# What a line may hold, set by its characters or by words of the automaton.
EMAIL, NUMBER, ADDRESS, PLACE, STOPPED, CUT, ARROW = (1 << bit for bit in range(7))
PERSONAL = EMAIL | NUMBER | ADDRESS
# Kinds of boilerplate lines. LABELS: short, or of two words of such a kind, and without a sentence's
# marks. NUMERIC: also for a line of numbers with hardly a letter. TEASER: only with an ellipsis.
NAVIGATION, SHARING, TEASER, COOKIES, FOOTER, ARCHIVE = (1 << bit for bit in range(7, 13))
LABELS, NUMERIC = NAVIGATION | SHARING, NAVIGATION | ARCHIVE
_KINDS = NAVIGATION | SHARING | TEASER | COOKIES | FOOTER | ARCHIVE
_DIGIT, _SEPARATOR, _AT, _STAR, _POSTAL, _PREFECTURE, _BLOCK, _PLUS, _STOP, _FRAME, _ARROW = range(1, 12)
_MEANINGS = np.zeros(12, np.int64)
_MEANINGS[[_STOP, _ARROW, _PREFECTURE]] = STOPPED, ARROW, PLACE
_MAX_CHARS = 400  # of a boilerplate line
_MAX_LABEL = 24  # letters of a boilerplate line that is one label


class Lines(NamedTuple):
    """Lines worth a closer look, in order: texts.points[begin:end], and the bits of what may be there."""

    begin: np.ndarray
    end: np.ndarray
    bits: np.ndarray


class _Tables(NamedTuple):
    symbols: np.ndarray
    steps: np.ndarray
    groups: np.ndarray
    signs: np.ndarray


def suspicious_lines(texts: Points, triggers: Automaton, wanted: int) -> Lines:
    """triggers: words with the bits they set; wanted: lines with none of these bits are passed over."""
    tables = _Tables(triggers.symbols, triggers.steps, triggers.groups, _SIGNS)
    return Lines(*_scan(*texts, tables, wanted))


def _signs() -> np.ndarray:
    table = np.zeros(0x10000, np.uint8)
    groups = {_DIGIT: "0123456789", _SEPARATOR: "-‐‑–−ー―()（） \t", _AT: "@", _STAR: "☆★", _POSTAL: "〒",
              _PREFECTURE: "都道府県", _BLOCK: "丁番", _PLUS: "+", _STOP: "。、，.?？", _ARROW: ">＞»›≫",
              _FRAME: "|｜/・:：[]【】*•●■□◆▶▲△←→«‹<…"}  # fmt: skip
    for sign, characters in groups.items():
        for character in characters:
            table[ord(character)] = sign
    return table


_SIGNS = _signs()


@njit(cache=True, nogil=True)
def _scan(points, offsets, tables, wanted):
    room, count = 1024, 0
    begins, ends, found = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
    for document in range(len(offsets) - 1):
        begin, last = offsets[document], offsets[document + 1]
        while begin < last:
            end, bits = _look(points, begin, last, tables)
            if bits & wanted:
                if count == room:
                    begins, ends, found = _doubled(begins), _doubled(ends), _doubled(found)
                    room *= 2
                begins[count], ends[count], found[count] = begin, end, bits & wanted
                count += 1
            begin = end + 1
    return begins[:count], ends[:count], found[:count]


@njit(cache=True, nogil=True)
def _look(points, begin, last, tables):
    """The end of the line that begins here, and what it may hold."""
    bits, state, hits = 0, 0, 0
    letters, digits, run, gap = 0, 0, 0, 0
    i = begin
    while i < last and points[i] != 0x0A:
        point = points[i] if points[i] < 0x10000 else np.uint32(0)
        state = tables.steps[state, tables.symbols[point]]
        group = tables.groups[state]
        bits |= group
        hits += (group & LABELS) != 0
        sign = tables.signs[point]
        if sign == 0:
            letters += 1
            run = 0
        elif sign == _DIGIT:
            if gap == 1 and run > 0 and bits & PLACE:
                bits |= ADDRESS
            digits += 1
            run += 1
            gap = 0
            if run >= 10:
                bits |= NUMBER
        elif sign == _SEPARATOR:
            gap += 1
            if gap > 3:
                run = 0
        else:
            bits |= _told(points, begin, i, sign, bits)
            run = 2 if sign == _PLUS else 0  # + and eight digits are a number abroad
            gap = 0
        i += 1
    return i, _likely(bits, i - begin, letters, digits, hits)


@njit(cache=True, nogil=True)
def _told(points, begin, i, sign, bits):
    """What a character that is no letter, digit or separator tells of its line."""
    after_word = i > begin and (_is_alphanumeric(points[i - 1]) or points[i - 1] == 0x20)
    if sign == _AT or (sign == _STAR and after_word):
        return EMAIL
    if sign == _POSTAL or (sign == _BLOCK and bits & PLACE):
        return ADDRESS
    return _MEANINGS[sign]


@njit(cache=True, nogil=True)
def _likely(bits, length, letters, digits, hits):
    """The bits without those kinds of boilerplate that the line's shape rules out."""
    if bits & LABELS and (bits & STOPPED or (letters > _MAX_LABEL and hits < 2 and not bits & ARROW)):
        bits &= ~LABELS
    if bits & TEASER and not bits & CUT:
        bits &= ~TEASER
    if digits >= 3 and (letters <= 10 or digits >= 2 * letters):
        bits |= NUMERIC
    if length > _MAX_CHARS:
        bits &= ~_KINDS
    return bits


@njit(cache=True, nogil=True)
def _doubled(array):
    result = np.empty(2 * len(array), array.dtype)
    for i in range(len(array)):  # assigning a slice would take two seconds to compile
        result[i] = array[i]
    return result


@njit(cache=True, nogil=True)
def _is_alphanumeric(point):
    return 0x30 <= point <= 0x39 or 0x41 <= point <= 0x5A or 0x61 <= point <= 0x7A
