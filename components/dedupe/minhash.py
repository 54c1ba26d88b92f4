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


def band_keys(table: np.ndarray, bands: Bands) -> np.ndarray:
    """uint64[texts, bands]: a hash over the rows of each band and the band's number."""
    return _band_keys(table, bands.count, bands.rows)


def shingles(texts: Points, n: int) -> list[np.ndarray]:
    """Per text its different n-grams as ascending hashes, uint32.

    32 bits of a hash: of two texts with 10,000 n-grams each, 0.02 unequal ones are taken for equal.
    """
    hashes = ngram_hashes(texts.points, n)
    return [_different(_ngrams(hashes, *texts, index, n)) for index in range(len(texts.offsets) - 1)]


def _different(hashes: np.ndarray) -> np.ndarray:
    """Sorting is vector code: np.unique goes over a hash table and takes four times as long."""
    grams = np.sort((hashes >> np.uint64(32)).astype(np.uint32))
    return grams[np.concatenate([[True], grams[1:] != grams[:-1]])]


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
    result = np.full((len(offsets) - 1, len(factors)), 0xFFFFFFFF, np.uint32)
    for text in range(len(offsets) - 1):
        _minima(_ngrams(hashes, points, offsets, text, n), factors, shifts, result[text])
    return result


@njit(cache=True, nogil=True)
def _minima(values, factors, shifts, row):
    """Eight n-grams a turn, in 32-bit arithmetic without branches: the compiler makes vector code of it,
    and the row is read and written an eighth as often. A minimum may see the last one again."""
    last = len(values) - 1
    high = np.uint64(32)
    for i in range(0, last + 1, 8):
        v0 = np.uint32(values[i] >> high)
        v1 = np.uint32(values[min(i + 1, last)] >> high)
        v2 = np.uint32(values[min(i + 2, last)] >> high)
        v3 = np.uint32(values[min(i + 3, last)] >> high)
        v4 = np.uint32(values[min(i + 4, last)] >> high)
        v5 = np.uint32(values[min(i + 5, last)] >> high)
        v6 = np.uint32(values[min(i + 6, last)] >> high)
        v7 = np.uint32(values[min(i + 7, last)] >> high)
        for k in range(len(factors)):
            a, b = factors[k], shifts[k]
            low = min(row[k], np.uint32(v0 * a + b), np.uint32(v1 * a + b))
            low = min(low, np.uint32(v2 * a + b), np.uint32(v3 * a + b))
            low = min(low, np.uint32(v4 * a + b), np.uint32(v5 * a + b))
            row[k] = min(low, np.uint32(v6 * a + b), np.uint32(v7 * a + b))


@njit(cache=True, nogil=True)
def _band_keys(table, count, rows):
    result = np.empty((len(table), count), np.uint64)
    for text in range(len(table)):
        for band in range(count):
            value = np.uint64(0x9E3779B97F4A7C15) + np.uint64(band)
            for k in range(band * rows, (band + 1) * rows):
                value = (value ^ np.uint64(table[text, k])) * np.uint64(0xD6E8FEB86659FD93)
                value ^= value >> np.uint64(32)
            result[text, band] = value
    return result
