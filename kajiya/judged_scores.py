"""What a judge made of two models' answers to the same questions, paired by question (docs/formats.md)."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from kajiya.comparison import REAL_BELOW, Difference
from kajiya.errors import KajiyaError
from kajiya.intervals import Interval, bootstrap, mean
from kajiya.paired_tests import sign_flips

_LONGEST_SHOWN = 24
"""Characters of a value: a hash is known by its first ones."""
SCORES, JUDGEMENTS = "scores.json", "judgements.jsonl"


@dataclass(frozen=True)
class JudgedSet:
    """One question set; scores on the judge's scale."""

    scale: tuple[int, int]
    mean: float | None
    interval: Interval | None
    questions: dict[str, float]
    """Mean over turns and samples, by question; one that no reply gave a score is left out."""
    asked: dict[str, Any]
    """Judge, its prompts, the data and how answers were asked for: only where these agree, scores can be paired."""


def load_judged(folder: Path) -> dict[str, JudgedSet]:
    """By question set. Raises KajiyaError for a folder that is not whole."""
    try:
        scores = orjson.loads((folder / SCORES).read_bytes())
        lines = [orjson.loads(line) for line in (folder / JUDGEMENTS).read_bytes().splitlines()]
        values = _by_question(lines)
        return {name: _judged_set(one, scores["judge"], values[name]) for name, one in scores["sets"].items()}
    except (FileNotFoundError, orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise KajiyaError(
            f"{folder}: not the judgements that the stage judge writes ({type(error).__name__}: {error}). Run it again."
        ) from None


def judged_difference(name: str, before: JudgedSet, after: JudgedSet, seed: int) -> Difference | None:
    """after - before on the judge's scale, over the questions that both have a score of; None without two."""
    common = [question for question in before.questions if question in after.questions]
    if before.asked != after.asked or len(common) < 2:
        return None
    old, new = (np.array([side.questions[question] for question in common]) for side in (before, after))
    change = new - old
    interval, p = bootstrap(change, mean, seed), sign_flips(mean(change), seed)
    return Difference(
        task=name,
        shots=0,
        metric="judge",
        main=False,
        n=len(common),
        before=float(old.mean()),
        after=float(new.mean()),
        difference=float(change.mean()),
        interval=interval,
        test="bootstrap",
        p=p,
        p_corrected=p,
        real=p < REAL_BELOW and not interval.holds(0.0),
    )


def unlike(before: JudgedSet, after: JudgedSet) -> list[str]:
    """In what the second was asked or judged otherwise, as `answers.turns 1 instead of 2`."""
    old, new = _flat(before.asked), _flat(after.asked)
    return [
        f"{key} {_short(new.get(key))} instead of {_short(old.get(key))}"
        for key in {**old, **new}
        if old.get(key) != new.get(key)
    ]


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, one in values.items():
        found |= _flat(one, f"{prefix}{key}.") if isinstance(one, dict) else {f"{prefix}{key}": one}
    return found


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _by_question(lines: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    answers: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for line in lines:
        if line["score"] is not None:
            answers[line["set"], str(line["id"]), line["turn"]].append(line["score"])
    turns: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (name, question, _), scores in answers.items():
        turns[name, question].append(sum(scores) / len(scores))
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for (name, question), means in turns.items():
        found[name][question] = sum(means) / len(means)
    return found


def _judged_set(stated: dict[str, Any], judge: dict[str, Any], questions: dict[str, float]) -> JudgedSet:
    bounds = stated["interval"]
    return JudgedSet(
        scale=(stated["scale"][0], stated["scale"][1]),
        mean=stated["mean"],
        interval=Interval(bounds["low"], bounds["high"]) if bounds else None,
        questions=questions,
        asked={
            "judge": judge,
            "prompts": stated["prompts"],
            "data": stated["data"],
            "answers": stated["answers"],
        },
    )
