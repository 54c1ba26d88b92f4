"""JGLUE scores and perplexities of one model.

The last part of OUT names the variant. lm-evaluation-harness runs
JCommonsenseQA, JNLI and MARC-ja by comparing the log-likelihoods of the choices, and JSQuAD by greedy
generation, each for several numbers of shots, on the files in EVALUATION_SETS and never on the
network. Prompts are the task files in components/evaluate/prompts; a change there raises PROMPT_VERSION.
Examples for few shots come from the training split, or else from other items of the validation split.

Perplexity is measured per source on the validation tokens of the recipe, and on the English set, per
token and also as bits per byte, which compares models with different tokenizers.

OUT holds `results.json` (scores with data version, prompt version and shots), `predictions.jsonl`
(what the model answered to each item) and `samples.jsonl` (texts that it wrote, for a person to read). For the base model the report can show a freshly
initialised model of the same shape beside it: what is above that line, training has brought.
"""

import json
import os
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from components.evaluate.samples import SampleSettings, write_samples
from kajiya.errors import KajiyaError
from kajiya.evaluation_sets import EvaluationSet, list_sets, list_splits, load_set
from kajiya.report import Report
from kajiya.settings import Settings
from kajiya.shards import write_file

TaskName = Literal["jcommonsenseqa", "jnli", "marc_ja", "jsquad"]
Sets = dict[str, dict[str, EvaluationSet]]
"""By name and split."""

PROMPT_VERSION = "0.1"
# The shots of Stability's harness, which most published Japanese scores follow, and none beside them.
_SHOTS: dict[TaskName, tuple[int, ...]] = {
    "jcommonsenseqa": (0, 3),
    "jnli": (0, 3),
    "marc_ja": (0, 3),
    "jsquad": (0, 2),
}


class EvaluateSettings(Settings):
    tasks: tuple[TaskName, ...] = tuple(_SHOTS)
    """Tasks to run; each needs its folder among the evaluation sets."""
    shots: dict[TaskName, tuple[int, ...]] = Field(default_factory=lambda: dict(_SHOTS))
    """Numbers of solved examples before each question, per task. A task left out keeps its default."""
    limit: dict[TaskName, PositiveInt] = Field(default_factory=dict)
    """Most items per task, chosen by the seed. A task left out runs whole."""
    choices: Literal["listed", "cloze"] = "listed"
    """JCommonsenseQA: list the choices in the prompt, or only ask. Below about 1B parameters: cloze."""
    chat_variants: tuple[str, ...] = ()
    """Variants to ask through their tokenizer's chat template: such as were tuned. The others continue text."""
    english: bool = True
    """Measure perplexity on the set `english`."""
    perplexity_tokens: PositiveInt = 1_000_000
    """Most validation tokens, and most English tokens, to measure perplexity on."""
    compare_untrained: bool = False
    """For the variant base: also score a freshly initialised model, on JCommonsenseQA without examples."""
    batch_size: PositiveInt = 16
    """Requests per forward pass. Another size may change the last digits."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the computation. auto: as the model is stored."""
    samples: SampleSettings = Field(default_factory=SampleSettings)
    """Texts that the model writes for a person to read, in samples.jsonl and on the report's page."""
    seed: int = 20260101
    """Chooses items, examples, validation sequences, and the untrained model's weights."""

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        if self.compare_untrained and "jcommonsenseqa" not in self.tasks:
            raise ValueError("compare_untrained needs jcommonsenseqa among the tasks: add it")
        return self


def run(config: EvaluateSettings, model: Path, tokens: Path, evaluation_sets: Path, *, out: Path) -> Report:
    """Score the model in folder `model`; `tokens` is the token folder of its recipe."""
    sets = load_sets(config, evaluation_sets)
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    # The harness and torch take eight seconds to import: --help and a missing set do not wait.
    from components.evaluate.models import harness_version, trained_model, untrained_model  # noqa: PLC0415
    from components.evaluate.perplexity import measure_perplexity  # noqa: PLC0415
    from components.evaluate.scores import score_tasks  # noqa: PLC0415

    loaded = trained_model(model, config)
    chat = out.name in config.chat_variants
    tasks, predictions = score_tasks(loaded, config, sets, chat=chat)
    results: dict[str, Any] = {
        "harness": harness_version(),
        "prompt_version": PROMPT_VERSION,
        "choices": config.choices,
        "chat_template": chat,
        "data_versions": {name: _versions(splits) for name, splits in sets.items()},
        "tasks": tasks,
        "perplexity": measure_perplexity(loaded, config, tokens, sets.get("english")),
    }
    if config.compare_untrained and out.name == "base":
        fresh = untrained_model(model, config)
        results["untrained"] = score_tasks(fresh, _zero_shot_only(config), sets, chat=False)[0]
    write_file(out / "results.json", json.dumps(results, ensure_ascii=False, indent=2, sort_keys=True) + "\n")
    write_file(out / "predictions.jsonl", "".join(predictions))
    write_file(out / "samples.jsonl", write_samples(loaded, config.samples, config.seed))
    scores = {key: results[key] for key in ("tasks", "perplexity", "untrained") if key in results}
    return Report(figures=scores)


def load_sets(config: EvaluateSettings, folder: Path) -> Sets:
    """The sets that the settings ask for. Raises KajiyaError for one that the folder does not have."""
    present = list_sets(folder)
    wanted = [*config.tasks, *(["english"] if config.english else [])]
    sets: Sets = {}
    for name in wanted:
        if name not in present:
            remedy = (
                "set evaluate.english to false" if name == "english" else "leave it out of evaluate.tasks"
            )
            raise KajiyaError(f"{folder / name}: no such folder. Put the set {name} there, or {remedy}.")
        splits = list_splits(folder, name)
        few_shot = name != "english" and max(shots_of(config, name), default=0) > 0
        used = ["valid", *(["train"] if few_shot and "train" in splits else [])]
        sets[name] = {split: load_set(folder, name, split) for split in used}
    return sets


def shots_of(config: EvaluateSettings, task: TaskName) -> tuple[int, ...]:
    return config.shots.get(task, _SHOTS[task])


def _versions(splits: dict[str, EvaluationSet]) -> dict[str, Any]:
    """Of the validation split, and of the split the examples come from where it is another file."""
    versions: dict[str, Any] = {"version": splits["valid"].version, "sha256": splits["valid"].sha256}
    if "train" in splits:
        versions["examples"] = {"version": splits["train"].version, "sha256": splits["train"].sha256}
    return versions


def _zero_shot_only(config: EvaluateSettings) -> EvaluateSettings:
    return config.model_copy(update={"tasks": ("jcommonsenseqa",), "shots": {"jcommonsenseqa": (0,)}})
