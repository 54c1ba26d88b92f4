"""Scores of single items and their means: the harness's own would be fetched from the hub."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from lm_eval.api.metrics import mean

from components.evaluate.rouge import rouge2

_NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?")
# Quotation marks and full stops around an answer are style, not content.
_AROUND = " 　。、．，,.「」『』\"'“”"

Item = dict[str, Any]
Metrics = dict[str, Callable[[Sequence[Any]], float]]
"""How the values of all items become one score, by metric."""


def choice_scores(item: Item, likelihoods: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """For choices of each item's own. acc: the likeliest is right; acc_norm: the likeliest per character."""
    total = [likelihood for likelihood, _ in likelihoods]
    per_character = [value / len(text) for value, text in zip(total, item["texts"], strict=True)]
    return {
        "acc": float(_argmax(total) == item["label"]),
        "acc_norm": float(_argmax(per_character) == item["label"]),
    }


def label_scores(item: Item, likelihoods: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """For labels that all items share; they are of one length, so there is nothing to normalise."""
    chosen = _argmax([likelihood for likelihood, _ in likelihoods])
    return {"acc": float(chosen == item["label"]), "balanced_acc": (item["label"], chosen)}


def answer_scores(item: Item, generated: Sequence[str]) -> dict[str, float]:
    """exact_match and character F1 against the best of the right answers."""
    answer = normalized(generated[0])
    right = [normalized(text) for text in item["answers"]]
    return {
        "exact_match": float(answer in right),
        "f1": max(character_f1(answer, text) for text in right),
    }


def number_scores(item: Item, generated: Sequence[str]) -> dict[str, float]:
    """Whether the number that the solution ends with is right; see `last_number`."""
    return {"acc": float(last_number(generated[0]) == last_number(item["answers"][0]))}


def last_number(solution: str) -> float | None:
    """The first number after GSM8K's mark `####`, or else the last of all; full-width figures count."""
    text = unicodedata.normalize("NFKC", solution)
    _, mark, after = text.partition("####")
    found = _NUMBER.findall(after if mark else text)
    return float(found[0 if mark else -1].replace(",", "")) if found else None


def summary_scores(item: Item, generated: Sequence[str]) -> dict[str, float]:
    return {"rouge2": rouge2(item["answers"][0], generated[0])}


def normalized(answer: str) -> str:
    """Compatibility forms folded, and what stands around the answer removed: a leading space too."""
    return unicodedata.normalize("NFKC", answer).strip().strip(_AROUND)


def character_f1(answer: str, right: str) -> float:
    """F1 of the characters as bags, as JGLUE does for want of agreed words."""
    common = (Counter(answer) & Counter(right)).total()
    return 2 * common / (len(answer) + len(right)) if common else 0.0


def balanced_accuracy(pairs: Sequence[tuple[int, int]]) -> float:
    """Mean of the accuracies within each right label: a model that always says one word gets 1/labels."""
    hits = defaultdict(list)
    for right, chosen in pairs:
        hits[right].append(right == chosen)
    return mean([mean(values) for values in hits.values()])


Scorer = Callable[[Item, Sequence[Any]], dict[str, Any]]

CHOICES: tuple[Scorer, Metrics] = (choice_scores, {"acc": mean, "acc_norm": mean})
LABELLED: tuple[Scorer, Metrics] = (label_scores, {"acc": mean, "balanced_acc": balanced_accuracy})
ANSWERS: tuple[Scorer, Metrics] = (answer_scores, {"exact_match": mean, "f1": mean})
NUMBERS: tuple[Scorer, Metrics] = (number_scores, {"acc": mean})
SUMMARIES: tuple[Scorer, Metrics] = (summary_scores, {"rouge2": mean})


def _argmax(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)
