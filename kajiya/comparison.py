"""Two evaluations of the same items, paired: what changed, by how much, and whether that is real.

    comparison = compare(before, after, seed=1)     # two evaluation folders
    comparison.of("jnli", 3).difference             # points, after - before
    comparison.suite("all").interval                # of the mean over all tasks
    comparison.model_dump(mode="json")              # plain values

`pair(a, b, seed, tasks=[...])` compares two evaluations that are loaded (kajiya.evaluation_results), or some of
their tasks alone: the suite "all" is then the mean over these. Both raise KajiyaError where the two were not asked
alike. Decision 11 says why which test.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from kajiya.errors import KajiyaError
from kajiya.evaluation_results import Evaluation, Setting, load_evaluation
from kajiya.intervals import Interval, Strata, mean_interval
from kajiya.like_asked import check_alike, warnings_of
from kajiya.paired_scores import PairedScores, Test, paired_scores
from kajiya.paired_tests import holm, sign_flips
from kajiya.suites import PUBLISHED_SHOTS, SUITES

REAL_BELOW = 0.05


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Difference(_Value):
    """One metric of one task with one number of shots. Scores are in points, 0 to 100."""

    task: str
    shots: int
    metric: str
    main: bool
    """The task's main metric: these are judged together, the others among themselves."""
    n: int
    """Items, the same in both."""
    before: float
    after: float
    difference: float
    """after - before."""
    interval: Interval
    """95 %, of the difference, paired."""
    test: Test
    p: float
    p_corrected: float
    """By Holm over all main metrics of the comparison, or over all others."""
    real: bool
    """The interval excludes 0, and p_corrected is below 0.05."""


class SuiteDifference(_Value):
    """The mean of the tasks' main metrics, every task counting alike. No numbers where a task is missing."""

    name: str
    """4 and 8: at the published shots. all: every task of the comparison, at its published shots, else the most."""
    tasks: dict[str, int]
    """Task and shots."""
    missing: tuple[str, ...]
    before: float | None = None
    after: float | None = None
    difference: float | None = None
    interval: Interval | None = None
    p: float | None = None
    real: bool = False
    """The interval excludes 0, and p is below 0.05. Each suite is one question: nothing is corrected."""


class Comparison(_Value):
    before: str
    after: str
    differences: tuple[Difference, ...]
    suites: tuple[SuiteDifference, ...]
    unpaired: tuple[str, ...]
    """What only one of the two was asked."""
    warnings: tuple[str, ...]

    def of(self, task: str, shots: int, metric: str | None = None) -> Difference:
        """One difference: of the main metric, unless another is named. Raises KeyError."""
        for one in self.differences:
            wanted = one.main if metric is None else one.metric == metric
            if wanted and (one.task, one.shots) == (task, shots):
                return one
        raise KeyError((task, shots, metric))

    def suite(self, name: str) -> SuiteDifference:
        """`4`, `8` or `all`."""
        return next(suite for suite in self.suites if suite.name == name)


def compare(before: Path, after: Path, seed: int) -> Comparison:
    """Compare two evaluation folders (results.json and predictions.jsonl each)."""
    return pair(load_evaluation(before), load_evaluation(after), seed)


def pair(
    before: Evaluation, after: Evaluation, seed: int, tasks: Collection[str] | None = None
) -> Comparison:
    """Compare two evaluations. tasks: these alone, else all. The same seed gives the same numbers."""
    common = [one for one in _settings(before, tasks) if one in after.answers]
    if not common:
        shown = [", ".join(_shown(one) for one in _settings(side, tasks)) for side in (before, after)]
        raise KajiyaError(
            f"{before.name} and {after.name} have no task with the same shots in common: {shown[0] or 'none'} against"
            f" {shown[1] or 'none'}. Evaluate both with the same `evaluate.tasks` and `evaluate.shots`."
        )
    check_alike(before, after, common)
    scores = [one for setting in common for one in paired_scores(before, after, setting)]
    by_family = [
        list(_differences([one for one in scores if one.main is main], seed)) for main in (True, False)
    ]
    differences = {(one.task, one.shots, one.metric): one for family in by_family for one in family}
    changes = {one.setting: one.change for one in scores if one.main}
    mains = {(one.task, one.shots): one for one in by_family[0]}
    return Comparison(
        before=before.name,
        after=after.name,
        differences=tuple(differences[*one.setting, one.metric] for one in scores),
        suites=tuple(_suite(name, mains, changes, seed) for name in (*SUITES, "all")),
        unpaired=tuple(_unpaired(before, after, tasks)),
        warnings=tuple(warnings_of(before, after, common)),
    )


def _differences(family: Sequence[PairedScores], seed: int) -> Iterator[Difference]:
    """Of the metrics that are judged together."""
    p_values = [one.p_value(seed) for one in family]
    for one, p, corrected in zip(family, p_values, holm(p_values), strict=True):
        before, after = one.points()
        interval = one.interval(seed)
        yield Difference(
            task=one.setting[0],
            shots=one.setting[1],
            metric=one.metric,
            main=one.main,
            n=len(one.before),
            before=before,
            after=after,
            difference=after - before,
            interval=interval,
            test=one.test,
            p=p,
            p_corrected=corrected,
            real=corrected < REAL_BELOW and not interval.holds(0.0),
        )


def _suite(
    name: str, mains: dict[Setting, Difference], changes: dict[Setting, Strata], seed: int
) -> SuiteDifference:
    """The mean over its tasks, from the interval of each; the p-value flips signs within each task."""
    chosen = _all_tasks(mains) if name == "all" else {task: PUBLISHED_SHOTS[task] for task in SUITES[name]}
    missing = tuple(_shown(setting) for setting in chosen.items() if setting not in mains)
    if missing:
        return SuiteDifference(name=name, tasks=chosen, missing=missing)
    share = 1 / len(chosen)
    strata = [(share * weight, values) for setting in chosen.items() for weight, values in changes[setting]]
    parts = [mains[setting] for setting in chosen.items()]
    before, after = (sum(getattr(one, side) for one in parts) * share for side in ("before", "after"))
    interval = mean_interval([one.difference for one in parts], [one.interval for one in parts])
    p = sign_flips(strata, seed)
    return SuiteDifference(
        name=name,
        tasks=chosen,
        missing=(),
        before=before,
        after=after,
        difference=after - before,
        interval=interval,
        p=p,
        real=p < REAL_BELOW and not interval.holds(0.0),
    )


def _all_tasks(mains: dict[Setting, Difference]) -> dict[str, int]:
    shots: dict[str, list[int]] = {}
    for task, number in mains:
        shots.setdefault(task, []).append(number)
    return {
        task: PUBLISHED_SHOTS[task] if PUBLISHED_SHOTS.get(task) in numbers else max(numbers)
        for task, numbers in shots.items()
    }


def _settings(evaluation: Evaluation, tasks: Collection[str] | None) -> list[Setting]:
    return [one for one in evaluation.answers if tasks is None or one[0] in tasks]


def _unpaired(before: Evaluation, after: Evaluation, tasks: Collection[str] | None) -> Iterator[str]:
    for one, other in ((before, after), (after, before)):
        for setting in _settings(one, tasks):
            if setting not in other.answers:
                yield f"{_shown(setting)}: only {one.name}"


def _shown(setting: Setting) -> str:
    return f"{setting[0]} ({setting[1]} shots)"
