"""Evaluation folders as the stage writes them, from the items' scores."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kajiya.intervals import classes, estimate

Scores = Mapping[str, Sequence[float]]
"""By metric; the first is the task's main one."""


def write_evaluation(
    folder: Path,
    tasks: Mapping[tuple[str, int], Scores],
    *,
    ids: Sequence[str] | None = None,
    right: Sequence[Any] | None = None,
    shuffle: int | None = None,
    prompts: str = "0.2",
    **changes: Any,
) -> Path:
    """changes: top keys of results.json to set. shuffle: a seed for the order of the lines."""
    results: dict[str, Any] = {
        "harness": "lm-eval 0.4.13",
        "prompt_version": prompts,
        "choices": "listed",
        "chat_template": False,
        "dtype": "float32",
        "seed": 1,
        "data_versions": {task: {"version": "1.3", "sha256": "ab" * 32} for task, _ in tasks},
        "perplexity": {"wikipedia": {"perplexity": 12.5, "bits_per_byte": 1.1, "tokens": 1000}},
        "tasks": {},
    }
    lines = []
    for (task, shots), scores in tasks.items():
        main = next(iter(scores))
        count = len(scores[main])
        names = list(ids or (f"{number:05d}" for number in range(count)))
        labels = list(right or ["positive"] * count)
        stated: dict[str, Any] = {
            metric: round(float(np.mean(values)), 6) for metric, values in scores.items()
        }
        if right:
            stated["balanced_acc"] = round(estimate(classes(labels, scores["acc"])), 6)
        stated |= {"n": count, "main": main, "prompts": prompts, "stderr": 0.01, "truncated": 0}
        results["tasks"].setdefault(task, {})[str(shots)] = stated
        lines += [
            {
                "task": task,
                "shots": shots,
                "id": names[number],
                "right": labels[number],
                "prediction": labels[number] if scores[main][number] else "?",
                "scores": {metric: float(values[number]) for metric, values in scores.items()},
            }
            for number in range(count)
        ]
    if shuffle is not None:
        np.random.default_rng(shuffle).shuffle(lines)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results | changes, ensure_ascii=False), encoding="utf-8")
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / "predictions.jsonl").write_text(text, encoding="utf-8")
    return folder


def hits(count: int, of: int) -> list[float]:
    """The first `count` right, the others wrong."""
    return [1.0] * count + [0.0] * (of - count)
