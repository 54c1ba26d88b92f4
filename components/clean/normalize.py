"""One spelling for one character: width, composition, line ends, invisible characters.

NFKC would do too much to Japanese prose: it turns … into three dots, ㎡ and 10⁵ into m2 and 105,
！ into !. So only what carries no meaning is folded; docs/cleaning.md has every rule with examples.
"""

import unicodedata

import numpy as np
import pyarrow as pa
from numba import njit

from components.clean.characters import (
    CARRIAGE_RETURN,
    DROP,
    MARK,
    SEMI_VOICING,
    SPELLING,
    TRANSLATION,
    VOICING,
    WIDE_SPACE,
)
from components.clean.utf8 import Decoded, decode
from kajiya.ngrams import Points, flatten


def normalized(decoded: Decoded) -> Points:
    """Every text normalised. Idempotent.

    A paragraph's wide indent and spaces at line ends go; ASCII indents stay, they are code. At most
    one blank line in a row stays, and none at the ends.
    """
    texts = _composed(decoded.texts, np.flatnonzero(decoded.composes))
    points, offsets = _normalize(texts.points, texts.offsets, SPELLING, VOICING, SEMI_VOICING)
    return Points(points[: offsets[-1]], offsets)


def normalized_text(text: str) -> str:
    """One text normalised; it may hold lone surrogates, as `json.loads` makes them of `\\ud83d`."""
    raw = pa.array([text.encode("utf-8", "surrogatepass")], pa.large_binary())
    array = pa.LargeStringArray.from_buffers(1, raw.buffers()[1], raw.buffers()[2])
    return normalized(decode(array)).points.tobytes().decode("utf-32-le")


def _composed(texts: Points, which: np.ndarray) -> Points:
    """The texts numbered `which` in canonical composition (NFC); few texts need it, and it is slow."""
    if not len(which):
        return texts
    pieces, lengths, done = [], np.diff(texts.offsets), 0
    for document in which:
        begin, end = texts.offsets[document], texts.offsets[document + 1]
        text = texts.points[begin:end].tobytes().decode("utf-32-le")
        # Folded first: a letter that loses its width could compose with the mark after it.
        composed = flatten([unicodedata.normalize("NFC", text.translate(TRANSLATION))]).points
        pieces += [texts.points[done:begin], composed]
        lengths[document], done = len(composed), end
    pieces.append(texts.points[done:])
    return Points(np.concatenate(pieces), np.concatenate([[0], np.cumsum(lengths)]))


@njit(cache=True, nogil=True)
def _normalize(points, offsets, spelling, voicing, semi_voicing):  # noqa: C901, PLR0912
    out = np.empty(len(points), np.uint32)
    ends = np.zeros(len(offsets), np.int64)
    j = 0
    for document in range(len(offsets) - 1):
        start = j
        marks = 0
        wide = False  # the last character written stands for a run of wide spaces
        for i in range(offsets[document], offsets[document + 1]):
            point = points[i]
            to = point
            if point < 0x10000:
                to = np.uint32(spelling[point])
            elif 0xE0000 <= point < 0xE01F0 or point & 0xFFFE == 0xFFFE:
                to = np.uint32(DROP)
            if to >= 0x20 or to == 0x09:
                out[j] = to
                j += 1
                wide = False
            elif to == 0x0A:
                if i == offsets[document] or point != 0x0A or points[i - 1] != 0x0D:
                    j = _break_line(out, start, j)
                    wide = False
            elif to == CARRIAGE_RETURN:
                j = _break_line(out, start, j)
                wide = False
            elif to == WIDE_SPACE:
                if not wide and j > start and out[j - 1] != 0x0A:
                    out[j] = 0x20
                    j += 1
                    wide = True
            elif to != DROP:
                if to == MARK:
                    marks += 1
                j = _write_by_company(out, j, start, points, i, offsets[document], voicing, semi_voicing)
                wide = False
        while j > start and (out[j - 1] == 0x20 or out[j - 1] == 0x09 or out[j - 1] == 0x0A):
            j -= 1
        if marks:
            _settle_marks(out, start, j)
        ends[document + 1] = j
    return out, ends


@njit(cache=True, nogil=True)
def _break_line(out, start, j):
    """End a line at out[j]: its trailing spaces go, and so does a second blank line. Returns the new j."""
    while j > start and (out[j - 1] == 0x20 or out[j - 1] == 0x09):
        j -= 1
    if j == start or (j >= start + 2 and out[j - 1] == 0x0A and out[j - 2] == 0x0A):
        return j
    out[j] = 0x0A
    return j + 1


@njit(cache=True, nogil=True)
def _write_by_company(out, j, start, points, i, first, voicing, semi_voicing):  # noqa: PLR0911, PLR0913, PLR0917
    """Write points[i], which depends on what stands before it, at out[j]. Returns the new j."""
    point = points[i]
    last = out[j - 1] if j > start else np.uint32(0)
    if point in (0x3099, 0xFF9E, 0x309A, 0xFF9F):
        voiced = point in (0x3099, 0xFF9E)
        joined = np.uint16(0)
        if 0x3041 <= last < 0x3101:
            joined = voicing[last - 0x3041] if voiced else semi_voicing[last - 0x3041]
        if joined:
            out[j - 1] = joined
            return j
        # A mark that found nothing to join would attach itself to any character before it.
        out[j] = 0x309B if voiced else 0x309C
        return j + 1
    if point == 0x3035 and (last == 0x3033 or last == 0x3034):  # noqa: PLR1714  〳〵 and 〴〵 are one mark in two halves
        out[j - 1] = 0x3031 if last == 0x3033 else 0x3032
        return j
    if point == 0xFF3C:  # ＼: Aozora Bunko writes 〱 as ／＼ and 〲 as ／″＼
        if i > first and points[i - 1] == 0xFF0F and j >= start + 2 and _is_japanese(out[j - 2]):
            out[j - 1] = 0x3031
            return j
        if i > first + 1 and points[i - 1] == 0x2033 and points[i - 2] == 0xFF0F:  # noqa: SIM102
            if j >= start + 3 and _is_japanese(out[j - 3]):
                out[j - 2] = 0x3032
                return j - 1
        out[j] = 0x5C
        return j + 1
    out[j] = 0x2F if point == 0xFF0F else point
    return j + 1


@njit(cache=True, nogil=True)
def _settle_marks(out, start, end):  # noqa: C901
    """Choose between the meanings of ．，―─—−－‐‾ by their neighbours, until nothing changes any more."""
    changed = True
    while changed:
        changed = False
        for i in range(start, end):
            point = out[i]
            if not (
                point >= 0x2010 and (point <= 0x203E or point == 0x2212 or point == 0x2500 or point >= 0xFF0C)  # noqa: PLR1714
            ):
                continue
            before = out[i - 1] if i > start else np.uint32(0)
            after = out[i + 1] if i + 1 < end else np.uint32(0)
            to = point
            if point == 0xFF0E and _is_digit(before) and _is_digit(after):
                to = np.uint32(0x2E)
            elif point == 0xFF0C and _is_digit(before) and _digits(out, i + 1, end) == 3:
                to = np.uint32(0x2C)
            elif point == 0x203E and (0x21 <= before < 0x7F or 0x21 <= after < 0x7F):
                to = np.uint32(0x7E)
            elif point in (0x2010, 0x2014, 0x2015, 0x2212, 0x2500, 0xFF0D) and _lengthens(out, i, start, end):
                to = np.uint32(0x30FC)
            if to != point:
                out[i] = to
                changed = True
    for i in range(start, end):
        if out[i] == 0xFF0D:
            out[i] = 0x2D


@njit(cache=True, nogil=True)
def _lengthens(out, i, start, end):
    """Whether a dash stands for ー: サ―ビス and アパ―ト, but not パリ―ベルリン.

    Katakana on both sides, and on one side a single one with more than one on the other: names on
    both sides of a dash are longer, and ア―オ is a range. ー never follows ン or ッ.
    """
    if i == start or out[i - 1] == 0x30F3 or out[i - 1] == 0x30C3:
        return False
    left = i
    while left > start and _is_katakana(out[left - 1]):
        left -= 1
    right = i + 1
    while right < end and _is_katakana(out[right]):
        right += 1
    before, after = i - left, right - i - 1
    return min(before, after) == 1 and max(before, after) > 1 and out[i + 1] != 0x30FC


@njit(cache=True, nogil=True)
def _digits(out, i, end):
    """Length of the run of digits that begins at out[i]."""
    stop = i
    while stop < end and _is_digit(out[stop]):
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
