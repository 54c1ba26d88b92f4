"""Tests of two models on the same items: each item tells by itself which of the two did better.

A difference d of an item is after - before. `mcnemar` and `difference_of_shares` serve d of -1, 0 and 1; `sign_flips`
serves any. McNemar's test is the exact one of the sign flips, so all p-values here mean the same: how often
chance alone, deciding per item which answer belongs to which model, makes a difference as large.
"""

import math
from collections.abc import Sequence

import numpy as np

from kajiya.intervals import DRAWS, Interval, Strata, Values, Z, estimate

_MAX_CELLS = 1_000_000
_FEW_VALUES = 8


def mcnemar(won: int, lost: int) -> float:
    """Exact two-sided p-value (binomial, McNemar 1947) of `won` items against `lost`; ties say nothing.

    In whole numbers: no approximation for few items, no overflow for many.
    """
    n, fewer = won + lost, min(won, lost)
    if won == lost:
        return 1.0
    term = tail = 1
    for k in range(1, fewer + 1):
        term = term * (n - k + 1) // k
        tail += term
    return min(1.0, tail / 2 ** (n - 1))


def share_difference(won: int, lost: int, n: int) -> Interval:
    """Of the difference of two shares over the same n items (Bonett and Price 2012).

    An adjusted Wald interval: simple, close to its 95 % for few items too, and with a width where no item
    changed, of which a bootstrap would say that none ever could.
    """
    gained, spoilt = (won + 1) / (n + 2), (lost + 1) / (n + 2)
    centre = gained - spoilt
    half = Z * math.sqrt((gained + spoilt - centre**2) / (n + 2))
    return Interval(max(-1.0, centre - half), min(1.0, centre + half))


def difference_of_shares(changes: Strata) -> Interval:
    """Of a weighted sum of such differences, as of balanced accuracy; changes: -1, 0 or 1 by item.

    The distances of the single bounds, added as squares (MOVER, Zou 2008); of one share its own interval.
    """
    below = above = 0.0
    for weight, values in changes:
        bounds = share_difference(int((values > 0).sum()), int((values < 0).sum()), len(values))
        middle = float(values.mean())
        below += (weight * (middle - bounds.low)) ** 2
        above += (weight * (bounds.high - middle)) ** 2
    point = estimate(changes)
    return Interval(point - math.sqrt(below), point + math.sqrt(above))


def sign_flips(strata: Strata, seed: int) -> float:
    """Two-sided p-value of a weighted sum of mean differences, each item's sign drawn DRAWS times.

    A bootstrap's own p-value calls three items of three a certain thing; this one knows that of eight
    ways to sign them two are as extreme (Fisher's randomization test).
    """
    observed = abs(estimate(strata))
    generator = np.random.default_rng(seed)
    drawn = np.zeros(DRAWS)
    for weight, values in strata:
        drawn += weight / len(values) * _signed_sums(np.abs(values[values != 0]), generator)
    as_extreme = int((np.abs(drawn) >= observed - 1e-12).sum())
    return (as_extreme + 1) / (DRAWS + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of one family, raised so that below 0.05 all of them together err once in twenty (Holm 1979)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - rank)))
        corrected[place] = largest
    return corrected


def _signed_sums(sizes: Values, generator: np.random.Generator) -> Values:
    distinct, counts = np.unique(sizes, return_counts=True)
    if len(distinct) <= _FEW_VALUES:  # how many of each size fall to the one side is all there is to draw
        plus = generator.binomial(counts, 0.5, (DRAWS, len(counts)))
        return np.asarray((2 * plus - counts) @ distinct)
    rows = max(1, _MAX_CELLS // len(sizes))
    parts = [
        generator.integers(0, 2, (min(rows, DRAWS - first), len(sizes)), np.int8) @ (2 * sizes)
        for first in range(0, DRAWS, rows)
    ]
    return np.concatenate(parts) - sizes.sum()
