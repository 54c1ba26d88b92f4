"""Between Arrow's UTF-8 and flat arrays of code points, with what is wrong with the bytes on the way."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit

from components.clean.characters import (
    COMPOSES,
    DAMAGED,
    EUC_LEAD,
    FLAGS,
    HALF_KANA,
    LATIN_1,
    LATIN_LEAD,
    LATIN_TRAIL,
    SJIS_LEAD,
)
from kajiya.ngrams import Points
from kajiya.utf8 import buffers

_REPLACEMENT = 0xFFFD


class Decoded(NamedTuple):
    """Texts as code points, and per text: traces of a wrong decoding; whether composition may change it."""

    texts: Points
    damage: np.ndarray
    composes: np.ndarray


def decode(texts: pa.Array) -> Decoded:
    """texts: large_string. Bytes that are no UTF-8 become U+FFFD; surrogates are joined, or dropped when alone."""
    content, ends = buffers(texts)
    points, starts, damage, composes = _decode(content, ends, FLAGS)
    return Decoded(Points(points[: starts[-1]], starts), damage, composes)


def encode(texts: Points) -> pa.Array:
    """The texts as a large_string array."""
    data, offsets = _encode(texts.points, texts.offsets)
    return pa.LargeStringArray.from_buffers(
        len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data[: offsets[-1]])
    )


@njit(cache=True, nogil=True)
def _decode(data, ends, flags):
    count = len(ends) - 1
    points = np.empty(max(0, ends[-1] - ends[0]), np.uint32)
    starts = np.zeros(count + 1, np.int64)
    damage = np.zeros(count, np.int64)
    composes = np.zeros(count, np.bool_)
    for document in range(count):
        begin, end = ends[document], ends[document + 1]
        j, broken, seen = _decode_text(data[begin:end], points, starts[document], flags)
        starts[document + 1], damage[document], composes[document] = j, broken, seen & COMPOSES != 0
    return points, starts, damage, composes


@njit(cache=True, nogil=True)
def _decode_text(data, points, j, flags):
    """Write one text at points[j]. Returns where it ends, its traces of damage, the flags of its characters.

    Not with kajiya.utf8.decode, which may rely on valid UTF-8: what comes from outside may be any bytes.
    """
    i, broken, seen = np.int64(0), 0, np.uint8(0)  # typed: a literal has every callee compiled once more
    before, previous = np.uint32(0), np.uint8(0)
    while i < len(data):
        if data[i] < 0x80:
            points[j] = before = np.uint32(data[i])
            previous = np.uint8(0)
            i, j = i + 1, j + 1
            continue
        point, length = _next_point(data, i)
        i += length
        if point & np.uint32(0xFFFFF800) == 0xD800:
            if point < 0xDC00 or before & np.uint32(0xFFFFFC00) != 0xD800:
                broken += 1  # alone, as far as one can see here
                before, previous = point, np.uint8(0)
                continue
            broken -= 1
            point = (
                np.uint32(0x10000)
                + ((before & np.uint32(0x3FF)) << np.uint32(10))
                + (point & np.uint32(0x3FF))
            )
        flag = flags[point] if point < 0x10000 else _flag_beyond(point)
        if flag | previous:
            seen |= flag
            broken += _is_trace(before, point, previous, flag)
        points[j] = before = point
        previous = flag
        j += 1
    return j, broken, seen


@njit(cache=True, nogil=True)
def _next_point(data, i):
    """The code point of several bytes that begins at data[i], and how many they are; U+FFFD and 1 for no UTF-8."""
    lead, left = data[i], len(data) - i
    if (
        lead >= 0xE0
        and lead < 0xF0
        and left > 2
        and data[i + 1] & 0xC0 == 0x80
        and data[i + 2] & 0xC0 == 0x80
    ):
        point = np.uint32(((lead & 0x0F) << 12) | ((data[i + 1] & 0x3F) << 6) | (data[i + 2] & 0x3F))
        return (point, 3) if point >= 0x800 else (np.uint32(_REPLACEMENT), 3)
    if lead >= 0xC2 and lead < 0xE0 and left > 1 and data[i + 1] & 0xC0 == 0x80:
        return np.uint32(((lead & 0x1F) << 6) | (data[i + 1] & 0x3F)), 2
    if lead >= 0xF0 and lead < 0xF5 and left > 3:
        return _four_bytes(data, i)
    return np.uint32(_REPLACEMENT), 1


@njit(cache=True, nogil=True)
def _four_bytes(data, i):
    second, third, fourth = data[i + 1], data[i + 2], data[i + 3]
    if second & 0xC0 != 0x80 or third & 0xC0 != 0x80 or fourth & 0xC0 != 0x80:
        return np.uint32(_REPLACEMENT), 1
    point = np.uint32(
        ((data[i] & 0x07) << 18) | ((second & 0x3F) << 12) | ((third & 0x3F) << 6) | (fourth & 0x3F)
    )
    return (point, 4) if 0x10000 <= point <= 0x10FFFF else (np.uint32(_REPLACEMENT), 4)


@njit(cache=True, nogil=True)
def _flag_beyond(point):
    """Flags beyond the basic plane: emoji and rare kanji compose with nothing, scripts and signs before them may."""
    if point < 0x1F000 or 0x2F800 <= point < 0x2FA20:
        return np.uint8(COMPOSES)
    return np.uint8(DAMAGED) if point >= 0xF0000 else np.uint8(0)


@njit(cache=True, nogil=True)
def _is_trace(before, point, previous, flag):
    """1 where this character, alone or after the one before it, betrays a wrong decoding."""
    if flag & DAMAGED:
        return 1
    if previous & LATIN_LEAD and flag & LATIN_TRAIL:
        return 1
    if previous & SJIS_LEAD and flag & LATIN_1:
        return 1
    if flag & HALF_KANA and (previous & EUC_LEAD or (before == 0x30FB and point == 0xFF7D)):
        return 1
    return 0


@njit(cache=True, nogil=True)
def _encode(points, offsets):
    beyond = 0
    for point in points:
        beyond += point > 0xFFFF
    data = np.empty(3 * len(points) + beyond, np.uint8)
    ends = np.zeros(len(offsets), np.int64)
    j = 0
    for document in range(len(offsets) - 1):
        for i in range(offsets[document], offsets[document + 1]):
            point = points[i]
            if point < 0x80:
                data[j] = point
                j += 1
            elif point >= 0x800 and point < 0x10000:
                data[j] = 0xE0 | (point >> 12)
                data[j + 1] = 0x80 | ((point >> 6) & 0x3F)
                data[j + 2] = 0x80 | (point & 0x3F)
                j += 3
            elif point < 0x800:
                data[j] = 0xC0 | (point >> 6)
                data[j + 1] = 0x80 | (point & 0x3F)
                j += 2
            else:
                data[j] = 0xF0 | (point >> 18)
                data[j + 1] = 0x80 | ((point >> 12) & 0x3F)
                data[j + 2] = 0x80 | ((point >> 6) & 0x3F)
                data[j + 3] = 0x80 | (point & 0x3F)
                j += 4
        ends[document + 1] = j
    return data, ends
