"""The two evaluations, paired: what changed in each task, in their mean, and in perplexity."""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from components.gate.ability import Prediction, chance_of, has_ability
from components.gate.decide import Change, TaskChange
from kajiya.comparison import Comparison, Difference, pair
from kajiya.errors import KajiyaError
from kajiya.evaluation_results import PREDICTIONS, RESULTS, Evaluation, Setting
from kajiya.gate_verdict import BitsPerByte, Kind
from kajiya.suites import PUBLISHED_SHOTS

_DECIMALS = 4
"""Of points: finer than what any number of items resolves, coarser than the noise of a float."""


def comparable(before: Evaluation, after: Evaluation, kind: Kind) -> tuple[Evaluation, Evaluation]:
    """The two as they are to be paired. Raises KajiyaError where one in 4 bits was asked otherwise than its parent.

    A tuned model is asked as its users ask it, through its chat template, and its base cannot be: that is no
    reason not to hold the one against the other. In 4 bits it shall be the same model, asked the same way.
    """
    if kind == "tuned":
        return _without_chat(before), _without_chat(after)
    asked = [bool(one.results.get("chat_template")) for one in (before, after)]
    if asked[0] != asked[1]:
        raise KajiyaError(
            f"{(before, after)[asked[1]].name} was asked through its chat template and {(before, after)[asked[0]].name} "
            f"was not, but {after.name} is {before.name} in 4 bits: what it lost cannot be told from what the template "
            "does. Name both under evaluate.chat_variants in the recipe, or neither."
        )
    return before, after


def compare_all(before: Evaluation, after: Evaluation, seed: int) -> Comparison | None:
    """Both, paired item by item; None where neither was asked a task. Raises KajiyaError where only one was asked it."""
    if not before.answers and not after.answers:
        return None
    compared = pair(before, after, seed)
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
    suite = pair(_only(before, chosen), _only(after, chosen), seed).suite("all")
    assert suite.before is not None and suite.after is not None  # noqa: PT018 - for the type checker
    assert suite.difference is not None and suite.interval is not None  # noqa: PT018
    values = (suite.before, suite.after, suite.difference, suite.interval.low, suite.interval.high)
    return _change("the mean", *values), tuple(task for task, _ in chosen)


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
    found: dict[str, BitsPerByte] = {}
    for source in sorted(old.keys() & new.keys()):
        try:
            found[source] = BitsPerByte(
                before=old[source]["bits_per_byte"], after=new[source]["bits_per_byte"]
            )
        except (ValidationError, KeyError, TypeError):
            raise KajiyaError(
                f"{before.name} and {after.name}: perplexity of {source}: `bits_per_byte` is no number in one of their "
                f"{RESULTS}. A model that gives none is broken; else evaluate again."
            ) from None
    return found


def _task_change(one: Difference, metrics: dict[str, Any], lines: list[Prediction]) -> TaskChange:
    chance = chance_of(metrics, lines)
    name = f"{one.task} with {one.shots} shots"
    change = _change(name, one.before, one.after, one.difference, one.interval.low, one.interval.high)
    return TaskChange(
        **asdict(change),
        task=one.task,
        shots=one.shots,
        metric=one.metric,
        items=one.n,
        chance=round(100 * chance, _DECIMALS),
        able=has_ability(metrics, chance, lines),
        p_value=float(f"{one.p:.6g}"),
        test=one.test,
    )


def _change(name: str, *points: float) -> Change:
    if not all(map(math.isfinite, points)):
        raise KajiyaError(
            f"{name}: not every score is a number ({', '.join(f'{value:g}' for value in points)}), so nothing can be "
            "judged. Look for null among its items' scores in predictions.jsonl of both, and evaluate again."
        )
    return Change(*(round(value, _DECIMALS) + 0.0 for value in points))


def _only(evaluation: Evaluation, settings: list[Setting]) -> Evaluation:
    return replace(evaluation, answers={one: evaluation.answers[one] for one in settings})


def _without_chat(evaluation: Evaluation) -> Evaluation:
    return replace(evaluation, results={**evaluation.results, "chat_template": None})


def _predictions(folder: Path) -> dict[Setting, list[Prediction]]:
    """The lines of predictions.jsonl; `load_evaluation` has checked them."""
    found: dict[Setting, list[Prediction]] = defaultdict(list)
    with open(folder / PREDICTIONS, encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            found[record["task"], record["shots"]].append(record)
    return found
