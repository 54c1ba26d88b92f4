"""What the stage `evaluate` left in a folder (docs/formats.md), read: scores, and each item's by its id."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from kajiya.errors import KajiyaError
from kajiya.intervals import Interval, Values

RESULTS, PREDICTIONS = "results.json", "predictions.jsonl"
BALANCED = "balanced_acc"
_ROUNDING = 1e-4
"""Scores and those of their items have six digits."""

Setting = tuple[str, int]
"""A task and its number of shots."""


@dataclass(frozen=True)
class Answers:
    """One model's answers to the items of one task, in the order of the file."""

    ids: list[str]
    right: list[Any]
    scores: dict[str, Values]
    """By metric, 0 to 1 each."""


@dataclass(frozen=True)
class Evaluation:
    """One evaluation folder."""

    name: str
    """For messages: the folder, or the registered version it belongs to."""
    results: dict[str, Any]
    answers: dict[Setting, Answers]
    judgements: Path | None = None
    """Folder of what a judge made of the model's answers, where there is one."""

    def scores(self, setting: Setting) -> dict[str, Any]:
        """Metrics, n, main and the rest, as results.json has them."""
        return dict(self.results["tasks"][setting[0]][str(setting[1])])

    def metrics(self, setting: Setting) -> dict[str, str]:
        """Every metric, the main one first, with that of the items it is made from.

        Balanced accuracy is no mean over items: it is the hits again, by right label.
        """
        stated = self.scores(setting)
        found = {metric: metric for metric in self.answers[setting].scores}
        if BALANCED in stated:
            found[BALANCED] = "acc"
        return dict(sorted(found.items(), key=lambda item: item[0] != stated["main"]))


def read_results(folder: Path, name: str | None = None) -> dict[str, Any]:
    """results.json of a folder. Raises KajiyaError where there is none, or an unreadable one."""
    file = folder / RESULTS
    shown = name or str(folder)
    try:
        results = orjson.loads(file.read_bytes())
    except FileNotFoundError:
        raise KajiyaError(
            f"{shown}: no {RESULTS} there, so it was never evaluated. Run `kajiya run`, or name a folder such as "
            "models/smoke/evaluation/base."
        ) from None
    except orjson.JSONDecodeError as error:
        raise KajiyaError(f"{file}: not valid JSON: {error}. Run the stage evaluate again.") from None
    if not isinstance(results, dict) or not isinstance(results.get("tasks"), dict):
        raise KajiyaError(f"{file}: no `tasks` in it. Run the stage evaluate again.")
    return results


def load_evaluation(folder: Path, name: str | None = None, judgements: Path | None = None) -> Evaluation:
    """A whole evaluation folder. name: for messages, when it is not the folder's.

    Raises KajiyaError naming file and line of what cannot be read.
    """
    results = read_results(folder, name)
    file = folder / PREDICTIONS
    if not file.is_file():
        raise KajiyaError(f"{file}: missing, and without it nothing can be paired. Evaluate again.")
    groups: dict[Setting, list[dict[str, Any]]] = {}
    for number, line in enumerate(_lines(file), 1):
        try:
            groups.setdefault((line["task"], line["shots"]), []).append(line)
        except (KeyError, TypeError):
            raise KajiyaError(f"{file}:{number}: `task` or `shots` is missing. Evaluate again.") from None
    answers = {setting: _answers(file, setting, lines) for setting, lines in groups.items()}
    loaded = Evaluation(name or str(folder), results, answers, judgements)
    for setting in answers:
        _check_belongs(loaded, setting, file)
    _check_whole(loaded, file)
    return loaded


def stated_score(version: Evaluation, setting: Setting, metric: str) -> tuple[float | None, Interval | None]:
    """In points, with its interval where the results state one."""
    if setting not in version.answers:
        return None, None
    stated = version.scores(setting)
    value, bounds = stated.get(metric), stated.get("intervals", {}).get(metric)
    return (
        None if value is None else 100 * value,
        Interval(bounds["low"], bounds["high"]).times(100) if bounds else None,
    )


def stated_suite(version: Evaluation, name: str) -> tuple[float | None, Interval | None]:
    """The mean of a suite in points, where the results have all of its tasks."""
    suite: dict[str, Any] = version.results.get("suites", {}).get(name) or {}
    bounds = suite.get("interval")
    return suite.get("mean"), Interval(bounds["low"], bounds["high"]) if bounds else None


def _lines(file: Path) -> list[Any]:
    """Every line of a file, parsed as one array: a tenth of the time of one call per line."""
    lines = file.read_bytes().splitlines()
    try:
        return list(orjson.loads(b"[" + b",".join(lines) + b"]"))
    except orjson.JSONDecodeError:
        for number, line in enumerate(lines, 1):
            try:
                orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise KajiyaError(f"{file}:{number}: not valid JSON: {error}. Evaluate again.") from None
        raise


def _answers(file: Path, setting: Setting, lines: list[dict[str, Any]]) -> Answers:
    where = f"{file}: {setting[0]} with {setting[1]} shots"
    try:
        ids = [line["id"] for line in lines]
        metrics = list(lines[0]["scores"])
        scores = {metric: np.array([line["scores"][metric] for line in lines], float) for metric in metrics}
        right = [line["right"] for line in lines]
    except (KeyError, TypeError, ValueError):
        raise KajiyaError(
            f"{where}: a line lacks `id`, `right` or one of its `scores`: an older kajiya wrote it. Evaluate again."
        ) from None
    for metric, values in scores.items():
        # A null, or what a program without a check wrote for NaN, which equals no score and passes every limit.
        if not np.isfinite(values).all():
            unknown = ids[int(np.flatnonzero(~np.isfinite(values))[0])]
            raise KajiyaError(f"{where}: item {unknown} has no number for {metric}. Evaluate again.")
    if len(set(ids)) != len(ids):
        double = Counter(ids).most_common(1)[0][0]
        raise KajiyaError(f"{where}: item {double} stands there twice. Give the items ids of their own.")
    return Answers(ids, right, scores)


def _check_belongs(loaded: Evaluation, setting: Setting, file: Path) -> None:
    """Raise KajiyaError where the items do not make the score: the two files are of different runs."""
    try:
        stated = loaded.scores(setting)
    except KeyError:
        raise KajiyaError(
            f"{file}: {setting[0]} with {setting[1]} shots is not in {RESULTS} beside it. Evaluate again."
        ) from None
    if "main" not in stated:
        raise KajiyaError(
            f"{file.parent / RESULTS}: {setting[0]} has no `main` metric: an older kajiya wrote it. Evaluate again."
        )
    for metric, values in loaded.answers[setting].scores.items():
        score = stated.get(metric)
        if isinstance(score, float) and abs(score - values.mean()) > _ROUNDING:
            raise KajiyaError(
                f"{file}: the items of {setting[0]} with {setting[1]} shots make {metric} {values.mean():.4f}, but"
                f" {RESULTS} beside it says {score:.4f}: they are of different runs. Evaluate again."
            )
    if (count := len(loaded.answers[setting].ids)) != stated.get("n"):
        raise KajiyaError(
            f"{file}: {count} items of {setting[0]} with {setting[1]} shots, but {RESULTS} beside it says"
            f" {stated.get('n')}: lines are missing, or they are of different runs. Evaluate again."
        )


def _check_whole(loaded: Evaluation, file: Path) -> None:
    """Raise KajiyaError for a score without items: left out on both sides, nobody would miss it."""
    answered = {(task, str(shots)) for task, shots in loaded.answers}
    for task, by_shots in loaded.results["tasks"].items():
        for shots in by_shots:
            if (task, shots) not in answered:
                raise KajiyaError(
                    f"{file}: no items of {task} with {shots} shots, which {RESULTS} beside it has a score of."
                    " Evaluate again."
                )
