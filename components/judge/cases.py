"""What is put before the judge: an answer with its question, and the request that asks for its score."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.judge.prompts import Prompts
from components.judge.settings import JudgeSettings
from kajiya.errors import KajiyaError
from kajiya.questions import NEEDS_REFERENCE, Question

Message = dict[str, str]


@dataclass(frozen=True)
class Case:
    """One verdict that is asked for. Nothing in its messages tells which model answered."""

    set: str
    id: str
    category: str
    turn: int
    sample: int
    """From 1: further verdicts on the same answer."""
    answer: str
    prompts: Prompts
    kind: str
    """Of the template."""
    messages: tuple[Message, ...]

    @property
    def scale(self) -> tuple[int, int]:
        return self.prompts.content.scale


def case_of(question: Question, answers: list[str], sample: int, prompts: Prompts) -> Case:
    """answers: the model's, up to the turn that is judged. Raises KajiyaError where a reference is missing."""
    turn = len(answers)
    needs = question.category in NEEDS_REFERENCE
    if needs and len(question.references) < turn:
        raise KajiyaError(
            f"{question.set}: question {question.id} ({question.category}) has no reference for turn {turn}, and its "
            "judge needs one. Put reference_answer/gpt-4.jsonl beside the questions (docs/formats.md)."
        )
    kind = prompts.kind(turn, bool(question.references) and (needs or not question.category))
    messages = prompts.messages(kind, values_of(question, answers))
    return Case(
        question.set,
        question.id,
        question.category,
        turn,
        sample,
        answers[-1],
        prompts,
        kind,
        tuple(messages),
    )


def values_of(question: Question, answers: list[str]) -> Mapping[str, str]:
    """What fills the places of a template."""
    turn = len(answers)
    values = {"question": question.turns[turn - 1], "answer": answers[-1], "criteria": question.criteria}
    if len(question.references) >= turn:
        values["reference"] = question.references[turn - 1]
    for number in range(1, turn + 1):
        values[f"question_{number}"] = question.turns[number - 1]
        values[f"answer_{number}"] = answers[number - 1]
        if len(question.references) >= number:
            values[f"reference_{number}"] = question.references[number - 1]
    return values


def body(config: JudgeSettings, messages: list[Message]) -> dict[str, Any]:
    """What is sent to the endpoint."""
    sent: dict[str, Any] = {"model": config.model, "messages": messages}
    if config.temperature is not None:
        sent["temperature"] = config.temperature
    return {**sent, config.max_tokens_name: config.max_tokens}


def follow_up(case: Case, last: str | None) -> list[Message]:
    """The messages of a request: the first, or the one after a reply that holds no score."""
    again = case.prompts.content.again
    if last is None or again is None:
        return list(case.messages)
    return [
        *case.messages,
        {"role": "assistant", "content": last or "（返事なし）"},
        {"role": "user", "content": again.strip()},
    ]


def digest(sent: dict[str, Any], sample: int, attempt: int) -> str:
    """Names a request: the same words in another sample, or asked once more, are another."""
    text = json.dumps([sent, sample, attempt], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def shuffled(cases: list[Case], seed: int) -> list[int]:
    """Their places in an order that tells nothing."""

    def drawn(place: int) -> bytes:
        one = cases[place]
        return hashlib.sha256(f"{seed}\0{one.set}\0{one.id}\0{one.turn}\0{one.sample}".encode()).digest()

    return sorted(range(len(cases)), key=drawn)
