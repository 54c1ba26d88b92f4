"""Which conversations a model is asked, and in which batches: a plan that depends on settings and inputs alone."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from components.answer.settings import AnswerSettings
from kajiya.questions import Question

Message = dict[str, str]
Key = tuple[str, str]
"""Set and id of a question."""


class Ask(NamedTuple):
    """One turn of one question."""

    question: Question
    turn: int
    """From 1."""
    messages: list[Message]

    @property
    def key(self) -> Key:
        return self.question.set, self.question.id


class Room(NamedTuple):
    """What of the context is left for an answer."""

    limit: int
    cut: Literal["prompt", "answer"] | None
    """`prompt`: the prompt alone fills the context, and nothing is asked; `answer`: the longest answer does not fit."""


def chosen(questions: tuple[Question, ...], limit: int | None, seed: int) -> list[Question]:
    """All, or `limit` of them by a hash of seed and id, in the order of the file."""
    if limit is None or limit >= len(questions):
        return list(questions)
    drawn = sorted(questions, key=lambda one: _digest(seed, one.set, one.id))[:limit]
    kept = {one.id for one in drawn}
    return [one for one in questions if one.id in kept]


def asks(questions: Iterable[Question], turn: int, said: dict[Key, list[str]], system: str | None) -> Iterator[Ask]:  # fmt: skip
    """The conversations up to a turn. said: the model's own answers so far, by question."""
    for question in questions:
        if len(question.turns) < turn:
            continue
        messages = [{"role": "system", "content": system}] if system else []
        for asked, answered in zip(question.turns, said.get((question.set, question.id), []), strict=False):
            messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
        messages.append({"role": "user", "content": question.turns[turn - 1]})
        yield Ask(question, turn, messages)


def room(prompt_tokens: int, context: int, wanted: int) -> Room:
    left = context - prompt_tokens
    if left < 1:
        return Room(0, "prompt")
    return Room(min(left, wanted), "answer" if left < wanted else None)


def seed_of(config: AnswerSettings, ask: Ask) -> int:
    return int(_digest(config.seed, *ask.key, str(ask.turn))[:15], 16)


def batches(lengths: list[int], size: int) -> list[list[int]]:
    """Places by length, the longest first, `size` at a time: little padding, and memory is tried at once."""
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    return [order[first : first + size] for first in range(0, len(order), size)]


def record(ask: Ask, **answer: Any) -> dict[str, Any]:
    """A line of answers.jsonl."""
    return {
        "set": ask.question.set,
        "id": ask.question.id,
        "category": ask.question.category,
        "turn": ask.turn,
        "messages": ask.messages,
        **answer,
    }


def _digest(seed: int, *parts: str) -> str:
    return hashlib.sha256("\0".join([str(seed), *parts]).encode()).hexdigest()
