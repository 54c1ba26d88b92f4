"""Tasks of the harness over local evaluation sets, worded by our prompts or by the harness's own task files."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Dataset, disable_progress_bars
from lm_eval.api.metrics import mean
from lm_eval.api.task import ConfigurableTask

from components.evaluate import harness_files
from components.evaluate.catalog import facts_of
from components.evaluate.fields import LABELS, Fields, fields_of
from components.evaluate.metrics import (
    ANSWERS,
    CHOICES,
    LABELLED,
    NUMBERS,
    SUMMARIES,
    Metrics,
    Scorer,
    balanced_accuracy,
    label_scores,
)
from components.evaluate.rouge import tagger
from kajiya.errors import KajiyaError
from kajiya.evaluation_items import (
    JAQKET,
    JNLI,
    Arithmetic,
    Item,
    JCommonsenseQA,
    JSQuAD,
    MARCJa,
    MultipleChoice,
    XLSum,
    XWinograd,
)
from kajiya.evaluation_sets import EvaluationSet
from kajiya.settings import load_yaml

if TYPE_CHECKING:
    from components.evaluate import EvaluateSettings
    from components.evaluate.sets import Sets

_PROMPTS = Path(__file__).parent / "prompts"
# How items of each kind are scored, and the key of their prompts.
_KINDS: dict[type[Item], tuple[str, tuple[Scorer, Metrics]]] = {
    JCommonsenseQA: ("jcommonsenseqa", CHOICES),
    XWinograd: ("xwinograd_ja", CHOICES),
    MultipleChoice: ("multiple_choice", CHOICES),
    JNLI: ("jnli", LABELLED),
    MARCJa: ("marc_ja", LABELLED),
    JSQuAD: ("jsquad", ANSWERS),
    JAQKET: ("jaqket_v2", ANSWERS),
    Arithmetic: ("mgsm", NUMBERS),
    XLSum: ("xlsum_ja", SUMMARIES),
}
HARNESS_SEED = 1234
"""What lm-eval draws its examples by, unless told otherwise: published scores rest on it."""


class LocalTask(ConfigurableTask):
    """A task of the harness over items that are in memory: nothing is downloaded."""

    prompts: str
    """Version of the wording, as it stands beside the scores."""
    own: list[Fields]
    """Of each item asked, what our prompts and metrics read."""

    def __init__(self, config: dict[str, Any], splits: dict[str, list[Fields]]) -> None:
        self._splits = {split: Dataset.from_list(docs) for split, docs in splits.items()}
        super().__init__(config=config)

    def download(self, *_: object, **__: object) -> None:
        self.dataset = self._splits


class HarnessTask(LocalTask):
    """A task file of the harness as it is; for labels balanced accuracy stands beside its metrics."""

    labelled: bool = False

    def process_results(self, doc: Fields, results: Sequence[Any]) -> dict[str, Any]:
        scores: dict[str, Any] = super().process_results(doc, results)
        for metric, value in scores.items():
            if not isinstance(value, int | float | np.number):
                # XLSum: the harness scores all summaries together. Alone, each has a score of its own.
                scores[metric] = float(super().aggregation()[metric]([value]))
        if self.labelled:
            scores["balanced_acc"] = label_scores(doc, results)["balanced_acc"]
        return scores

    def aggregation(self) -> dict[str, Any]:
        # The mean, where the harness has it too, or the median of a thousand unseeded means (XLSum).
        return dict.fromkeys(super().aggregation(), mean) | {"balanced_acc": balanced_accuracy}


def build_task(name: str, shots: int, config: "EvaluateSettings", sets: "Sets") -> LocalTask:
    """One task with one number of shots, its examples drawn by the seed."""
    loaded = sets[name]
    kind = type(loaded["valid"].items[0])
    if kind not in _KINDS:
        raise KajiyaError(
            f"evaluate.tasks: {name} is a set of {kind.__name__} records, which no task here asks. Take it out of the"
            " list: texts are for perplexity, open questions for a judge."
        )
    if kind is XLSum:
        tagger()  # fails now where it is missing, and not when all summaries are written
    examples = "train" if "train" in loaded else "valid"
    _check_shots(name, shots, loaded[examples])
    version = config.prompts_of.get(name, config.prompts)
    own = {split: [fields_of(item) for item in one.items] for split, one in loaded.items()}
    common = {
        "task": f"{name}@{shots}",
        "num_fewshot": shots,
        # The harness keeps an item out of its own examples only if both splits carry one name,
        # and that as `test_split`.
        "test_split": "valid",
        "fewshot_split": examples,
        "training_split": None,
        "validation_split": None,
    }
    if version == "harness":
        disable_progress_bars()
        content, prompts = harness_files.content(name)
        docs = {split: [harness_files.doc(item) for item in one.items] for split, one in loaded.items()}
        task: LocalTask = HarnessTask(content | common, docs)
        task.labelled = kind in LABELS
        task.set_fewshot_seed(HARNESS_SEED)
    else:
        content, prompts = _own_content(version, kind, loaded["valid"], config.choices)
        task = LocalTask(content | common, own)
        task.set_fewshot_seed(config.seed)
    task.prompts, task.own = prompts, own["valid"]
    return task


def _check_shots(name: str, shots: int, one: EvaluationSet) -> None:
    if shots and shots >= len(one.items):
        raise KajiyaError(
            f"evaluate.shots: {shots} examples of {name} asked for, but its {one.split} split has"
            f" {len(one.items)} items. Lower the number or bring more items."
        )


def _own_content(
    version: str, kind: type[Item], asked: EvaluationSet, choices: str
) -> tuple[dict[str, Any], str]:
    """The harness's configuration of a kind of items in one of our wordings, and the wording's name."""
    sections = _prompt_file(version)
    key, (score, aggregations) = _KINDS[kind]
    if kind is MultipleChoice:
        key = f"multiple_choice_{asked.language}"
    if kind is Arithmetic and asked.language == "en":
        key = "arithmetic_en"
    cloze = f"{key}_cloze"
    if choices == "cloze" and cloze in sections:
        key, version = cloze, f"{version} cloze"
    content = sections["defaults"] | sections[key]
    if aggregations in (CHOICES[1], LABELLED[1]):
        content |= {"output_type": "multiple_choice", "doc_to_target": "label"}
        content.setdefault("doc_to_choice", "texts")
        assert content["doc_to_choice"] == "texts" or content["doc_to_choice"] == list(LABELS[kind])
    else:
        content |= {"output_type": "generate_until", "doc_to_target": "answer"}
    metrics = [
        {"metric": metric, "aggregation": aggregate, "higher_is_better": True}
        for metric, aggregate in aggregations.items()
    ]
    return content | {"process_results": score, "metric_list": metrics}, version


def shorter_wordings(name: str, config: "EvaluateSettings", sets: "Sets", context: int) -> list[str]:
    """Our wordings of a task that lets a model write, which leave room in `context` tokens for the question."""
    asked = sets[name]["valid"]
    found = []
    for version in sorted(path.stem for path in _PROMPTS.glob("*.yaml")):
        content, _ = _own_content(version, type(asked.items[0]), asked, config.choices)
        if content.get("generation_kwargs", {}).get("max_gen_toks", context) < context:
            found.append(version)
    return found


@cache
def _prompt_file(version: str) -> dict[str, Any]:
    return load_yaml(_PROMPTS / f"{version}.yaml")


def main_metric(name: str, metrics: Sequence[str]) -> str:
    """The metric that stands for a task; of the harness's task files the first where it is called otherwise."""
    main = facts_of(name).main
    return main if main in metrics else metrics[0]
