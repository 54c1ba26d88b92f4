"""How much of an evaluation item's n-grams a document covers.

Items and documents are compared by their letters and digits alone, lower case and one width: a leaked
item rarely keeps its punctuation and line breaks.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from kajiya.ngrams import LETTERS_AND_DIGITS, Points, flatten, ngram_hashes, select

_FILTER_BITS = 22
_FILTER_MASK = np.uint64((1 << _FILTER_BITS) - 1)


class Index(NamedTuple):
    """The n-grams of all items compared at one length.

    keys[i], ascending, stands in the items owners[starts[i]:starts[i + 1]].
    """

    n: int
    keys: np.ndarray
    starts: np.ndarray
    owners: np.ndarray
    sizes: np.ndarray
    """Different n-grams per item; 0 for items compared at another length."""
    filter: np.ndarray
    """Whether a key has these low bits: most n-grams of a document end here."""


class Overlap(NamedTuple):
    """What one batch of documents covers of the items."""

    worst_item: np.ndarray
    """Per document the item it covers most of (the first of equals); -1 where it covers none."""
    worst_share: np.ndarray
    item_share: np.ndarray
    """Per item the largest share that one of the documents covers."""


def comparable(texts: list[str]) -> Points:
    """Letters and digits of the texts."""
    return select(flatten(texts), LETTERS_AND_DIGITS)


def build_indexes(items: Points, ngram_chars: np.ndarray, min_chars: int) -> list[Index]:
    """One index per length in use.

    ngram_chars: per item the length of its n-grams. A shorter item is one n-gram, itself: it must be
    contained whole. Items shorter than min_chars are not looked for.
    """
    chars = np.diff(items.offsets)
    lengths = np.where(chars >= min_chars, np.minimum(chars, ngram_chars), 0)
    return [_build_index(items, int(n), lengths == n) for n in np.unique(lengths[lengths > 0])]


def overlap(documents: Points, indexes: list[Index], items: int) -> Overlap:
    """What the documents cover of the items, over all indexes."""
    count = len(documents.offsets) - 1
    result = Overlap(np.full(count, -1, np.int64), np.zeros(count), np.zeros(items))
    for index in indexes:
        hashes = ngram_hashes(documents.points, index.n)
        _cover(hashes, documents.offsets, *index, *result)
    return result


def _build_index(items: Points, n: int, chosen: np.ndarray) -> Index:
    hashes = ngram_hashes(items.points, n)
    numbers = np.flatnonzero(chosen)
    begins, ends = items.offsets[numbers], items.offsets[numbers + 1] - n + 1
    wide = np.concatenate([[0], np.cumsum(items.points > 0x7F)])
    telling = wide[n:] > wide[:-n]
    grams = [_telling_grams(hashes[b:e], telling[b:e]) for b, e in zip(begins, ends, strict=True)]
    sizes = np.zeros(len(chosen), np.int64)
    sizes[numbers] = [len(one) for one in grams]
    owners = np.repeat(numbers, sizes[numbers])
    together = np.concatenate(grams)
    order = np.argsort(together, kind="stable")
    keys, starts = np.unique(together[order], return_index=True)
    known = np.zeros(1 << _FILTER_BITS, np.bool_)
    known[(keys & _FILTER_MASK).astype(np.int64)] = True
    return Index(n, keys, np.append(starts, len(order)), owners[order], sizes, known)


def _telling_grams(hashes: np.ndarray, telling: np.ndarray) -> np.ndarray:
    """Different n-grams; of a Japanese item those with a Japanese letter in them.

    A Japanese question about two English words would otherwise drop every English book that has them.
    """
    return np.unique(hashes[telling] if telling.any() else hashes)


@njit(cache=True, nogil=True)
def _cover(  # noqa: PLR0913, PLR0917 - flat arrays, for numba
    hashes, offsets, n, keys, starts, owners, sizes, known, worst_item, worst_share, item_share
):
    seen_in = np.full(len(keys), -1, np.int64)
    counts = np.zeros(len(sizes), np.int64)
    touched = np.empty(len(sizes), np.int64)
    for document in range(len(offsets) - 1):
        number = 0
        for i in range(offsets[document], offsets[document + 1] - n + 1):
            if not known[hashes[i] & _FILTER_MASK]:
                continue
            key = np.searchsorted(keys, hashes[i])
            if key == len(keys) or keys[key] != hashes[i] or seen_in[key] == document:
                continue
            seen_in[key] = document
            for entry in range(starts[key], starts[key + 1]):
                item = owners[entry]
                if counts[item] == 0:
                    touched[number] = item
                    number += 1
                counts[item] += 1
        for item in touched[:number]:
            share = counts[item] / sizes[item]
            counts[item] = 0
            item_share[item] = max(item_share[item], share)
            better = share > worst_share[document]
            if better or (share == worst_share[document] and item < worst_item[document]):
                worst_item[document], worst_share[document] = item, share
