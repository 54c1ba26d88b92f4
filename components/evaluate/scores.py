"""Run the tasks through the harness and bring its answer into our shape."""

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from lm_eval.evaluator import evaluate

from components.evaluate import shots_of
from components.evaluate.tasks import LocalTask, build_task
from kajiya.errors import KajiyaError
from kajiya.lm.packing import order

if TYPE_CHECKING:
    from components.evaluate import EvaluateSettings, Sets
    from components.evaluate.models import SharedPrefixModel

Scores = dict[str, dict[str, dict[str, Any]]]
"""By task and number of shots: metrics, n, stderr, truncated."""


def score_tasks(
    model: "SharedPrefixModel", config: "EvaluateSettings", sets: "Sets", *, chat: bool
) -> tuple[Scores, list[str]]:
    """Scores of every task and number of shots, and the predictions as lines of JSON."""
    if chat and not model.tokenizer.chat_template:
        raise KajiyaError(
            "evaluate.chat_variants names this variant, but its tokenizer has no chat template. Take it out there."
        )
    tasks: dict[str, LocalTask] = {}
    samples: dict[str, list[int]] = {}
    for name in config.tasks:
        for shots in shots_of(config, name):
            task = build_task(name, shots, config, sets)
            tasks[task.task_name] = task
            samples[task.task_name] = chosen_items(len(task.eval_docs), config.limit.get(name), config.seed)
    if not tasks:
        return {}, []
    answer = evaluate(
        model,
        {"tasks": tasks},
        samples=samples,
        bootstrap_iters=1,  # none of our scores needs it, but 0 also drops the standard error of means
        apply_chat_template=chat,
        fewshot_as_multiturn=chat,
    )
    scores: Scores = {}
    for key in tasks:
        name, shots = key.split("@")
        scores.setdefault(name, {})[shots] = _scores(answer["results"][key], len(model.truncated[key]))
    return scores, [_prediction(key, sample) for key in tasks for sample in answer["samples"][key]]


def chosen_items(count: int, limit: int | None, seed: int) -> list[int]:
    """Indexes of the items to ask, in order. A larger limit keeps the items of a smaller one."""
    return sorted(int(index) for index in order(seed, 0, count)[:limit])


def _scores(result: dict[str, Any], truncated: int) -> dict[str, Any]:
    """The harness's "acc,none" and "acc_stderr,none" as acc and stderr (of the first metric)."""
    values = {key.partition(",")[0]: value for key, value in result.items() if "," in key}
    metrics = {key: round(float(value), 6) for key, value in values.items() if not key.endswith("_stderr")}
    error = next(value for key, value in values.items() if key.endswith("_stderr"))
    stderr = None if error == "N/A" or math.isnan(error) else round(float(error), 6)
    return metrics | {"stderr": stderr, "n": result["sample_len"], "truncated": truncated}


def _prediction(key: str, sample: dict[str, Any]) -> str:
    name, shots = key.split("@")
    doc, response = sample["doc"], sample["filtered_resps"]
    record = {"task": name, "shots": int(shots), "id": doc["id"]}
    if "answers" in doc:
        record |= {"right": doc["answers"], "prediction": response[0]}
    else:
        likelihoods = [round(value, 4) for value, _ in response]
        chosen = doc["texts"][int(np.argmax([value for value, _ in response]))]
        record |= {"right": doc["texts"][doc["label"]], "prediction": chosen, "likelihoods": likelihoods}
    return json.dumps(record, ensure_ascii=False) + "\n"
