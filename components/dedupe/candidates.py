"""Which documents may be copies: equal texts by hash, and pairs that share a band.

Documents are numbered by rank here: of two copies the one of the lower rank stays.
"""

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from numba import njit

# In a bucket of more texts each is compared with this many of the best alone, and the number of pairs
# grows with the corpus, not with its square. Real copies find each other there, or in another band.
MOST_PARTNERS = 32
_PAIRS_AT_ONCE = 1 << 20


def rank_documents(lengths: np.ndarray, first_of_source: np.ndarray) -> np.ndarray:
    """Rank of each document: first the earlier source, then the longer text, then the one that came first.

    lengths: uint32 per document; first_of_source: where each source begins, in the order of priority.
    """
    ranks = np.empty(len(lengths), np.uint32)
    borders = [*first_of_source, len(lengths)]
    for begin, end in itertools.pairwise(borders):
        order = np.argsort(~lengths[begin:end], kind="stable")  # ~: the longest first
        ranks[begin + order] = np.arange(begin, end, dtype=np.uint32)
    return ranks


def first_of_equal(groups: Iterable[np.ndarray], ranks: np.ndarray) -> np.ndarray:
    """Per rank the lowest rank of the same text: itself, when there is none before.

    groups: records of whole texts, equal keys together.
    """
    first = np.arange(len(ranks), dtype=np.uint32)
    for group in groups:
        shared = group[_shared(group["key"])]
        rank = ranks[shared["document"]]
        order = np.lexsort((rank, shared["check"], shared["key"]))
        key, check, rank = shared["key"][order], shared["check"][order], rank[order]
        new = np.ones(len(key), bool)
        new[1:] = (key[1:] != key[:-1]) | (check[1:] != check[:-1])
        lowest = rank[new]
        first[rank] = lowest[np.cumsum(new) - 1]
    return first


def candidate_pairs(group: np.ndarray, ranks: np.ndarray, first: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs of ranks that share a key, as lower << 32 | higher, in pieces; equal texts count once.

    group: records of bands, equal keys together. first: as from first_of_equal.
    """
    shared = group[_shared(group["key"])]
    rank = ranks[shared["document"]]
    alive = first[rank] == rank
    keys, rank = shared["key"][alive], rank[alive]
    order = np.lexsort((rank, keys))
    rank = rank[order]
    starts = np.flatnonzero(np.concatenate([[True], np.diff(keys[order]) != 0])) if len(keys) else order
    sizes = np.diff(np.concatenate([starts, [len(keys)]])).astype(np.int64)
    place = np.arange(len(keys)) - np.repeat(starts, sizes)
    counts = np.minimum(place, MOST_PARTNERS)
    ends = np.cumsum(counts)
    low = 0
    while low < len(keys):
        before = ends[low - 1] if low else 0
        high = max(low + 1, int(np.searchsorted(ends, before + _PAIRS_AT_ONCE, "right")))
        if pairs := ends[high - 1] - before:
            yield _pairs(rank, place, low, high, pairs)
        low = high


def same_keys(group: np.ndarray) -> np.ndarray:
    """The records that share their key with another, by key."""
    shared = group[_shared(group["key"])]
    return shared[np.lexsort((shared["document"], shared["key"]))]


def _shared(keys: np.ndarray) -> np.ndarray:
    """Positions of the keys that come more than once."""
    order = np.argsort(keys)
    ordered = keys[order]
    equal = ordered[1:] == ordered[:-1]
    shared = np.zeros(len(keys), bool)
    shared[1:] = equal
    shared[:-1] |= equal
    return order[shared]


@njit(cache=True, nogil=True)
def _pairs(rank, place, low, high, count):
    """Each member of a bucket with the first of the members before it."""
    result = np.empty(count, np.uint64)
    n = 0
    for i in range(low, high):
        bucket = i - place[i]
        for j in range(bucket, bucket + min(place[i], MOST_PARTNERS)):
            result[n] = np.uint64(rank[j]) << np.uint64(32) | np.uint64(rank[i])
            n += 1
    return result
