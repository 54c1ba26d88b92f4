"""Tasks of the harness from our task files and local evaluation sets."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from lm_eval.api.task import ConfigurableTask

from components.evaluate.metrics import ANSWERS, CHOICES, LABELS
from kajiya.errors import KajiyaError
from kajiya.evaluation_items import JNLI, JCommonsenseQA, JSQuAD, MARCJa
from kajiya.settings import load_yaml

if TYPE_CHECKING:
    from components.evaluate import EvaluateSettings, Sets, TaskName

_FILES = Path(__file__).parent / "prompts"
_JNLI_LABELS = ("entailment", "contradiction", "neutral")  # in the order of jnli.yaml's choices
_MARC_LABELS = ("positive", "negative")


class LocalTask(ConfigurableTask):
    """A task of the harness over items that are in memory: nothing is downloaded."""

    def __init__(self, config: dict[str, Any], splits: dict[str, Dataset]) -> None:
        self._splits = splits
        super().__init__(config=config)

    def download(self, *_: object, **__: object) -> None:
        self.dataset = self._splits


def build_task(name: "TaskName", shots: int, config: "EvaluateSettings", sets: "Sets") -> LocalTask:
    """One task with one number of shots, its examples drawn by the seed."""
    content = load_yaml(
        _FILES / (f"{name}_{config.choices}.yaml" if name == "jcommonsenseqa" else f"{name}.yaml")
    )
    labels = content.get("doc_to_choice")
    splits = {
        split: Dataset.from_list([_fields(item, labels) for item in loaded.items])
        for split, loaded in sets[name].items()
    }
    examples = "train" if "train" in splits else "valid"
    if shots >= len(splits[examples]):
        raise KajiyaError(
            f"evaluate.shots: {shots} examples of {name} asked for, but its {examples} split has"
            f" {len(splits[examples])} items. Lower the number or bring more items."
        )
    score, aggregations = ANSWERS if labels is None else LABELS if isinstance(labels, list) else CHOICES
    task = LocalTask(
        content
        | {
            "task": f"{name}@{shots}",
            "num_fewshot": shots,
            # The harness keeps an item out of its own examples only if both splits carry one name,
            # and that as `test_split`.
            "test_split": "valid",
            "fewshot_split": examples,
            "process_results": score,
            "metric_list": [
                {"metric": metric, "aggregation": aggregate, "higher_is_better": True}
                for metric, aggregate in aggregations.items()
            ],
        },
        splits,
    )
    task.set_fewshot_seed(config.seed)
    return task


def _fields(item: Any, labels: Any) -> dict[str, Any]:
    """What the templates of the task file and the metrics read."""
    match item:
        case JCommonsenseQA():
            choices = list(item.choices)
            return {
                "id": item.id,
                "question": item.question,
                "choices": choices,
                "texts": choices,
                "label": item.label,
            }
        case JNLI():
            pair = {"premise": item.sentence1, "hypothesis": item.sentence2}
            return {"id": item.id, **pair, "texts": labels, "label": _JNLI_LABELS.index(item.label)}
        case MARCJa():
            return {
                "id": item.id,
                "text": item.text,
                "texts": labels,
                "label": _MARC_LABELS.index(item.label),
            }
        case JSQuAD():
            answers = [answer.text for answer in item.answers]
            passage = {"title": item.title, "context": item.body, "question": item.question}
            return {"id": item.id, **passage, "answers": answers, "answer": answers[0]}
    raise TypeError(f"no task for {type(item).__name__}")
