"""Conversations and preference pairs: read and checked line by line.

docs/formats.md describes the files. Reading stops at the first wrong record and names its line: a
record that is quietly repaired teaches the model something nobody wrote.
"""

import json
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from kajiya.errors import KajiyaError

Filled = Annotated[str, StringConstraints(strip_whitespace=False, pattern=r"\S")]
Turns = list[dict[str, str]]


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    role: Literal["system", "user", "assistant"]
    content: Filled
    generator: Filled | None = None
    """Who wrote this message, where it was not the record's generator."""


class Record(BaseModel):
    """One line of tuning data with its provenance."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: Filled
    license: Filled
    generator: Filled
    where: str = ""
    """File and line it was read from."""

    @abstractmethod
    def writers(self) -> list[tuple[str, str]]:
        """(part of the record, who wrote it); the record as a whole is the part ""."""

    def generators(self) -> tuple[str, ...]:
        """Everyone who wrote in it, in order and once."""
        return tuple(dict.fromkeys(name for _, name in self.writers()))

    @abstractmethod
    def text(self) -> str:
        """All that it says: what is looked for in the evaluation sets."""

    @abstractmethod
    def problem(self) -> str:
        """What is wrong with the order of its messages; empty where nothing is."""


class Conversation(Record):
    """An optional system message, then user and assistant in turn, ending with the assistant."""

    messages: list[Message] = Field(min_length=2)

    def turns(self) -> Turns:
        """The messages as chat templates take them."""
        return as_turns(self.messages)

    def writers(self) -> list[tuple[str, str]]:
        return [("", self.generator), *_writers(self.messages)]

    def text(self) -> str:
        return "\n".join(message.content for message in self.messages)

    def problem(self) -> str:
        return _role_problem([message.role for message in self.messages], "assistant")


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    content: Filled
    generator: Filled
    """Who wrote this answer."""


class Preference(Record):
    """A conversation that ends with the user, and two answers to it; `generator` wrote the prompt."""

    prompt: list[Message] = Field(min_length=1)
    chosen: Answer
    rejected: Answer

    def turns(self, answer: Literal["chosen", "rejected"]) -> Turns:
        """The prompt and one of the answers as chat templates take them."""
        content = getattr(self, answer).content
        return [*as_turns(self.prompt), {"role": "assistant", "content": content}]

    def writers(self) -> list[tuple[str, str]]:
        answers = [("chosen", self.chosen.generator), ("rejected", self.rejected.generator)]
        return [("", self.generator), *_writers(self.prompt), *answers]

    def text(self) -> str:
        return "\n".join(
            [message.content for message in self.prompt] + [self.chosen.content, self.rejected.content]
        )

    def problem(self) -> str:
        if self.chosen.content == self.rejected.content:
            return "chosen and rejected say the same, so nothing is preferred"
        return _role_problem([message.role for message in self.prompt], "user")


RecordType = TypeVar("RecordType", bound=Record)


def read_conversations(folder: Path) -> Iterator[Conversation]:
    """Every conversation of the folder's *.jsonl, in order. Raises KajiyaError naming file and line."""
    return _read(folder, Conversation)


def read_preferences(folder: Path) -> Iterator[Preference]:
    """Every pair of the folder's *.jsonl, in order. Raises KajiyaError naming file and line."""
    return _read(folder, Preference)


def as_turns(messages: list[Message]) -> Turns:
    return [{"role": message.role, "content": message.content} for message in messages]


def _read(folder: Path, kind: type[RecordType]) -> Iterator[RecordType]:
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise KajiyaError(
            f"{folder}: no *.jsonl here. Put the {kind.__name__.lower()}s there; docs/formats.md has the form."
        )
    seen: dict[str, str] = {}
    for file in files:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    record = _parse(line, file, number, kind)
                    if (first := seen.setdefault(record.id, record.where)) != record.where:
                        raise KajiyaError(
                            f"{file}:{number}: id {record.id!r} stands at {first} already; ids are unique."
                        )
                    yield record


def _parse(line: bytes, file: Path, number: int, kind: type[RecordType]) -> RecordType:
    try:
        content = json.loads(line.decode("utf-8").rstrip("\r\n"))
    except UnicodeDecodeError as error:
        raise KajiyaError(f"{file}:{number}: not UTF-8 at byte {error.start} of the line.") from None
    except json.JSONDecodeError as error:
        raise KajiyaError(f"{file}:{number}: invalid JSON at column {error.colno}: {error.msg}.") from None
    if not isinstance(content, dict):
        raise KajiyaError(f"{file}:{number}: expected an object, found {type(content).__name__}.")
    try:
        record = kind.model_validate({**content, "where": f"{file.name}:{number}"})
    except ValidationError as error:
        raise KajiyaError(
            "\n".join(f"{file}:{number}: {_explain(item)}" for item in error.errors())
        ) from None
    if problem := record.problem():
        raise KajiyaError(f"{file}:{number}: {problem}.")
    return record


def _explain(item: Any) -> str:
    key = ".".join(map(str, item["loc"]))
    messages = {
        "missing": "missing; every record says its license and who or what wrote it (generator)",
        "string_pattern_mismatch": "empty",
        "extra_forbidden": "unknown key",
    }
    return f"{key}: {messages.get(item['type'], item['msg'])}"


def _writers(messages: list[Message]) -> list[tuple[str, str]]:
    return [
        (f"message {place}", message.generator)
        for place, message in enumerate(messages, start=1)
        if message.generator
    ]


def _role_problem(roles: list[str], last: Literal["user", "assistant"]) -> str:
    turns = roles[1:] if roles[0] == "system" else roles
    for place, role in enumerate(turns):
        wanted = "assistant" if place % 2 else "user"
        if role != wanted:
            at = place + 1 + len(roles) - len(turns)
            return f"message {at} is by `{role}`, expected `{wanted}`"
    return "" if turns and turns[-1] == last else f"the last message must be by `{last}`"
