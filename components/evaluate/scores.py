"""Run the tasks through the harness and bring its answer into our shape."""

import math
from collections import defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from lm_eval.evaluator import evaluate

from components.evaluate.sets import shots_of
from components.evaluate.tasks import LocalTask, build_task, main_metric, shorter_wordings
from kajiya.errors import KajiyaError
from kajiya.intervals import Interval, balanced, bootstrap, mean, mean_interval, wilson
from kajiya.lm.packing import order
from kajiya.suites import PUBLISHED_SHOTS, SUITES

if TYPE_CHECKING:
    from components.evaluate import EvaluateSettings
    from components.evaluate.models import SharedPrefixModel
    from components.evaluate.sets import Sets

Scores = dict[str, dict[str, dict[str, Any]]]
"""By task and number of shots: metrics, main, intervals, prompts, n, stderr, truncated, merged."""
Prediction = dict[str, Any]


def score_tasks(
    model: "SharedPrefixModel", config: "EvaluateSettings", sets: "Sets", *, chat: bool
) -> tuple[Scores, list[Prediction]]:
    """Scores of every task and number of shots, and what the model answered to each item."""
    if chat and not model.tokenizer.chat_template:
        raise KajiyaError(
            "evaluate.chat_variants names this variant, but its tokenizer has no chat template. Take it out there."
        )
    tasks: dict[str, LocalTask] = {}
    samples: dict[str, list[int]] = {}
    for name in (one for one in config.tasks if one in sets):
        for number in shots_of(config, name):
            task = build_task(name, number, config, sets)
            _check_room(model, name, task, config, sets)
            tasks[task.task_name] = task
            samples[task.task_name] = chosen_items(len(task.eval_docs), config.limit.get(name), config.seed)
    if not tasks:
        return {}, []
    model.merged.clear()
    model.as_harness = {key for key, task in tasks.items() if _cut_as_harness(config, task)}
    answer = evaluate(
        model,
        {"tasks": tasks},
        samples=samples,
        bootstrap_iters=1,  # none of our scores needs it, but 0 also drops the standard error of means
        apply_chat_template=chat,
        fewshot_as_multiturn=chat,
    )
    scores: Scores = {}
    predictions: list[Prediction] = []
    for key, task in tasks.items():
        name, shots = key.split("@")
        made = _predictions(task, answer["samples"][key])
        found = _metrics(answer["results"][key])
        metrics = [metric for metric in found if metric not in ("stderr", "n")]
        scores.setdefault(name, {})[shots] = found | {
            "main": main_metric(name, metrics),
            "intervals": _intervals(metrics, made, config.seed),
            "prompts": _wording(config, task),
            "truncated": len(model.truncated[key]),
            "merged": model.merged[key],
        }
        predictions += made
    return scores, predictions


def _check_room(
    model: "SharedPrefixModel", name: str, task: LocalTask, config: "EvaluateSettings", sets: "Sets"
) -> None:
    """Raises KajiyaError where an answer as long as the wording allows would leave no room for its prompt."""
    if task.OUTPUT_TYPE != "generate_until":
        return
    longest = task.config.generation_kwargs.get("max_gen_toks", model.max_gen_toks)
    if longest >= model.max_length:
        shorter = shorter_wordings(name, config, sets, model.max_length)
        wording = f"give {name} the wording {' or '.join(shorter)} (evaluate.prompts_of), " if shorter else ""
        raise KajiyaError(
            f"evaluate.tasks: {name} lets the model write {longest} tokens in the wording {task.prompts}, and its whole"
            f" context is {model.max_length}: no room is left for the question. Take a model with a longer context"
            f" (pretrain.model.context), {wording}or leave {name} out of evaluate.tasks."
        )


def suite_scores(scores: Scores, predictions: list[Prediction]) -> dict[str, Any]:
    """The published means: main metrics at the published shots, in points; null where a task is missing.

    The interval is made of those of its tasks: a mean over tasks varies with the items of each of them, and with
    nothing else that is measured here.
    """
    values = _main_values(scores, predictions)
    found: dict[str, Any] = {}
    for suite, names in SUITES.items():
        keys = {name: (name, PUBLISHED_SHOTS[name]) for name in names}
        points = {
            name: round(float(np.mean(values[key])) * 100, 4) for name, key in keys.items() if key in values
        }
        missing = [name for name in names if name not in points]
        whole: dict[str, Any] = {"mean": None, "interval": None}
        if not missing:
            stated = [scores[name][str(shots)] for name, shots in keys.values()]
            bounds = [Interval(**one["intervals"][one["main"]]).times(100) for one in stated]
            interval = mean_interval(list(points.values()), bounds)
            whole = {
                "mean": round(float(np.mean(list(points.values()))), 4),
                "interval": _rounded(interval, 4),
            }
        found[suite] = whole | {"tasks": points, "missing": missing}
    return found


def _main_values(scores: Scores, predictions: list[Prediction]) -> dict[tuple[str, int], list[float]]:
    values: dict[tuple[str, int], list[float]] = defaultdict(list)
    for one in predictions:
        main = scores[one["task"]][str(one["shots"])]["main"]
        values[one["task"], one["shots"]].append(one["scores"][main])
    return values


def chosen_items(count: int, limit: int | None, seed: int) -> list[int]:
    """Indexes of the items to ask, in order. A larger limit keeps the items of a smaller one."""
    return sorted(int(index) for index in order(seed, 0, count)[:limit])


def _wording(config: "EvaluateSettings", task: LocalTask) -> str:
    """Version of the prompts, and how they are cut where it is not as usual: such scores do not compare."""
    cut = _cut_as_harness(config, task)
    if cut == task.prompts.startswith("harness"):
        return task.prompts
    return f"{task.prompts}, cut {'as lm-eval' if cut else 'at shared tokens'}"


def _cut_as_harness(config: "EvaluateSettings", task: LocalTask) -> bool:
    if config.borders == "auto":
        return task.prompts.startswith("harness")
    return config.borders == "harness"


def _metrics(result: dict[str, Any]) -> dict[str, Any]:
    """The harness's "acc,none" and "acc_stderr,none" as acc and stderr (of the first metric).

    A second filter (GSM8K's flexible-extract) gives its name to its metrics.
    """
    values = {key: value for key, value in result.items() if "," in key}
    first = next(iter(values)).partition(",")[2]
    metrics = {
        _metric_name(key, first): round(float(value), 6)
        for key, value in values.items()
        if "_stderr," not in key
    }
    error = next(value for key, value in values.items() if "_stderr," in key)
    stderr = None if error == "N/A" or math.isnan(error) else round(float(error), 6)
    return metrics | {"stderr": stderr, "n": result["sample_len"]}


def _metric_name(key: str, first: str) -> str:
    metric, _, filter_name = key.partition(",")
    return metric if filter_name == first else f"{metric}_{filter_name.replace('-', '_')}"


def _intervals(metrics: list[str], predictions: list[Prediction], seed: int) -> dict[str, dict[str, float]]:
    """95 % intervals: of shares Wilson's, of balanced accuracy by its classes, of anything else a bootstrap's."""
    found: dict[str, dict[str, float]] = {}
    for metric in metrics:
        if metric == "balanced_acc":
            right = [one["right"] for one in predictions]
            found[metric] = _rounded(balanced(right, [one["prediction"] for one in predictions]), 6)
            continue
        values = [one["scores"][metric] for one in predictions]
        share = all(value in (0.0, 1.0) for value in values)
        interval = wilson(sum(values), len(values)) if share else bootstrap(values, mean, seed)
        found[metric] = _rounded(interval, 6)
    return found


def _rounded(interval: Interval, digits: int) -> dict[str, float]:
    return {key: round(float(value), digits) for key, value in asdict(interval).items()}


def _predictions(task: LocalTask, samples: list[dict[str, Any]]) -> list[Prediction]:
    """One record per item; where the harness filters answers in several ways, the first's with all scores."""
    name, shots = task.task_name.split("@")
    first = samples[0]["filter"]
    records: dict[int, Prediction] = {}
    for sample in samples:
        record = records.setdefault(sample["doc_id"], {"task": name, "shots": int(shots)})
        if sample["filter"] == first:
            record |= {"id": task.own[sample["doc_id"]]["id"]} | _answer(task, sample) | {"scores": {}}
        for metric in sample["metrics"]:
            if metric != "balanced_acc":  # of all items together
                key = _metric_name(f"{metric},{sample['filter']}", first)
                record["scores"][key] = round(float(sample[metric]), 6)
    return list(records.values())


def _answer(task: LocalTask, sample: dict[str, Any]) -> Prediction:
    own, response = task.own[sample["doc_id"]], sample["filtered_resps"]
    if "answers" in own:
        return {"right": own["answers"], "prediction": response[0]}
    texts = task.doc_to_choice(sample["doc"])
    likelihoods = [value for value, _ in response]
    return {
        "right": texts[own["label"]],
        "prediction": texts[int(np.argmax(likelihoods))],
        "likelihoods": [round(value, 4) for value in likelihoods],
    }
