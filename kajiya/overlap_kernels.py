"""The inner loops of kajiya.overlap: UTF-8 to letters, rolling hashes, and the keys they meet.

All n-grams of a document come from one array of running polynomial hashes: that of points[i:i + n] is
running[i + n] - running[i] * BASE^n, so any length costs one multiplication. What begins like no key at
all, by a bit table over the first letters, is let go at once; that is nearly everything.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from kajiya.utf8 import decode

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no letter is lost; any large odd constant serves
_MIX = np.uint64(0xD6E8FEB86659FD93)
_HALF, _ONE, _SEVEN, _THREE = np.uint64(32), np.uint64(1), np.uint64(7), np.uint64(3)


class Keys(NamedTuple):
    """The n-grams of all watched texts. values[i] stands in the texts owners[starts[i]:starts[i + 1]]."""

    lengths: npt.NDArray[np.int64]
    """Lengths of the n-grams in use, ascending."""
    shortest: int
    """Letters by which the filter knows the beginning of a key."""
    filter: npt.NDArray[np.uint8]
    """Bits: whether a key begins with letters of this hash. A power of two of bytes."""
    table: npt.NDArray[np.int64]
    """Open addressing: number of a key + 1, or 0. A power of two."""
    values: npt.NDArray[np.uint64]
    """Ascending."""
    starts: npt.NDArray[np.int64]
    owners: npt.NDArray[np.int64]


def make_filter(heads: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    """About 32 bits a key: 3 % of foreign n-grams pass, and the table still lies in the core's cache."""
    bits = max(16, int(np.ceil(np.log2(max(1, len(heads)) * 32))))
    flags = np.zeros(1 << bits, np.bool_)
    flags[(heads & np.uint64((1 << bits) - 1)).astype(np.int64)] = True
    return np.packbits(flags, bitorder="little")


def make_table(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    return _fill(values, 1 << max(4, int(np.ceil(np.log2(max(1, len(values)) * 2)))))


@njit(cache=True, nogil=True)
def _fill(values, size):  # type: ignore[no-untyped-def]
    table = np.zeros(size, np.int64)
    mask = np.uint64(size - 1)
    for number in range(len(values)):
        slot = values[number] & mask
        while table[slot]:
            slot = (slot + _ONE) & mask
        table[slot] = number + 1
    return table


@njit(cache=True, nogil=True, inline="always")
def _key(value, n):  # type: ignore[no-untyped-def]
    # A polynomial's low bits depend on few bits of the letters: mix before anyone masks them.
    mixed = (value + np.uint64(n)) * _MIX
    mixed = (mixed ^ (mixed >> _HALF)) * _MIX
    return mixed ^ (mixed >> _HALF)


@njit(cache=True, nogil=True)
def _power(n):  # type: ignore[no-untyped-def]
    value = _ONE
    for _ in range(n):
        value *= _BASE
    return value


@njit(cache=True, nogil=True)
def _running(data, begin, end, fold, running):  # type: ignore[no-untyped-def]
    """Fill `running` with the hashes of the first 0, 1, 2, ... letters; returns the number of letters."""
    count, value, i = 0, np.uint64(0), begin
    running[0] = value
    while i < end:
        point, width = decode(data, i)
        i += width
        letter = fold[point] if point < 0x10000 else np.uint32(point)
        if letter:
            value = value * _BASE + np.uint64(letter) + _ONE
            count += 1
            running[count] = value
    return count


@njit(cache=True, nogil=True)
def _letters(data, fold, letters, places):  # type: ignore[no-untyped-def]
    """Letters and which character of the text each is; returns their number. For few texts only."""
    count, i, character = 0, 0, 0
    while i < len(data):
        point, width = decode(data, i)
        letter = fold[point] if point < 0x10000 else np.uint32(point)
        if letter:
            letters[count], places[count] = letter, character
            count += 1
        i += width
        character += 1
    return count


@njit(cache=True, nogil=True)
def fold_all(data, offsets, fold):  # type: ignore[no-untyped-def]
    """(letters, offsets) of texts in UTF-8: letters and digits as `fold` spells them."""
    letters, places = np.empty(len(data), np.uint32), np.empty(len(data), np.int64)
    ends = np.zeros(len(offsets), np.int64)
    for i in range(len(offsets) - 1):
        begin = ends[i]
        ends[i + 1] = begin + _letters(data[offsets[i] : offsets[i + 1]], fold, letters[begin:], places)
    return letters[: ends[-1]], ends


@njit(cache=True, nogil=True)
def gram_keys(letters, offsets, lengths, shortest):  # type: ignore[no-untyped-def]
    """(keys, heads, owners): each n-gram of each text, the key of its first `shortest` letters, its text.

    lengths: per text its n, 0 to leave it out. Of a Japanese text only n-grams with a Japanese letter: a
    Japanese question about two English words would otherwise drop every English book that has them.
    """
    keys, heads = np.empty(len(letters), np.uint64), np.empty(len(letters), np.uint64)
    owners, number = np.empty(len(letters), np.int64), 0
    running, wide = np.zeros(len(letters) + 1, np.uint64), np.zeros(len(letters) + 1, np.int64)
    for i in range(len(letters)):
        running[i + 1] = running[i] * _BASE + np.uint64(letters[i]) + _ONE
        wide[i + 1] = wide[i] + (letters[i] > 0x7F)
    starting = _power(shortest)
    for text in range(len(lengths)):
        n, begin, end = lengths[text], offsets[text], offsets[text + 1]
        if not n:
            continue
        power, japanese = _power(n), wide[end] > wide[begin]
        for i in range(begin, end - n + 1):
            if japanese and wide[i + n] == wide[i]:
                continue
            keys[number] = _key(running[i + n] - running[i] * power, n)
            heads[number] = _key(running[i + shortest] - running[i] * starting, shortest)
            owners[number] = text
            number += 1
    return keys[:number], heads[:number], owners[:number]


@njit(cache=True, nogil=True, inline="always")
def _find(key, table, values):  # type: ignore[no-untyped-def]
    mask = np.uint64(len(table) - 1)
    slot = key & mask
    while table[slot]:
        number = table[slot] - 1
        if values[number] == key:
            return number
        slot = (slot + _ONE) & mask
    return -1


@njit(cache=True, nogil=True, inline="always")
def _may_begin(running, i, keys, starting):  # type: ignore[no-untyped-def]
    """Whether a key may begin at letter i; 3 % of the foreign ones pass."""
    head = _key(running[i + keys.shortest] - running[i] * starting, keys.shortest)
    bit = head & np.uint64(len(keys.filter) * 8 - 1)
    return (np.uint64(keys.filter[bit >> _THREE]) >> (bit & _SEVEN)) & _ONE


@njit(cache=True, nogil=True)
def _meet(running, count, keys, powers, mark, seen_in, met):  # type: ignore[no-untyped-def]  # noqa: PLR0913, PLR0917 - flat arrays, for numba
    """Put every different key of the document into `met`; returns how many."""
    number, starting = 0, _power(keys.shortest)
    for i in range(count - keys.shortest + 1):
        if not _may_begin(running, i, keys, starting):
            continue
        for k in range(len(keys.lengths)):
            n = keys.lengths[k]
            if i + n > count:
                break
            found = _find(_key(running[i + n] - running[i] * powers[k], n), keys.table, keys.values)
            if found >= 0 and seen_in[found] != mark:
                seen_in[found] = mark
                met[number] = found
                number += 1
    return number


@njit(cache=True, nogil=True)
def _powers(lengths):  # type: ignore[no-untyped-def]
    powers = np.empty(len(lengths), np.uint64)
    for k in range(len(lengths)):
        powers[k] = _power(lengths[k])
    return powers


@njit(cache=True, nogil=True)
def _count(met, number, keys, counts, touched):  # type: ignore[no-untyped-def]
    """Keys per text into `counts`; returns how many texts are in `touched`."""
    texts = 0
    for m in range(number):
        for entry in range(keys.starts[met[m]], keys.starts[met[m] + 1]):
            text = keys.owners[entry]
            if counts[text] == 0:
                touched[texts] = text
                texts += 1
            counts[text] += 1
    return texts


@njit(cache=True, nogil=True)
def measure(data, offsets, fold, keys, sizes, set_of, bound, text_share, left):  # type: ignore[no-untyped-def]  # noqa: PLR0913, PLR0917 - flat arrays, for numba
    """(worst_text, worst_share, touched, over) per document; updates text_share and left. See Overlap."""
    documents = len(offsets) - 1
    worst_text, worst_share = np.full(documents, -1, np.int64), np.zeros(documents)
    touched_sets, over_sets = np.zeros(documents, np.uint64), np.zeros(documents, np.uint64)
    longest = 0
    for document in range(documents):
        longest = max(longest, offsets[document + 1] - offsets[document])
    running, powers = np.empty(longest + 1, np.uint64), _powers(keys.lengths)
    seen_in, met = np.full(len(keys.values), -1, np.int64), np.empty(len(keys.values), np.int64)
    counts, touched = np.zeros(len(sizes), np.int64), np.empty(len(sizes), np.int64)
    for document in range(documents):
        count = _running(data, offsets[document], offsets[document + 1], fold, running)
        number = _meet(running, count, keys, powers, document, seen_in, met)
        for t in range(_count(met, number, keys, counts, touched)):
            text = touched[t]
            share = counts[text] / sizes[text]
            counts[text] = 0
            bit = _ONE << np.uint64(set_of[text])
            touched_sets[document] |= bit
            if share > bound:
                over_sets[document] |= bit
            text_share[text] = max(text_share[text], share)
            better = share > worst_share[document]
            if better or (share == worst_share[document] and text < worst_text[document]):
                worst_text[document], worst_share[document] = text, share
        if not over_sets[document]:
            for m in range(number):
                left[met[m]] = True
    return worst_text, worst_share, touched_sets, over_sets


@njit(cache=True, nogil=True)
def find_covered(data, fold, keys, sizes, bound):  # type: ignore[no-untyped-def]
    """(characters, texts): where n-grams of texts over the bound stand in one document, and of which text."""
    letters, places = np.empty(len(data), np.uint32), np.empty(len(data), np.int64)
    running, powers = np.empty(len(data) + 1, np.uint64), _powers(keys.lengths)
    count = _letters(data, fold, letters, places)
    _running(data, 0, len(data), fold, running)
    seen_in, met = np.full(len(keys.values), -1, np.int64), np.empty(len(keys.values), np.int64)
    counts = np.zeros(len(sizes), np.int64)
    number = _meet(running, count, keys, powers, 0, seen_in, met)
    _count(met, number, keys, counts, np.empty(len(sizes), np.int64))
    covering, starting = np.full(count, -1, np.int64), _power(keys.shortest)
    for i in range(count - keys.shortest + 1):
        if not _may_begin(running, i, keys, starting):
            continue
        for k in range(len(keys.lengths)):
            n = keys.lengths[k]
            if i + n > count:
                break
            found = _find(_key(running[i + n] - running[i] * powers[k], n), keys.table, keys.values)
            if found >= 0:
                _cover(covering[i : i + n], found, keys, counts, sizes, bound)
    covered = covering >= 0
    return places[:count][covered], covering[covered]


@njit(cache=True, nogil=True)
def _cover(letters, key, keys, counts, sizes, bound):  # type: ignore[no-untyped-def]
    for entry in range(keys.starts[key], keys.starts[key + 1]):
        text = keys.owners[entry]
        if counts[text] / sizes[text] > bound:
            for i in range(len(letters)):
                if letters[i] < 0:
                    letters[i] = text
