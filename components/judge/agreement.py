"""How far two raters agree on the same answers, each figure with its 95 % interval."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

DRAWS = 2000
FIGURES: dict[str, str] = {
    "mean_before": "前に付けられた点の平均 / mean of the scores given before",
    "mean_judge": "採点者の点の平均 / mean of the judge's",
    "bias": "採点者 − 前の点 / judge minus before",
    "mean_absolute_error": "二つの点の隔たりの平均 / mean distance of the two, in points",
    "pearson": "点の相関 / correlation of the scores",
    "spearman": "順位の相関 / correlation of the ranks",
    "quadratic_weighted_kappa": "偶然を除いた一致、近い点は部分的に数える / agreement beyond chance, near misses counted in part",
}
"""What each says, for a page, in Japanese and English."""


def agreement(
    before: Values, judge: Values, of: list[str], scale: tuple[int, int], seed: int
) -> dict[str, Any]:
    """Figures over pairs of scores.

    of: the question of each pair. The intervals draw questions, since answers of several models to one question
    are no independent draws. A figure that is not defined (one rater gave the same score to all) is null.
    """
    weights = np.concatenate([np.ones((1, len(before))), _drawn(of, seed)])
    drawn = _measures(before, judge, weights, scale)
    return {
        "n": len(before),
        **{name: _told(values) for name, values in drawn.items()},
        "exact": float(np.mean(_levels(before, scale) == _levels(judge, scale))) if len(before) else None,
        "confusion": confusion(before, judge, scale),
    }


def confusion(before: Values, judge: Values, scale: tuple[int, int]) -> list[list[int]]:
    """Counts by the score given before (rows) and the judge's, rounded (columns), both from the lowest up."""
    size = scale[1] - scale[0] + 1
    cells = _levels(before, scale) * size + _levels(judge, scale)
    return np.bincount(cells, minlength=size * size).reshape(size, size).tolist()


def _levels(scores: Values, scale: tuple[int, int]) -> NDArray[np.int64]:
    """Whole points above the lowest; halves go up."""
    return np.floor(scores + 0.5).astype(np.int64) - scale[0]


def _drawn(of: list[str], seed: int) -> Values:
    """How often each pair stands in each of DRAWS resamples of the questions, (draws, pairs)."""
    _, group = np.unique(of, return_inverse=True)
    groups = int(group.max()) + 1 if len(of) else 0
    if groups < 2:
        return np.empty((0, len(of)))
    generator = np.random.default_rng(seed)
    return generator.multinomial(groups, np.full(groups, 1 / groups), DRAWS)[:, group].astype(float)


def _told(values: Values) -> dict[str, Any]:
    point, drawn = values[0], values[1:]
    defined = drawn[np.isfinite(drawn)]
    found: dict[str, Any] = {"value": _rounded(point) if np.isfinite(point) else None, "interval": None}
    if np.isfinite(point) and len(defined) >= 0.9 * DRAWS:
        low, high = np.quantile(defined, [0.025, 0.975])
        found["interval"] = {"low": _rounded(low), "high": _rounded(high)}
    return found


def _rounded(value: float) -> float:
    return round(float(value), 6)


def _mean(values: Values, weights: Values) -> Values:
    """Of every resample; values (pairs) or (draws, pairs)."""
    return (weights * values).sum(-1) / weights.sum(-1)


def _pearson(one: Values, other: Values, weights: Values) -> Values:
    centred = [values - _mean(values, weights)[:, None] for values in (one, other)]
    both = (weights * centred[0] * centred[1]).sum(-1)
    spread = np.sqrt((weights * centred[0] ** 2).sum(-1) * (weights * centred[1] ** 2).sum(-1))
    return np.divide(both, spread, out=np.full(len(weights), np.nan), where=spread > 1e-12)


def _ranks(values: Values, weights: Values) -> Values:
    """Mean ranks within every resample, (draws, pairs): equal scores share theirs."""
    levels, place = np.unique(values, return_inverse=True)
    counts = weights @ (place[:, None] == np.arange(len(levels))).astype(float)
    middle = counts.cumsum(-1) - counts / 2
    return middle[:, place]


def _kappa(before: Values, judge: Values, weights: Values, scale: tuple[int, int]) -> Values:
    """Cohen's, weighted by the square of the distance (Cohen 1968)."""
    size = scale[1] - scale[0] + 1
    levels = np.arange(size)
    rows, columns = (
        weights @ (_levels(one, scale)[:, None] == levels).astype(float) for one in (before, judge)
    )
    apart = (levels[:, None] - levels) ** 2
    seen = (weights * (_levels(before, scale) - _levels(judge, scale)) ** 2).sum(-1)
    expected = np.einsum("di,ij,dj->d", rows, apart, columns) / weights.sum(-1)
    share = np.divide(seen, expected, out=np.full(len(weights), np.nan), where=expected > 1e-12)
    return 1 - share


def _measures(before: Values, judge: Values, weights: Values, scale: tuple[int, int]) -> dict[str, Values]:
    """Each figure of every resample."""
    ranks = [_ranks(one, weights) for one in (before, judge)]
    return {
        "mean_before": _mean(before, weights),
        "mean_judge": _mean(judge, weights),
        "bias": _mean(judge - before, weights),
        "mean_absolute_error": _mean(np.abs(judge - before), weights),
        "pearson": _pearson(before, judge, weights),
        "spearman": _pearson(ranks[0], ranks[1], weights),
        "quadratic_weighted_kappa": _kappa(before, judge, weights, scale),
    }
