"""How much a text repeats itself: hash tables of open addressing, reused from document to document."""

import numpy as np
from numba import njit

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no window loses its oldest character
_MIX = np.uint64(0xD6E8FEB86659FD93)
_HIGH = np.uint64(0xFFFFFFFF00000000)


@njit(cache=True, nogil=True)
def repetition(points, offsets, n):
    """Per document, of its character n-grams: three shares.

    Those seen before; the part of the text that the most frequent one covers; the most frequent one
    among all.

    A slot holds the upper half of a hash beside the number of the document that put it there, so the
    table need not be cleared. Two n-grams are taken for one when 32 bits and the slot agree: once in
    some 10^5 documents of 10^4 characters.
    """
    documents = len(offsets) - 1
    longest = np.int64(0)
    for document in range(documents):
        longest = max(longest, offsets[document + 1] - offsets[document])
    size = _table_size(longest)
    slots = np.zeros(size, np.uint64)
    counts = np.zeros(size, np.int32)
    result = np.zeros((documents, 3), np.float64)
    for document in range(documents):
        text = points[offsets[document] : offsets[document + 1]]
        grams = len(text) - n + 1
        if grams <= 0:
            continue
        repeated, top = _count_repeated(text, n, slots, counts, np.uint64(document + 1))
        result[document, 0] = repeated / grams
        # One occurrence repeats nothing; overlapping ones can add up to more than the text.
        if top > 1:
            result[document, 1] = min(1.0, top * n / len(text))
            result[document, 2] = top / grams
    return result


@njit(cache=True, nogil=True)
def _count_repeated(text, n, slots, counts, stamp):
    """How many n-grams were seen before, and how often the most frequent one stands."""
    oldest = np.uint64(1)
    for _ in range(n):
        oldest *= _BASE
    mask = np.uint64(_table_size(len(text)) - 1)
    value = np.uint64(0)
    repeated, top = 0, 1
    for i in range(len(text)):
        value = value * _BASE + np.uint64(text[i]) + np.uint64(1)
        if i >= n:
            value -= (np.uint64(text[i - n]) + np.uint64(1)) * oldest
        if i < n - 1:
            continue
        # A polynomial's low bits depend on few bits of the characters: mix before masking them.
        mixed = (value ^ (value >> np.uint64(32))) * _MIX
        mixed ^= mixed >> np.uint64(32)
        entry = (mixed & _HIGH) | stamp
        slot = mixed & mask
        while slots[slot] != entry and (slots[slot] & ~_HIGH) == stamp:
            slot = (slot + np.uint64(1)) & mask
        if slots[slot] == entry:
            repeated += 1
            counts[slot] += 1
            top = max(top, counts[slot])
        else:
            slots[slot] = entry
            counts[slot] = 1
    return repeated, top


@njit(cache=True, nogil=True)
def duplicate_lines(points, offsets):
    """Per document: how many of the non-empty lines stood in it before, white space aside."""
    documents = len(offsets) - 1
    most = np.int64(1)
    for document in range(documents):
        lines = 1
        for i in range(offsets[document], offsets[document + 1]):
            lines += points[i] == 0x0A
        most = max(most, lines)
    keys = np.zeros(_table_size(most), np.uint64)
    stamps = np.full(len(keys), -1, np.int64)
    mask = np.uint64(len(keys) - 1)
    result = np.zeros(documents, np.int64)
    for document in range(documents):
        value, empty = np.uint64(0), True
        for i in range(offsets[document], offsets[document + 1] + 1):
            if i < offsets[document + 1] and points[i] != 0x0A:
                if points[i] != 0x20 and points[i] != 0x09 and points[i] != 0x3000:
                    value = (value ^ np.uint64(points[i])) * _BASE
                    value ^= value >> np.uint64(29)
                    empty = False
                continue
            if not empty:
                slot = value & mask
                while stamps[slot] == document and keys[slot] != value:
                    slot = (slot + np.uint64(1)) & mask
                if stamps[slot] == document:
                    result[document] += 1
                else:
                    stamps[slot], keys[slot] = document, value
            value, empty = np.uint64(0), True
    return result


@njit(cache=True, nogil=True)
def _table_size(entries):
    """A power of two that leaves three quarters of the slots free: few probes, and still in the cache."""
    size = 16
    while size < 4 * entries:
        size *= 2
    return size
