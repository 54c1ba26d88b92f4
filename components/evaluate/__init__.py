"""Task scores and perplexities of one model.

The last part of OUT names the variant. lm-evaluation-harness runs multiple choice by comparing the
log-likelihoods of the choices, and questions by greedy generation, each for several numbers of shots, on
the files in EVALUATION_SETS and never on the network. Prompts are the wordings in components/evaluate/prompts
or the task files that lm-eval ships; a change of a wording makes a new version. Examples for few shots come
from the training split, or else from other items of the split that is asked. docs/evaluation.md tells all.

Perplexity is measured per source on the validation tokens of the recipe, and on the English set, per
token and also as bits per byte, which compares models with different tokenizers.

OUT holds `results.json` (scores with their intervals, data version, prompt version and shots; means over
the published suites; what was skipped and why), `predictions.jsonl` (what the model answered to each item,
and its scores) and `samples.jsonl` (texts that it wrote, for a person to read). For the base model the report
can show a freshly initialised model of the same shape beside it: what is above that line, training has brought.
"""

import difflib
import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt, model_validator

from components.evaluate.catalog import TASKS
from components.evaluate.samples import SampleSettings, write_samples
from components.evaluate.sets import load_sets, locate_sets, versions
from kajiya.report import Report
from kajiya.settings import Settings
from kajiya.shards import write_file


def _as_written(version: Any) -> Any:
    """YAML reads 0.2 without quotes as a number."""
    return str(version) if isinstance(version, float) else version


PromptVersion = Annotated[Literal["0.1", "0.2", "0.3", "harness"], BeforeValidator(_as_written)]


class EvaluateSettings(Settings):
    tasks: tuple[str, ...] = ("jcommonsenseqa", "jnli", "marc_ja", "jsquad")
    """Tasks to run, each on the evaluation set of its name: jcommonsenseqa, jnli, marc_ja, jsquad, jaqket_v2,
    xlsum_ja, xwinograd_ja, mgsm, mgsm_en, gsm8k, and any set of multiple choice by its own name."""
    data: dict[str, str] = Field(default_factory=dict)
    """Folder or file below the evaluation sets that a task reads, where it is not called like the task."""
    skip: dict[str, str] = Field(default_factory=dict)
    """Tasks whose set is missing, each with the reason; it stands in the results."""
    shots: dict[str, tuple[NonNegativeInt, ...]] = Field(default_factory=dict)
    """Numbers of solved examples before each question, per task. A task left out has the published number, and
    JGLUE's tasks none beside it."""
    limit: dict[str, PositiveInt] = Field(default_factory=dict)
    """Most items per task, chosen by the seed. A task left out runs whole."""
    prompts: PromptVersion = "0.1"
    """Wording of the prompts: ours in three styles, or `harness` for the task files of the installed lm-eval."""
    prompts_of: dict[str, PromptVersion] = Field(default_factory=dict)
    """Wording for single tasks."""
    choices: Literal["listed", "cloze"] = "listed"
    """Multiple choice in wording 0.1: list the choices in the prompt, or only ask. Below about 1B parameters: cloze."""
    borders: Literal["auto", "shared", "harness"] = "auto"
    """Where scoring of a choice begins. shared: at the last token that all choices of an item leave as it is;
    harness: where lm-eval begins; auto: as lm-eval for its own task files, else shared."""
    chat_variants: tuple[str, ...] = ()
    """Variants to ask through their tokenizer's chat template: such as were tuned. The others continue text."""
    english: bool = True
    """Measure perplexity on the set `english`."""
    perplexity_tokens: PositiveInt = 1_000_000
    """Most validation tokens, and most English tokens, to measure perplexity on."""
    compare_untrained: bool = False
    """For the variant base: also score a freshly initialised model, on JCommonsenseQA without examples."""
    batch_tokens: PositiveInt = 2048
    """Tokens computed at once, padding included; halved where an accelerator has no memory for them. Another
    number may change the last digits."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the computation. auto: as the model is stored."""
    samples: SampleSettings = SampleSettings()
    """Texts that the model writes for a person to read, in samples.jsonl and on the report's page."""
    seed: int = 20260101
    """Chooses items, examples, validation sequences, and the untrained model's weights."""

    def check_sets(self, evaluation_sets: Path) -> None:
        locate_sets(self, evaluation_sets)

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        if self.compare_untrained and "jcommonsenseqa" not in self.tasks:
            raise ValueError("compare_untrained needs jcommonsenseqa among the tasks: add it")
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError("a task stands twice in tasks: name it once")
        if odd := [name for name in self.tasks if "/" in name or "@" in name]:
            raise ValueError(f"tasks: `{odd[0]}` is no name; name the folder of its set in data")
        known = {*TASKS, *self.tasks, "english"}
        for setting in ("data", "shots", "limit", "prompts_of"):
            for name in getattr(self, setting):
                if name not in known:
                    near = difflib.get_close_matches(name, known, 1)
                    hint = f"did you mean `{near[0]}`?" if near else "add it to tasks"
                    raise ValueError(f"{setting}: no task is called `{name}`: {hint}")
        return self


def run(config: EvaluateSettings, model: Path, tokens: Path, evaluation_sets: Path, *, out: Path) -> Report:
    """Score the model in folder `model`; `tokens` is the token folder of its recipe."""
    sets = load_sets(config, evaluation_sets)
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    # The harness and torch take eight seconds to import: --help and a missing set do not wait.
    from components.evaluate.models import harness_version, trained_model, untrained_model  # noqa: PLC0415
    from components.evaluate.perplexity import measure_perplexity  # noqa: PLC0415
    from components.evaluate.scores import score_tasks, suite_scores  # noqa: PLC0415

    loaded = trained_model(model, config)
    chat = out.name in config.chat_variants
    tasks, predictions = score_tasks(loaded, config, sets, chat=chat)
    results: dict[str, Any] = {
        "harness": harness_version(),
        "prompt_version": config.prompts,
        "choices": config.choices,
        "chat_template": chat,
        "dtype": str(loaded.model.dtype).removeprefix("torch."),
        "seed": config.seed,
        "data_versions": {name: versions(splits) for name, splits in sets.items()},
        "tasks": tasks,
        "suites": suite_scores(tasks, predictions),
        "skipped": config.skip,
        "perplexity": measure_perplexity(loaded, config, tokens, sets.get("english")),
    }
    if config.compare_untrained and out.name == "base":
        fresh = untrained_model(model, config)
        results["untrained"] = score_tasks(fresh, _zero_shot_only(config), sets, chat=False)[0]
    written = json.dumps(results, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False)
    write_file(out / "results.json", written + "\n")
    lines = (json.dumps(one, ensure_ascii=False, allow_nan=False) + "\n" for one in predictions)
    write_file(out / "predictions.jsonl", "".join(lines))
    write_file(out / "samples.jsonl", write_samples(loaded, config.samples, config.seed))
    shown = ("tasks", "suites", "skipped", "perplexity", "untrained")
    return Report(figures={key: value for key, value in results.items() if key in shown})


def _zero_shot_only(config: EvaluateSettings) -> EvaluateSettings:
    return config.model_copy(update={"tasks": ("jcommonsenseqa",), "shots": {"jcommonsenseqa": (0,)}})
