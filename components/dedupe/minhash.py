"""MinHash signatures of character n-grams and the bands that bring near duplicates together.

Broder (1997) for MinHash; Leskovec, Rajaraman & Ullman, Mining of Massive Datasets, ch. 3 for banding.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from kajiya.ngrams import Points, ngram_hashes

# At the threshold itself a pair must meet in some band with at least this probability.
_WANTED_RECALL = 0.995


class Bands(NamedTuple):
    """`count` bands of `rows` rows: two texts are candidates when one band is equal in all its rows."""

    count: int
    rows: int

    def candidate_probability(self, jaccard: float) -> float:
        return 1 - (1 - jaccard**self.rows) ** self.count


def choose_bands(permutations: int, threshold: float) -> Bands:
    """The longest bands (the fewest false candidates) that still catch pairs at the threshold."""
    for rows in range(permutations, 1, -1):
        bands = Bands(permutations // rows, rows)
        if bands.candidate_probability(threshold) >= _WANTED_RECALL:
            return bands
    return Bands(permutations, 1)


def signatures(texts: Points, n: int, permutations: int) -> np.ndarray:
    """MinHash signatures, uint32[texts, permutations]. A text shorter than n is one n-gram."""
    generator = np.random.default_rng(20240117)  # fixed: signatures are compared across runs and workers
    factors = generator.integers(0, 1 << 32, permutations, dtype=np.uint32) | np.uint32(1)
    shifts = generator.integers(0, 1 << 32, permutations, dtype=np.uint32)
    return _signatures(ngram_hashes(texts.points, n), *texts, n, factors, shifts)


def shingles(texts: Points, n: int) -> Points:
    """The different n-grams of each text, as ascending hashes (uint64)."""
    hashes = ngram_hashes(texts.points, n)
    sets = [_ngrams(hashes, *texts, index, n) for index in range(len(texts.offsets) - 1)]
    sets = [np.unique(one) for one in sets]
    offsets = np.zeros(len(sets) + 1, np.int64)
    np.cumsum([len(one) for one in sets], out=offsets[1:])
    return Points(np.concatenate([np.zeros(0, np.uint64), *sets]), offsets)


def band_hashes(table: np.ndarray, band: int, bands: Bands) -> np.ndarray:
    """One 64-bit hash per text over the rows of one band."""
    return _band_hashes(table, band * bands.rows, bands.rows)


@njit(cache=True, nogil=True)
def _ngrams(hashes, points, offsets, text, n):
    begin, end = offsets[text], offsets[text + 1]
    if end - begin >= n:
        return hashes[begin : end - n + 1]
    value = np.uint64(0xCBF29CE484222325)
    for i in range(begin, end):
        value = (value ^ np.uint64(points[i])) * np.uint64(0x100000001B3)
    return np.full(1, value, np.uint64)


@njit(cache=True, nogil=True)
def _signatures(hashes, points, offsets, n, factors, shifts):
    permutations = len(factors)
    result = np.full((len(offsets) - 1, permutations), 0xFFFFFFFF, np.uint32)
    for text in range(len(offsets) - 1):
        row = result[text]
        values = _ngrams(hashes, points, offsets, text, n)
        last = len(values) - 1
        # Four n-grams a turn, in 32-bit arithmetic without branches: the compiler makes vector code of
        # it, and the row is read and written a quarter as often. A minimum may see the last one twice.
        for i in range(0, last + 1, 4):
            v0 = np.uint32(values[i] >> np.uint64(32))
            v1 = np.uint32(values[min(i + 1, last)] >> np.uint64(32))
            v2 = np.uint32(values[min(i + 2, last)] >> np.uint64(32))
            v3 = np.uint32(values[min(i + 3, last)] >> np.uint64(32))
            for k in range(permutations):
                h0 = np.uint32(v0 * factors[k] + shifts[k])
                h1 = np.uint32(v1 * factors[k] + shifts[k])
                h2 = np.uint32(v2 * factors[k] + shifts[k])
                h3 = np.uint32(v3 * factors[k] + shifts[k])
                row[k] = min(row[k], h0, h1, h2, h3)
    return result


@njit(cache=True, nogil=True)
def _band_hashes(table, first, rows):
    result = np.empty(len(table), np.uint64)
    for text in range(len(table)):
        value = np.uint64(0x9E3779B97F4A7C15)
        for k in range(first, first + rows):
            value = (value ^ np.uint64(table[text, k])) * np.uint64(0xD6E8FEB86659FD93)
            value ^= value >> np.uint64(32)
        result[text] = value
    return result
