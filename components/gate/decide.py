"""The rule: a drop beyond its limit stops the variant; nothing else does (docs/decisions/0012)."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from kajiya.gate_verdict import Limits, MeanFall, TaskFall, Verdict

_TOO_NEAR = 1000
"""Times the items: more are no plan."""


@dataclass(frozen=True)
class Change:
    """Scores of the two models in points, and their paired difference with its 95 % interval."""

    before: float
    after: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class TaskChange(Change):
    """One task at one number of shots."""

    task: str
    shots: int
    metric: str
    items: int
    chance: float
    able: bool
    """Whether the model before has an ability here that could be lost."""
    p_value: float | None
    test: str


def judge_task(change: TaskChange, limits: Limits) -> TaskFall:
    values = {key: value for key, value in asdict(change).items() if key != "able"}
    held = hold_against(change, limits.task_drop_points)
    if not change.able:
        held |= {"verdict": "not judged", "settled": False, "times_the_items": None}
    return TaskFall(**values, **held)


def judge_mean(change: Change, tasks: Sequence[str], limits: Limits) -> MeanFall:
    held = hold_against(change, limits.mean_drop_points)
    return MeanFall(**asdict(change), **held, tasks=tuple(tasks))


def hold_against(change: Change, limit: float) -> dict[str, Any]:
    """Verdict by the point estimate, and whether so many items can tell.

    An interval with the limit inside says that another draw of items could have given the other verdict.
    Its half towards the limit shrinks with the root of the items, which gives how many it would take.
    """
    lost = not -change.difference <= limit  # what is no number has not held
    settled = change.high < -limit if lost else change.low >= -limit
    half = change.high - change.difference if lost else change.difference - change.low
    gap = abs(change.difference + limit)
    times = (half / gap) ** 2 if gap > 0 else float("inf")
    return {
        "limit": limit,
        "verdict": "lost" if lost else "held",
        "settled": settled,
        "times_the_items": None if settled or times > _TOO_NEAR else math.ceil(round(10 * times, 6)) / 10,
    }


def conclude(tasks: Sequence[TaskFall], mean: MeanFall | None, unjudged: Literal["stop", "pass"]) -> Verdict:
    if mean is None:
        return "stopped" if unjudged == "stop" else "unjudged"
    return "stopped" if "lost" in {mean.verdict, *(row.verdict for row in tasks)} else "passed"
