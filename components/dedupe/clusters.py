"""Decide which documents go, and whose copy stays. Documents are numbered by rank: the lower one stays.

`star`: a document goes when it is a verified near duplicate of one that stays, so every document that
goes has a copy in the corpus. `connected`: of all documents that hang together by verified pairs
(union-find) the best stays, be it like the others or not.

Both come out of one walk over the candidate pairs in ascending order: when a document's own pairs are
due, every pair with a better one has been, so whether it stays is known, and most pairs of a large
group need not be compared at all.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numba import njit

from components.dedupe.shingle_sets import ShingleSets

_LOW = np.uint64(0xFFFFFFFF)
_GRAM_BYTES = 4


class Rule(NamedTuple):
    threshold: float
    connected: bool


class Clusters(NamedTuple):
    """What stays in place of each document, by rank."""

    kept: np.ndarray
    """uint32: itself, or a lower rank that stays."""
    jaccard: np.ndarray
    """float32: similarity to the one that stays."""
    compared: int
    """Pairs whose n-gram sets were compared."""


def cluster(
    groups: Iterable[np.ndarray], first: np.ndarray, sets: ShingleSets, rule: Rule, limit_bytes: int
) -> Clusters:
    """Walk over the candidate pairs.

    groups: pairs of ranks as lower << 32 | higher; every group lies above the one before.
    first: per rank the lowest rank of the same text; of equal texts only that one stands in pairs.
    """
    kept, jaccard = first.copy(), np.ones(len(first), np.float32)
    compared = 0
    for group in groups:
        pairs = np.unique(group)
        for lower, higher in _within(pairs >> np.uint64(32), pairs & _LOW, sets, limit_bytes):
            due = _due(lower, higher, sets, kept, rule)
            if due.any():
                loaded = _Loaded.of(lower[due], higher[due], sets)
                compared += _walk(*loaded, kept, jaccard, rule.threshold, rule.connected)
    if rule.connected:
        _flatten(kept)
        _measure_to_root(kept, jaccard, first, sets, limit_bytes)
    return Clusters(kept[kept], jaccard[first], compared)


class _Loaded(NamedTuple):
    """Pairs and the sets of their documents: document ranks[i] has grams[begins[i]:begins[i + 1]]."""

    lower: np.ndarray
    higher: np.ndarray
    ranks: np.ndarray
    grams: np.ndarray
    begins: np.ndarray

    @classmethod
    def of(cls, lower: np.ndarray, higher: np.ndarray, sets: ShingleSets) -> "_Loaded":
        """lower and higher become positions in `ranks`."""
        ranks, at = np.unique(np.concatenate([lower, higher]), return_inverse=True)
        begins = np.concatenate([[0], np.cumsum(sets.sizes(ranks), dtype=np.int64)])
        return cls(at[: len(lower)], at[len(lower) :], ranks, sets.read(ranks), begins)


def _within(
    lower: np.ndarray, higher: np.ndarray, sets: ShingleSets, limit_bytes: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The pairs in pieces whose sets fit into `limit_bytes`; a piece has one pair at least."""
    for begin in range(0, len(lower), 1 << 20):  # sizes of few pairs at a time
        a, b = lower[begin : begin + (1 << 20)], higher[begin : begin + (1 << 20)]
        new = np.ones(len(a), bool)
        new[1:] = a[1:] != a[:-1]
        weight = np.cumsum((sets.sizes(a) * new + sets.sizes(b)).astype(np.int64) * _GRAM_BYTES)
        low = 0
        while low < len(a):
            before = weight[low - 1] if low else 0
            high = max(low + 1, int(np.searchsorted(weight, before + limit_bytes, "right")))
            yield a[low:high], b[low:high]
            low = high


def _due(
    lower: np.ndarray, higher: np.ndarray, sets: ShingleSets, kept: np.ndarray, rule: Rule
) -> np.ndarray:
    """Pairs that may still matter, and whose sizes alone do not keep them below the threshold."""
    a, b = sets.sizes(lower), sets.sizes(higher)
    fits = np.minimum(a, b) >= rule.threshold * np.maximum(a, b)
    if rule.connected:
        return fits
    return fits & (kept[lower] == lower) & (kept[higher] == higher)


def _measure_to_root(
    kept: np.ndarray, jaccard: np.ndarray, first: np.ndarray, sets: ShingleSets, limit_bytes: int
) -> None:
    """A document may have come into its group through others: its similarity to the one that stays."""
    numbers = np.arange(len(kept))
    gone = np.flatnonzero((kept != numbers) & (first == numbers))
    for lower, higher in _within(kept[gone], gone, sets, limit_bytes):
        loaded = _Loaded.of(lower, higher, sets)
        jaccard[higher] = _similarities(loaded.lower, loaded.higher, loaded.grams, loaded.begins)


@njit(cache=True, nogil=True)
def _walk(lower, higher, ranks, grams, begins, kept, jaccard, threshold, connected):  # noqa: PLR0913, PLR0917 - flat arrays, for numba
    compared = 0
    for i in range(len(lower)):
        a, b = lower[i], higher[i]
        if connected:
            low, high = _root(kept, ranks[a]), _root(kept, ranks[b])
            if low == high:
                continue
        else:
            low, high = ranks[a], ranks[b]
            if kept[low] != low or kept[high] != high:
                continue
        compared += 1
        similarity = _jaccard(grams[begins[a] : begins[a + 1]], grams[begins[b] : begins[b + 1]], threshold)
        if similarity >= threshold:
            kept[max(low, high)] = min(low, high)
            jaccard[ranks[b]] = similarity
    return compared


@njit(cache=True, nogil=True)
def _root(kept, rank):
    while kept[rank] != rank:
        kept[rank] = kept[kept[rank]]
        rank = kept[rank]
    return rank


@njit(cache=True, nogil=True)
def _flatten(kept):
    for rank in range(len(kept)):  # ascending: what a lower rank points to is a root already
        kept[rank] = kept[kept[rank]]


@njit(cache=True, nogil=True)
def _similarities(lower, higher, grams, begins):
    result = np.empty(len(lower), np.float32)
    for i in range(len(lower)):
        a, b = lower[i], higher[i]
        result[i] = _jaccard(grams[begins[a] : begins[a + 1]], grams[begins[b] : begins[b + 1]], 0.0)
    return result


@njit(cache=True, nogil=True)
def _jaccard(a, b, threshold):
    """Of two ascending arrays without repetitions; 0 as soon as it cannot reach the threshold."""
    # common / (|a| + |b| - common) >= threshold asks for that many common ones.
    needed = threshold / (1 + threshold) * (len(a) + len(b)) - 1e-6
    i, j, common = 0, 0, 0
    while i < len(a) and j < len(b):
        x, y = a[i], b[j]
        common += x == y
        i += x <= y
        j += y <= x
        if common + min(len(a) - i, len(b) - j) < needed:
            return 0.0
    return common / max(1, len(a) + len(b) - common)
