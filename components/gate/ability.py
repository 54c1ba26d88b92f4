"""Whether a model has an ability in a task at all: one that it never had cannot be lost."""

from collections import Counter
from typing import Any

# A model that writes without knowing still hits a word now and then.
_CHANCE_OF_WRITING = 0.01

Prediction = dict[str, Any]
"""A line of predictions.jsonl."""


def chance_of(metrics: dict[str, Any], predictions: list[Prediction]) -> float:
    """What the main metric of a task is without an ability, from 0 to 1.

    metrics: the task's entry of results.json. Where all items share their labels, always giving the most
    frequent one; of choices, guessing; of written answers next to nothing.
    """
    choices = {len(line["likelihoods"]) for line in predictions if line.get("likelihoods")}
    if not choices:
        return _CHANCE_OF_WRITING
    guessing = sum(1 / len(line["likelihoods"]) for line in predictions) / len(predictions)
    if "balanced_acc" not in metrics or metrics["main"] == "balanced_acc":
        return guessing
    most = Counter(line["right"] for line in predictions).most_common(1)[0][1]
    return max(guessing, most / len(predictions))


def has_ability(metrics: dict[str, Any], chance: float, predictions: list[Prediction]) -> bool:
    """Whether the whole interval of the main metric lies above chance, or that of balanced accuracy.

    Where one label is frequent, a model may know a lot and still score below who always gives that one.
    """
    if metrics["intervals"][metrics["main"]]["low"] > chance:
        return True
    balanced = metrics["intervals"].get("balanced_acc")
    if balanced is None:
        return False
    labels = {line["right"] for line in predictions}
    return bool(balanced["low"] > 1 / len(labels))
