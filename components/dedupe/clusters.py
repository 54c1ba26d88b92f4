"""Decide which texts go, and whose copy stays. Texts are numbered by rank: of two, the lower number stays.

A text goes when it is a verified near duplicate of one that stays. So nothing is lost through a
chain (A like B, B like C, but C unlike A): every dropped text has a copy in the corpus.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from components.dedupe.minhash import Bands, band_hashes

# The estimate from 128 permutations strays by sqrt(J (1 - J) / 128) = 0.035 at J = 0.8: five of these
# below the threshold, a pair needs no exact count.
_ESTIMATE_DEVIATIONS = 5


class Buckets(NamedTuple):
    """Texts that share a band, ascending: bucket i is members[offsets[i]:offsets[i + 1]]."""

    members: np.ndarray
    offsets: np.ndarray


class Sets(NamedTuple):
    """The n-grams of text i, ascending: grams[begins[i]:ends[i]]."""

    grams: np.ndarray
    begins: np.ndarray
    ends: np.ndarray


def first_of_equal(hashes: np.ndarray) -> np.ndarray:
    """Per text the lowest text of the same hash (itself, when there is none before).

    hashes: uint64[texts, 2].
    """
    _, first, inverse = np.unique(hashes.view("u8,u8").ravel(), return_index=True, return_inverse=True)
    return first[inverse.ravel()]


def buckets(signatures: np.ndarray, stays: np.ndarray, bands: Bands) -> Buckets:
    """All groups of two or more texts that agree in a whole band.

    stays: as from first_of_equal; exact copies are not looked at again.
    """
    alive = np.flatnonzero(stays == np.arange(len(stays)))
    members, sizes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for band in range(bands.count):
        hashes = band_hashes(signatures, band, bands)[alive]
        order = np.argsort(hashes, kind="stable")  # stable: members ascend within their bucket
        borders = np.flatnonzero(np.diff(hashes[order])) + 1
        size = np.diff(np.concatenate([[0], borders, [len(order)]]))
        shared = size > 1
        members.append(alive[order[np.repeat(shared, size)]])
        sizes.append(size[shared])
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
    return Buckets(np.concatenate(members), offsets.astype(np.int64))


def near_duplicates(
    signatures: np.ndarray, stays: np.ndarray, groups: Buckets, sets: Sets, threshold: float
) -> np.ndarray:
    """Per text the text that stays in its place: itself, or a lower one that it copies.

    stays: as from first_of_equal. sets: may be empty for texts that are in no bucket.
    """
    deviation = np.sqrt(threshold * (1 - threshold) / signatures.shape[1])
    floor = threshold - _ESTIMATE_DEVIATIONS * deviation
    order = np.argsort(groups.members, kind="stable")
    of_text = np.searchsorted(groups.members[order], np.arange(len(signatures) + 1))
    bucket_of = np.repeat(np.arange(len(groups.offsets) - 1), np.diff(groups.offsets))[order]
    stays = _decide(signatures, stays.copy(), *groups, bucket_of, of_text, *sets, threshold, floor)
    return stays[stays]  # an exact copy of a near copy


@njit(cache=True, nogil=True)
def _decide(  # noqa: PLR0913, PLR0917 - flat arrays, for numba
    signatures, stays, members, offsets, bucket_of, of_text, grams, begins, ends, threshold, floor
):
    compared_with = np.full(len(signatures), -1, np.int64)
    for text in range(len(signatures)):
        if stays[text] != text:
            continue
        for entry in range(of_text[text], of_text[text + 1]):
            bucket = bucket_of[entry]
            for position in range(offsets[bucket], offsets[bucket + 1]):
                other = members[position]
                if other <= text or stays[other] != other or compared_with[other] == text:
                    continue
                compared_with[other] = text
                if np.mean(signatures[text] == signatures[other]) < floor:
                    continue
                a = grams[begins[text] : ends[text]]
                b = grams[begins[other] : ends[other]]
                if _jaccard(a, b) >= threshold:
                    stays[other] = text
    return stays


@njit(cache=True, nogil=True)
def _jaccard(a, b):
    """Of two ascending arrays without repetitions."""
    i, j, common = 0, 0, 0
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            common += 1
            i += 1
            j += 1
        elif a[i] < b[j]:
            i += 1
        else:
            j += 1
    return common / max(1, len(a) + len(b) - common)
