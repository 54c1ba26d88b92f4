"""Contenders of the evaluation benchmark; `python -m benchmarks.evaluators NAME OPTIONS` is one of them.

Both run the same tasks, of the same items and wording, through lm-eval's `evaluate`: ours with the model object of the
stage, the peer with lm-eval's own HFLM. Choices are cut where lm-eval cuts them, so that both get the same tokens.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.contender import Ready, serve
from components.evaluate import EvaluateSettings, load_sets
from components.evaluate.models import trained_model
from components.evaluate.tasks import LocalTask, build_task

_WARM = 2
"""Items of each task before anything is measured."""


def prepare_ours(
    model: str, sets: str, tasks: Mapping[str, Any], settings: Mapping[str, Any], batch: Any = None
) -> Ready:
    """The model object of the stage `evaluate`. batch: tokens at once; its default where there is none."""
    more = {} if batch is None else {"batch_tokens": batch}
    config = _config(tasks, settings | more)
    loaded = trained_model(Path(model), config)
    loaded.as_harness = {f"{name}@{one['shots']}" for name, one in tasks.items()}
    return _ready(loaded, config, Path(sets), tasks, f"batch_tokens {config.batch_tokens}")


def prepare_plain(
    model: str, sets: str, tasks: Mapping[str, Any], settings: Mapping[str, Any], batch: Any
) -> Ready:
    """lm-eval's HFLM as its users call it; its softmax in float32 as ours, which costs nothing in float32."""
    from lm_eval.models.huggingface import HFLM  # noqa: PLC0415 - one contender, one import

    config = _config(tasks, settings)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = HFLM(
        pretrained=model, device=device, dtype=config.dtype, batch_size=batch, softmax_dtype="float32"
    )
    loaded.softmax_dtype = torch.float32
    return _ready(loaded, config, Path(sets), tasks, f"HFLM, batch_size {batch}")


def _config(tasks: Mapping[str, Any], settings: Mapping[str, Any]) -> EvaluateSettings:
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    shots = {name: (one["shots"],) for name, one in tasks.items()}
    return EvaluateSettings.model_validate(
        {"tasks": tuple(tasks), "shots": shots, "english": False, **settings}
    )


def _ready(model: Any, config: EvaluateSettings, folder: Path, asked: Mapping[str, Any], told: str) -> Ready:
    from lm_eval.evaluator import evaluate  # noqa: PLC0415 - seconds, and the stage imports it itself

    sets = load_sets(config, folder)
    tasks = {name: _task(name, one, config, sets) for name, one in asked.items()}

    def ask(name: str, items: int) -> dict[str, Any]:
        key = tasks[name].task_name
        _synchronize()
        cpu, wall = time.process_time(), time.perf_counter()
        answer = evaluate(model, {"tasks": {key: tasks[name]}}, limit=items, bootstrap_iters=1)
        _synchronize()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        return {"cpu": cpu, "wall": wall, **_said(answer, key)}

    def work() -> dict[str, Any]:
        return {name: ask(name, one["items"]) for name, one in asked.items()}

    for name in asked:
        ask(name, _WARM)
    return Ready(work, 0, f"{told}, {model.model.dtype}, {torch.get_num_threads()} threads")


def _task(name: str, one: Mapping[str, Any], config: EvaluateSettings, sets: Any) -> LocalTask:
    task = build_task(name, one["shots"], config, sets)
    if "new_tokens" in one:
        options = json.loads(json.dumps(task.config.generation_kwargs)) | {"max_gen_toks": one["new_tokens"]}
        task.set_config("generation_kwargs", options)
    return task


def _said(answer: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Scores, and what the model answered to each item: likelihoods, or a text."""
    samples = sorted(answer["samples"][key], key=lambda sample: sample["doc_id"])
    scores = {name: value for name, value in answer["results"][key].items() if isinstance(value, int | float)}
    said = [
        [one[0] if isinstance(one, list | tuple) else one for one in s["filtered_resps"]] for s in samples
    ]
    return {"scores": scores, "answers": said, "requests": sum(map(len, said))}


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


PREPARE: dict[str, Callable[..., Ready]] = {"ours": prepare_ours, "plain": prepare_plain}

if __name__ == "__main__":
    serve(PREPARE)
