"""Scores out of verdicts: means with their uncertainty, per set, turn and category."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from components.judge.panel import Verdict
from kajiya.intervals import bootstrap, mean

LEFT_OUT = ("math", "coding")
"""Without these Japanese MT-Bench is reported a second time: small models can do neither."""


@dataclass(frozen=True)
class Judged:
    """One answer, the mean of its verdicts."""

    id: str
    category: str
    turn: int
    score: float | None
    """None: none of its verdicts could be read."""


def judged_answers(verdicts: Iterable[Verdict]) -> list[Judged]:
    """Of one set, in the order of the verdicts."""
    by_answer: dict[tuple[str, str, int], list[float | None]] = defaultdict(list)
    for one in verdicts:
        by_answer[one.case.id, one.case.category, one.case.turn].append(one.score)
    found = []
    for (name, category, turn), scores in by_answer.items():
        read = [one for one in scores if one is not None]
        found.append(Judged(name, category, turn, sum(read) / len(read) if read else None))
    return found


def set_scores(answers: list[Judged], scale: tuple[int, int], seed: int) -> dict[str, Any]:
    """All that is said about one set."""
    found = {"scale": list(scale), **summary(answers, seed)}
    categories = sorted({one.category for one in answers if one.category})
    if set(categories) & set(LEFT_OUT):
        found["without_math_and_coding"] = summary(_without(answers), seed)
    if len(turns := sorted({one.turn for one in answers})) > 1:
        found["turns"] = {
            str(turn): _turn([one for one in answers if one.turn == turn], seed) for turn in turns
        }
    if categories:
        found["categories"] = _grouped(answers, lambda one: one.category, seed)
    return found


def summary(answers: list[Judged], seed: int) -> dict[str, Any]:
    """Mean over questions of the mean of their turns, which are no independent draws; its 95 % interval.

    n answers came in; each is judged or unreadable.
    """
    by_question: dict[str, list[float]] = defaultdict(list)
    for one in answers:
        if one.score is not None:
            by_question[one.id].append(one.score)
    values = [sum(scores) / len(scores) for scores in by_question.values()]
    judged = sum(one.score is not None for one in answers)
    return {
        "n": len(answers),
        "judged": judged,
        "unreadable": len(answers) - judged,
        "questions": len(values),
        "mean": _rounded(sum(values) / len(values)) if values else None,
        "interval": interval(values, seed),
    }


def interval(values: list[float], seed: int) -> dict[str, float] | None:
    """Of the mean of one value per question; None where there are not two to learn a spread from."""
    if len(values) < 2:
        return None
    return {name: _rounded(bound) for name, bound in asdict(bootstrap(values, mean, seed)).items()}


def _turn(answers: list[Judged], seed: int) -> dict[str, Any]:
    found = summary(answers, seed)
    if any(one.category in LEFT_OUT for one in answers):
        found["without_math_and_coding"] = summary(_without(answers), seed)
    return found


def _without(answers: list[Judged]) -> list[Judged]:
    return [one for one in answers if one.category not in LEFT_OUT]


def _grouped(answers: list[Judged], key: Callable[[Judged], str], seed: int) -> dict[str, Any]:
    names = sorted({key(one) for one in answers})
    return {name: summary([one for one in answers if key(one) == name], seed) for name in names}


def _rounded(value: float) -> float:
    return round(value, 6)
