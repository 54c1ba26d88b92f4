"""Questions that a judge scores the answers to: ELYZA-tasks-100 and Japanese MT-Bench, with their references."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kajiya.errors import KajiyaError
from kajiya.evaluation_items import ElyzaTask, MTBenchAnswer, MTBenchQuestion
from kajiya.evaluation_sets import list_splits, load_set, read_records

SetName = Literal["elyza_tasks_100", "ja_mt_bench"]

NEEDS_REFERENCE = frozenset({"math", "reasoning", "coding"})
"""Categories of MT-Bench whose answers are right or wrong: the judge is shown an answer that is right."""

_REFERENCES = Path("reference_answer") / "gpt-4.jsonl"


@dataclass(frozen=True)
class Question:
    """What a model is asked, and what a judge is told beside it."""

    set: SetName
    id: str
    category: str
    """Empty where the set has none."""
    turns: tuple[str, ...]
    references: tuple[str, ...] = ()
    """An answer per turn that would earn full marks, or none."""
    criteria: str = ""
    """What the task's own makers look at."""


@dataclass(frozen=True)
class QuestionSet:
    name: SetName
    version: str
    sha256: str
    """Of the file of the questions."""
    references_sha256: str | None
    """Of the file of the references; None where they stand with the questions, or are absent."""
    questions: tuple[Question, ...]

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "sha256": self.sha256,
            "references_sha256": self.references_sha256,
        }


def load_questions(evaluation_sets: Path, name: SetName) -> QuestionSet:
    """The whole set, or what its folder holds of it. Raises KajiyaError naming file and line of what is wrong."""
    if not (evaluation_sets / name).is_dir():
        raise KajiyaError(
            f"{evaluation_sets / name}: no such folder. Put the set {name} there (docs/judging.md), or leave it out of "
            "answer.sets."
        )
    # Of MT-Bench all eight categories, or else the part without mathematics and programs.
    split = next(iter(sorted(list_splits(evaluation_sets, name), key=lambda one: one != "test")))
    found = load_set(evaluation_sets, name, split)
    references, sha256 = _references(evaluation_sets / name) if name == "ja_mt_bench" else ({}, None)
    questions = tuple(_question(name, item, references) for item in found.items)
    return QuestionSet(name, found.version, found.sha256, sha256, questions)


def _question(name: SetName, item: Any, references: dict[str, tuple[str, ...]]) -> Question:
    if isinstance(item, ElyzaTask):
        return Question(name, item.id, "", (item.input_text,), (item.output_text,), item.eval_aspect.strip())
    assert isinstance(item, MTBenchQuestion)
    return Question(name, item.id, item.category, item.turns, references.get(item.id, ()))


def _references(folder: Path) -> tuple[dict[str, tuple[str, ...]], str | None]:
    """Answers by question, and the hash of their file; none where the folder has no references."""
    path = folder / _REFERENCES
    if not path.is_file():
        return {}, None
    answers = {one.id: one.turns for one in read_records(MTBenchAnswer, path)}
    return answers, hashlib.sha256(path.read_bytes()).hexdigest()
