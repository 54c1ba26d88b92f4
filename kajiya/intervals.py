"""95 % confidence intervals of scores: how far another draw of as many items could lie from this one.

- `wilson(hits, n)`: a share, such as accuracy or exact match.
- `balanced(right, chosen)`: balanced accuracy, from the Wilson intervals of its classes.
- `mean_interval(scores, intervals)`: the mean of several tasks, from the intervals of each.
- `bootstrap(values, statistic, seed)`: `mean` of any values (F1, ROUGE), or `mean_of_means` of several tasks.

Closed forms where there are good ones: they need no seed, and stay honest where every item got the same
score, of which a resample would learn an interval without width. Values are as they come (0 to 1, or points).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

DRAWS = 10_000
"""Resamples: enough that the bounds of two seeds differ by a fiftieth of the interval's width."""
_NORMAL = NormalDist()
Z = _NORMAL.inv_cdf(0.975)
_MAX_CELLS = 1_000_000  # of an index array: a task of any size takes 8 MB
_FEW_VALUES = 8

Values = NDArray[np.float64]
Strata = list[tuple[float, Values]]
"""A weighted sum of means: the weight and the values of each. Items are drawn again within their stratum."""
Statistic = Callable[[Any], Strata]


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval; `dataclasses.asdict` makes it JSON."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    def times(self, factor: float) -> "Interval":
        """In other units: of a share in points by 100."""
        return Interval(self.low * factor, self.high * factor)


def mean(values: ArrayLike) -> Strata:
    """Statistic of one number per item."""
    return [(1.0, np.asarray(values, float))]


def mean_of_means(groups: Sequence[ArrayLike]) -> Strata:
    """Statistic of several tasks, a sequence of numbers each: every task counts alike, however many its items."""
    return [(1 / len(groups), np.asarray(values, float)) for values in groups]


def classes(right: ArrayLike, values: ArrayLike) -> Strata:
    """Statistic of hits by the right label of each item: their mean of means is balanced accuracy."""
    _, of = np.unique(np.asarray(right), return_inverse=True)
    hits = np.asarray(values, float)
    return mean_of_means([hits[of == number] for number in range(int(of.max()) + 1)])


def estimate(strata: Strata) -> float:
    """The statistic itself."""
    return float(sum(weight * values.mean() for weight, values in strata))


def wilson(hits: float, n: int) -> Interval:
    """Of the share hits/n (Wilson 1927): close to its 95 % also near 0 and 1, where the textbook's is not."""
    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"{hits} hits of {n} items are no share")
    share, shrunk = hits / n, Z * Z / n
    centre = (share + shrunk / 2) / (1 + shrunk)
    half = Z / (1 + shrunk) * math.sqrt(share * (1 - share) / n + shrunk / (4 * n))
    # At 0 and n the bound is the share itself, but for the last digit of a float.
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    return Interval(low, 1.0 if hits == n else min(1.0, centre + half))


def balanced(right: ArrayLike, chosen: ArrayLike) -> Interval:
    """Of balanced accuracy: the distances of the classes' Wilson bounds, added as squares (MOVER, Zou 2008).

    A bootstrap has no width for a model that always says one word, though few items of a class say little.
    """
    strata = classes(right, np.asarray(right) == np.asarray(chosen))
    below = above = 0.0
    for weight, hits in strata:
        bounds, share = wilson(float(hits.sum()), len(hits)), float(hits.mean())
        below += (weight * (share - bounds.low)) ** 2
        above += (weight * (bounds.high - share)) ** 2
    score = estimate(strata)
    return Interval(max(0.0, score - math.sqrt(below)), min(1.0, score + math.sqrt(above)))


def mean_interval(scores: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """Of the mean of independent scores, from the interval of each: their distances, added as squares (MOVER).

    A bootstrap of them all would have no width where every task is all right, all wrong, or unchanged.
    """
    middle, share = sum(scores) / len(scores), 1 / len(scores)
    pairs = list(zip(scores, intervals, strict=True))
    below = math.sqrt(sum((score - one.low) ** 2 for score, one in pairs)) * share
    above = math.sqrt(sum((one.high - score) ** 2 for score, one in pairs)) * share
    return Interval(middle - below, middle + above)


def bootstrap(values: Any, statistic: Statistic, seed: int) -> Interval:
    """Of `statistic` of the values, by BCa (Efron 1987) over DRAWS seeded resamples of its items.

    BCa, not the plain percentiles: F1 and ROUGE of a good or a bad model are skewed, which percentiles
    ignore, and its two corrections cost nothing here, since the influence of an item on a mean is known.
    Values that are all equal give an interval without width: there is nothing to learn the spread from.
    Under about 20 items it is a little too short, as every bootstrap.
    """
    strata = statistic(values)
    point, drawn = estimate(strata), resampled(strata, seed)
    tolerance = 1e-12 * max(1.0, abs(point))
    if drawn.max() - drawn.min() <= tolerance:
        return Interval(point, point)
    # Half of the ties: few items have few distinct means.
    below = np.mean(drawn < point - tolerance) + np.mean(np.abs(drawn - point) <= tolerance) / 2
    bias = _NORMAL.inv_cdf(float(np.clip(below, 1 / DRAWS, 1 - 1 / DRAWS)))
    skew = _acceleration(strata)
    shifted = [bias + z for z in (-Z, Z)]
    levels = [_NORMAL.cdf(bias + z / (1 - skew * z)) for z in shifted]
    low, high = np.quantile(drawn, levels)
    return Interval(float(low), float(high))


def resampled(strata: Strata, seed: int) -> Values:
    """The statistic of DRAWS resamples, each with as many items of every stratum as there are."""
    generator = np.random.default_rng(seed)
    total = np.zeros(DRAWS)
    for weight, values in strata:
        total += weight * _resampled_means(values, generator)
    return total


def _resampled_means(values: Values, generator: np.random.Generator) -> Values:
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= _FEW_VALUES:  # hits and misses: how often each is drawn is all there is to draw
        drawn = generator.multinomial(len(values), counts / len(values), DRAWS)
        return np.asarray(drawn @ distinct / len(values))
    parts = [
        values[generator.integers(0, len(values), (rows, len(values)), np.int32)].mean(axis=1)
        for rows in _rows(len(values))
    ]
    return np.concatenate(parts)


def _rows(items: int) -> Iterator[int]:
    """DRAWS in parts whose index arrays stay small."""
    size = max(1, _MAX_CELLS // items)
    for first in range(0, DRAWS, size):
        yield min(size, DRAWS - first)


def _acceleration(strata: Strata) -> float:
    """A sixth of the skewness of the items' influences: BCa's second correction."""
    influence = np.concatenate([weight * (values - values.mean()) / len(values) for weight, values in strata])
    spread = float((influence**2).sum()) ** 1.5
    return float((influence**3).sum()) / (6 * spread) if spread > 0 else 0.0
