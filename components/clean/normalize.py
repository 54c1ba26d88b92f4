"""One spelling for one character: width, composition, line ends, invisible characters.

NFKC would do too much to Japanese prose: it turns … into three dots, ㎡ and 10⁵ into m2 and 105,
！ into !. So only what carries no meaning is folded; docs/cleaning.md has every rule with examples.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from components.clean.characters import (
    CARRIAGE_RETURN,
    DROP,
    MARK,
    SEMI_VOICING,
    SPELLING,
    VOICING,
    WIDE_SPACE,
)
from components.clean.composition import composed
from components.clean.utf8 import Decoded
from kajiya.ngrams import Points

_REACH = 2  # characters on either side by which a mark's meaning may change when another mark changes


class _Tables(NamedTuple):
    spelling: np.ndarray
    voicing: np.ndarray
    semi_voicing: np.ndarray


_TABLES = _Tables(SPELLING, VOICING, SEMI_VOICING)


def normalized(decoded: Decoded) -> Points:
    """Every text normalised. Idempotent.

    A paragraph's wide indent and spaces at line ends go; ASCII indents stay, they are code. At most
    one blank line in a row stays, and none at the ends.
    """
    texts = composed(decoded.texts, np.flatnonzero(decoded.composes))
    points, offsets = _normalize(texts.points, texts.offsets, _TABLES)
    return Points(points[: offsets[-1]], offsets)


@njit(cache=True, nogil=True)
def _normalize(points, offsets, tables):
    out = np.empty(len(points), np.uint32)
    ends = np.zeros(len(offsets), np.int64)
    marks = np.empty(len(points), np.int64)
    for document in range(len(offsets) - 1):
        start = ends[document]
        text = points[offsets[document] : offsets[document + 1]]
        end, count = _respell(text, out[start:], marks, tables)
        if count:
            _settle_marks(out[start : start + end], marks[:count])
        ends[document + 1] = start + end
    return out, ends


@njit(cache=True, nogil=True)
def _respell(text, out, marks, tables):
    """Write the text in its new spelling. Returns its length, and the number of the places noted in `marks`."""
    j, count = np.int64(0), 0  # typed: a literal 0 would have every callee compiled once more
    wide = False  # the last character written stands for a run of wide spaces
    for i in range(len(text)):
        point = text[i]
        to = np.uint32(tables.spelling[point]) if point < 0x10000 else _beyond(point)
        if to >= 0x20 or to == 0x09:
            out[j] = to
            j += 1
        elif to == DROP:
            continue
        elif to in (0x0A, CARRIAGE_RETURN):
            if point != 0x0A or i == 0 or text[i - 1] != 0x0D:
                j = _break_line(out, j)
        elif to == WIDE_SPACE:
            if not wide and j > 0 and out[j - 1] != 0x0A:
                out[j] = 0x20
                j += 1
                wide = True
            continue
        else:
            if to == MARK:
                marks[count] = j
                count += 1
            j = _write_by_company(text, i, out, j, tables)
        wide = False
    return _stripped(out, j), count


@njit(cache=True, nogil=True)
def _beyond(point):
    """Spelling beyond the basic plane: tags and more variation selectors, and what is no character, go."""
    if 0xE0000 <= point < 0xE01F0 or point & 0xFFFE == 0xFFFE:
        return np.uint32(DROP)
    return point


@njit(cache=True, nogil=True)
def _break_line(out, j):
    """End a line at out[j]: its trailing spaces go, and so does a second blank line. Returns the new j."""
    while j > 0 and (out[j - 1] == 0x20 or out[j - 1] == 0x09):
        j -= 1
    if j == 0 or (j >= 2 and out[j - 1] == 0x0A and out[j - 2] == 0x0A):
        return j
    out[j] = 0x0A
    return j + 1


@njit(cache=True, nogil=True)
def _stripped(out, j):
    """The length of out[:j] without the white space at its end."""
    while j > 0 and (out[j - 1] == 0x20 or out[j - 1] == 0x09 or out[j - 1] == 0x0A):
        j -= 1
    return j


@njit(cache=True, nogil=True)
def _write_by_company(text, i, out, j, tables):
    """Write text[i], which depends on what stands before it, at out[j]. Returns the new j."""
    point = text[i]
    if point in (0x3099, 0xFF9E):
        return _join_mark(out, j, tables.voicing, np.uint32(0x309B))
    if point in (0x309A, 0xFF9F):
        return _join_mark(out, j, tables.semi_voicing, np.uint32(0x309C))
    if point == 0x3035 and j > 0 and (out[j - 1] == 0x3033 or out[j - 1] == 0x3034):
        out[j - 1] -= 2  # 〳〵 and 〴〵 are one mark in two halves: 〱 and 〲
        return j
    if point == 0xFF3C:  # ＼: Aozora Bunko writes 〱 as ／＼ and 〲 as ／″＼
        if i > 0 and text[i - 1] == 0xFF0F and j >= 2 and _is_japanese(out[j - 2]):
            out[j - 1] = 0x3031
            return j
        voiced = i > 1 and text[i - 1] == 0x2033 and text[i - 2] == 0xFF0F
        if voiced and j >= 3 and _is_japanese(out[j - 3]):
            out[j - 2] = 0x3032
            return j - 1
    out[j] = 0x2F if point == 0xFF0F else 0x5C if point == 0xFF3C else point
    return j + 1


@njit(cache=True, nogil=True)
def _join_mark(out, j, joined, alone):
    """Join a voicing mark to the kana before it: left alone, it would attach itself to any character."""
    if j > 0 and 0x3041 <= out[j - 1] < 0x3101 and joined[out[j - 1] - 0x3041]:
        out[j - 1] = joined[out[j - 1] - 0x3041]
        return j
    out[j] = alone
    return j + 1


@njit(cache=True, nogil=True)
def _settle_marks(out, marks):
    """Choose the meaning of every mark; a wide hyphen with none of its own is a hyphen."""
    _settle(out, marks)
    for i in marks:
        if out[i] == 0xFF0D:
            out[i] = 0x2D


@njit(cache=True, nogil=True)
def _settle(out, marks):
    """Choose between the meanings of ．，―─—−－‐‾, which stand at `marks`, until nothing changes any more.

    A mark changes once at most, and what it means hangs on no other mark than those within _REACH. So after a
    change only they are looked at again: the ones behind it in this round, the ones before it in the next.
    A round over all marks for every change would take hours for a text that is one chain of them.
    """
    count = len(marks)
    due, later = np.empty(count, np.int64), np.empty(count, np.int64)
    for number in range(count):
        due[number] = number
    while count:
        after = 0  # how many are noted in `later`
        number, behind = np.int64(-1), np.int64(-1)  # marks up to `behind` stand behind a change
        place = 0
        while place < count or number < behind:
            number = number + 1 if number < behind else due[place]
            while place < count and due[place] <= number:
                place += 1
            to = _settled(out, marks[number])
            if to == out[marks[number]]:
                continue
            out[marks[number]] = to
            first, last = _neighbours(marks, number)
            behind = last
            for other in range(first, number):
                if after == 0 or later[after - 1] < other:
                    later[after] = other
                    after += 1
        due, later, count = later, due, after


@njit(cache=True, nogil=True)
def _neighbours(marks, number):
    """The first and the last mark within _REACH of a mark."""
    first, last = number, number
    while first > 0 and marks[number] - marks[first - 1] <= _REACH:
        first -= 1
    while last + 1 < len(marks) and marks[last + 1] - marks[number] <= _REACH:
        last += 1
    return first, last


@njit(cache=True, nogil=True)
def _settled(out, i):
    """What out[i] means between its neighbours."""
    point = out[i]
    before = out[i - 1] if i > 0 else np.uint32(0)
    after = out[i + 1] if i + 1 < len(out) else np.uint32(0)
    if point == 0xFF0E and _is_digit(before) and _is_digit(after):
        return np.uint32(0x2E)
    if point == 0xFF0C and _is_digit(before) and _digits(out, i + 1) == 3:
        return np.uint32(0x2C)
    if point == 0x203E and (0x21 <= before < 0x7F or 0x21 <= after < 0x7F):
        return np.uint32(0x7E)
    if point in (0x2010, 0x2014, 0x2015, 0x2212, 0x2500, 0xFF0D) and _lengthens(out, i):
        return np.uint32(0x30FC)
    return point


@njit(cache=True, nogil=True)
def _lengthens(out, i):
    """Whether a dash stands for ー: サ―ビス and アパ―ト, but not パリ―ベルリン.

    Katakana on both sides, and on one side a single one with more than one on the other: names on
    both sides of a dash are longer, and ア―オ is a range. ー never follows ン or ッ.
    """
    if i == 0 or out[i - 1] == 0x30F3 or out[i - 1] == 0x30C3:
        return False
    before, after = 0, 0  # never beyond _REACH: a run may be as long as the text
    while before < _REACH and before < i and _is_katakana(out[i - before - 1]):
        before += 1
    while after < _REACH and i + after + 1 < len(out) and _is_katakana(out[i + after + 1]):
        after += 1
    return min(before, after) == 1 and max(before, after) > 1 and out[i + 1] != 0x30FC


@njit(cache=True, nogil=True)
def _digits(out, i):
    """Length of the run of digits that begins at out[i]."""
    stop = i
    while stop < len(out) and _is_digit(out[stop]):
        stop += 1
    return stop - i


@njit(cache=True, nogil=True)
def _is_digit(point):
    return 0x30 <= point <= 0x39


@njit(cache=True, nogil=True)
def _is_katakana(point):
    return 0x30A1 <= point <= 0x30FA or point == 0x30FC


@njit(cache=True, nogil=True)
def _is_japanese(point):
    """Kana, the marks that repeat them, and the kanji of the basic plane."""
    return 0x3041 <= point <= 0x30FE or 0x4E00 <= point <= 0x9FFF or point == 0x3005
