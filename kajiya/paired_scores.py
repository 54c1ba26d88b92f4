"""Two models' scores of the same items, by metric: their difference, its interval and its p-value."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from kajiya.evaluation_results import BALANCED, Evaluation, Setting
from kajiya.intervals import Interval, Strata, Values, bootstrap, classes, estimate, mean
from kajiya.paired_tests import difference_of_shares, mcnemar, sign_flips

Test = Literal["mcnemar", "bootstrap", "sign_flips"]
"""mcnemar: exact, of hits and misses. bootstrap: p by flipping the signs of the differences, interval by drawing the items
again. sign_flips: the same p, of balanced accuracy, whose interval is that of its classes."""


@dataclass(frozen=True)
class PairedScores:
    """One metric of one task; scores are 0 to 1, item by item."""

    setting: Setting
    metric: str
    main: bool
    right: list[Any]
    """The right label of each item, for balanced accuracy."""
    before: Values
    after: Values

    @cached_property
    def change(self) -> Strata:
        """What the difference is the weighted sum of means of."""
        return self._strata(self.after - self.before)

    @property
    def hits_and_misses(self) -> bool:
        return self.metric != BALANCED and bool(np.isin([self.before, self.after], (0.0, 1.0)).all())

    def points(self) -> tuple[float, float]:
        """Both scores, 0 to 100."""
        return 100 * estimate(self._strata(self.before)), 100 * estimate(self._strata(self.after))

    @property
    def test(self) -> Test:
        if self.hits_and_misses:
            return "mcnemar"
        return "sign_flips" if self.metric == BALANCED else "bootstrap"

    def interval(self, seed: int) -> Interval:
        """95 %, of the difference in points."""
        if self.test == "bootstrap":
            return bootstrap(self.change, lambda strata: strata, seed).times(100)
        return difference_of_shares(self.change).times(100)

    def p_value(self, seed: int) -> float:
        if self.test != "mcnemar":
            return sign_flips(self.change, seed)
        return mcnemar(int((self.after > self.before).sum()), int((self.after < self.before).sum()))

    def _strata(self, values: Values) -> Strata:
        return classes(self.right, values) if self.metric == BALANCED else mean(values)


def paired_scores(before: Evaluation, after: Evaluation, setting: Setting) -> Iterator[PairedScores]:
    """Every metric of a task that both were asked; paired by the items' ids, whatever their order."""
    first, second = before.answers[setting], after.answers[setting]
    place = {item: number for number, item in enumerate(second.ids)}
    order = np.array([place[item] for item in first.ids])
    main = before.scores(setting)["main"]
    for metric, of in before.metrics(setting).items():
        old, new = first.scores[of], second.scores[of][order]
        yield PairedScores(setting, metric, metric == main, first.right, old, new)
