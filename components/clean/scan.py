"""One look at every line: which may be boilerplate or hold personal data, and so deserve a closer one."""

from typing import NamedTuple

import numpy as np
from numba import njit

from components.clean.automaton import Automaton
from kajiya.ngrams import Points

# What a line may hold. Bits from FIRST_KIND on are kinds of boilerplate lines (lines.py).
EMAIL, NUMBER, ADDRESS, PLACE = 1, 2, 4, 8
FIRST_KIND = 16
_PERSONAL = EMAIL | NUMBER | ADDRESS
_DIGIT, _SEPARATOR, _AT, _STAR, _POSTAL, _PREFECTURE, _BLOCK, _PLUS, _STOP, _BLANK, _FRAME = range(1, 12)
_MAX_CHARS = 400  # of a boilerplate line


class Lines(NamedTuple):
    """Lines worth a closer look, in order: texts.points[begin:end], and the bits of what may be there."""

    begin: np.ndarray
    end: np.ndarray
    bits: np.ndarray


def suspicious_lines(texts: Points, triggers: Automaton, numeric: int) -> Lines:
    """triggers: words with the bits they set; numeric: bits of a line of numbers with hardly a letter."""
    begin, end, bits = _scan(*texts, triggers.symbols, triggers.steps, triggers.groups, _SIGNS, numeric)
    return Lines(begin, end, bits)


def _signs() -> np.ndarray:
    table = np.zeros(0x10000, np.uint8)
    groups = {_DIGIT: "0123456789", _SEPARATOR: "-‐‑–−ー―()（）.", _AT: "@", _STAR: "☆★", _POSTAL: "〒",
              _PREFECTURE: "都道府県", _BLOCK: "丁番", _PLUS: "+", _STOP: "。", _BLANK: " \t",
              _FRAME: "[]|«»<>…"}  # fmt: skip
    for sign, characters in groups.items():
        for character in characters:
            table[ord(character)] = sign
    return table


_SIGNS = _signs()


@njit(cache=True, nogil=True)
def _scan(points, offsets, symbols, steps, groups, signs, numeric):  # noqa: C901, PLR0912, PLR0913, PLR0915, PLR0917
    room = 1024
    begins, ends, found = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
    count = 0
    for document in range(len(offsets) - 1):
        i, last = offsets[document], offsets[document + 1]
        while i < last:
            begin = i
            bits, state = 0, 0
            letters, digits, run, gap = 0, 0, 0, 0
            stopped, abroad, place = False, False, False
            while i < last and points[i] != 0x0A:
                point = points[i]
                if point >= 0x10000:
                    state = 0
                    letters += 1
                    run = 0
                    i += 1
                    continue
                state = steps[state, symbols[point]]
                bits |= groups[state]
                sign = signs[point]
                if sign == 0:
                    letters += 1
                    run = 0
                elif sign == _DIGIT:
                    if gap == 1 and run > 0 and (place or bits & PLACE):
                        bits |= ADDRESS
                    digits += 1
                    run += 1
                    gap = 0
                    if run >= 10 or (abroad and run >= 8):
                        bits |= NUMBER
                elif sign == _SEPARATOR or sign == _BLANK:  # noqa: PLR1714, SIM109
                    gap += 1
                    if gap > 3:
                        run, abroad = 0, False
                else:
                    before = points[i - 1] if i > begin else np.uint32(0)
                    if sign == _AT or (sign == _STAR and (_is_alphanumeric(before) or before == 0x20)):
                        bits |= EMAIL
                    elif sign == _POSTAL:
                        bits |= ADDRESS
                    elif sign == _PREFECTURE:
                        place = True
                    elif sign == _BLOCK and (place or bits & PLACE):
                        bits |= ADDRESS
                    elif sign == _STOP:
                        stopped = True
                    abroad = sign == _PLUS
                    run, gap = 0, 0
                i += 1
            kinds = bits & ~(FIRST_KIND - 1)
            if digits >= 3 and letters <= 10:
                kinds |= numeric
            if i - begin > _MAX_CHARS:
                kinds = 0
            kept = kinds | (bits & _PERSONAL)
            if kept:
                if count == room:
                    begins, ends, found = _doubled(begins), _doubled(ends), _doubled(found)
                    room *= 2
                begins[count], ends[count], found[count] = begin, i, kept | (PLACE if stopped else 0)
                count += 1
            i += 1
    return begins[:count], ends[:count], found[:count]


@njit(cache=True, nogil=True)
def _doubled(array):
    result = np.empty(2 * len(array), array.dtype)
    result[: len(array)] = array
    return result


@njit(cache=True, nogil=True)
def _is_alphanumeric(point):
    return 0x30 <= point <= 0x39 or 0x41 <= point <= 0x5A or 0x61 <= point <= 0x7A
