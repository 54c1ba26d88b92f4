"""The two evaluations, paired: what changed in each task, in their mean, and in perplexity."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.gate.ability import Prediction, chance_of, has_ability
from components.gate.decide import Change, TaskChange
from kajiya.comparison import Comparison, Difference, pair
from kajiya.errors import KajiyaError
from kajiya.evaluation_results import PREDICTIONS, RESULTS, Evaluation, Setting
from kajiya.gate_verdict import BitsPerByte
from kajiya.suites import PUBLISHED_SHOTS

_DECIMALS = 4
"""Of points: finer than what any number of items resolves, coarser than the noise of a float."""


def compare_all(before: Evaluation, after: Evaluation, seed: int) -> Comparison | None:
    """Both, paired item by item; None where neither was asked a task. Raises KajiyaError where only one was asked it."""
    if not before.answers and not after.answers:
        return None
    compared = pair(_without_chat(before), _without_chat(after), seed)
    if compared.unpaired:
        raise KajiyaError(
            f"{before.name} and {after.name} were not asked the same: {'; '.join(compared.unpaired)}. What was not "
            "asked cannot be judged: evaluate both with the same settings `evaluate` and sets."
        )
    return compared


def measure_tasks(compared: Comparison, before: Evaluation, folder: Path) -> list[TaskChange]:
    """Every task and number of shots, by its main metric, with what the model before had to lose. folder: its own."""
    lines = _predictions(folder)
    for one in compared.differences:
        if "intervals" not in before.scores((one.task, one.shots)):
            raise KajiyaError(
                f"{folder / RESULTS}: {one.task} with {one.shots} shots has no `intervals`: an older kajiya wrote it. "
                "Evaluate again."
            )
    return [
        _task_change(one, before.scores((one.task, one.shots)), lines[one.task, one.shots])
        for one in compared.differences
        if one.main
    ]


def measure_mean(
    before: Evaluation, after: Evaluation, tasks: Sequence[TaskChange], seed: int
) -> tuple[Change, tuple[str, ...]] | None:
    """The mean over the tasks in which there is something to lose, and their names; None without one.

    Each counts once: at the published number of shots if it was asked with it, else at the most.
    """
    chosen = shots_of_mean(tasks)
    if not chosen:
        return None
    if len(chosen) == 1:  # the task's own interval: it has a width even where no item changed
        one = next(one for one in tasks if (one.task, one.shots) in chosen)
        return Change(one.before, one.after, one.difference, one.low, one.high), (one.task,)
    suite = pair(*(_only(_without_chat(one), chosen) for one in (before, after)), seed).suite("all")
    assert suite.before is not None and suite.after is not None  # noqa: PT018 - for the type checker
    assert suite.difference is not None and suite.interval is not None  # noqa: PT018
    values = (suite.before, suite.after, suite.difference, suite.interval.low, suite.interval.high)
    return _change(*values), tuple(task for task, _ in chosen)


def shots_of_mean(tasks: Sequence[TaskChange]) -> list[Setting]:
    """With which number of shots each task that has something to lose counts in the mean."""
    shots: dict[str, list[int]] = {}
    for one in tasks:
        if one.able:
            shots.setdefault(one.task, []).append(one.shots)
    return [
        (task, PUBLISHED_SHOTS[task] if PUBLISHED_SHOTS.get(task) in numbers else max(numbers))
        for task, numbers in shots.items()
    ]


def shown_bits(before: Evaluation, after: Evaluation) -> dict[str, BitsPerByte]:
    """Bits per byte of both, by source."""
    old, new = (one.results.get("perplexity", {}) for one in (before, after))
    return {
        source: BitsPerByte(before=old[source]["bits_per_byte"], after=new[source]["bits_per_byte"])
        for source in sorted(old.keys() & new.keys())
    }


def _task_change(one: Difference, metrics: dict[str, Any], lines: list[Prediction]) -> TaskChange:
    chance = chance_of(metrics, lines)
    change = _change(one.before, one.after, one.difference, one.interval.low, one.interval.high)
    return TaskChange(
        before=change.before,
        after=change.after,
        difference=change.difference,
        low=change.low,
        high=change.high,
        task=one.task,
        shots=one.shots,
        metric=one.metric,
        items=one.n,
        chance=round(100 * chance, _DECIMALS),
        able=has_ability(metrics, chance, lines),
        p_value=float(f"{one.p:.6g}"),
        test=one.test,
    )


def _change(*points: float) -> Change:
    return Change(*(round(value, _DECIMALS) + 0.0 for value in points))


def _only(evaluation: Evaluation, settings: list[Setting]) -> Evaluation:
    return replace(evaluation, answers={one: evaluation.answers[one] for one in settings})


def _without_chat(evaluation: Evaluation) -> Evaluation:
    """A tuned model is asked as its users ask it, through its chat template, and its base cannot be: that is no
    reason not to hold the one against the other."""
    return replace(evaluation, results={**evaluation.results, "chat_template": None})


def _predictions(folder: Path) -> dict[Setting, list[Prediction]]:
    """The lines of predictions.jsonl; `load_evaluation` has checked them."""
    found: dict[Setting, list[Prediction]] = defaultdict(list)
    with open(folder / PREDICTIONS, encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            found[record["task"], record["shots"]].append(record)
    return found
