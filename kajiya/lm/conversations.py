"""Conversations: read and checked line by line, and rendered by the chat template.

docs/formats.md describes the file. Reading stops at the first wrong record and names its line: a
conversation that is quietly repaired teaches the model something nobody wrote.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from kajiya.errors import KajiyaError
from kajiya.lm.tokenizer import ROLE_TOKENS, load_tokenizer

Filled = Annotated[str, StringConstraints(strip_whitespace=False, pattern=r"\S")]

# The reply and its end are between the marks of {% generation %}: only they count in the loss.
_REPLY = "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"

ROLE_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}" + _REPLY + "{% else %}{{ message['content'] }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

# For a base whose vocabulary has no role tokens: headings in plain text need no untrained pieces.
TEXT_TEMPLATE = (
    "{% for message in messages %}{{ '### ' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}" + _REPLY + "{% else %}{{ message['content'] }}{% endif %}"
    "{{ '\n\n' }}{% endfor %}{% if add_generation_prompt %}{{ '### assistant\n' }}{% endif %}"
)


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    role: Literal["system", "user", "assistant"]
    content: Filled


class Conversation(BaseModel):
    """One conversation with its provenance."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: Filled
    messages: list[Message] = Field(min_length=2)
    license: Filled
    generator: Filled
    where: str = ""
    """File and line it was read from."""

    def turns(self) -> list[dict[str, str]]:
        """The messages as chat templates take them."""
        return [message.model_dump() for message in self.messages]


def read_conversations(folder: Path) -> Iterator[Conversation]:
    """Every conversation of the folder's *.jsonl, in order. Raises KajiyaError naming file and line."""
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise KajiyaError(
            f"{folder}: no *.jsonl here. Put the conversations there; docs/formats.md has the form."
        )
    seen: dict[str, str] = {}
    for file in files:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    conversation = parse_conversation(line, f"{file.name}:{number}", str(file))
                    _require_new(conversation, seen, file)
                    yield conversation


def parse_conversation(line: bytes, where: str, file: str) -> Conversation:
    """One line as a Conversation; `where` is kept, `file` is for the message of an error."""
    number = where.rsplit(":", 1)[1]
    try:
        record = json.loads(line.decode("utf-8").rstrip("\r\n"))
    except UnicodeDecodeError as error:
        raise KajiyaError(f"{file}:{number}: not UTF-8 at byte {error.start} of the line.") from None
    except json.JSONDecodeError as error:
        raise KajiyaError(f"{file}:{number}: invalid JSON at column {error.colno}: {error.msg}.") from None
    if not isinstance(record, dict):
        raise KajiyaError(f"{file}:{number}: expected an object, found {type(record).__name__}.")
    try:
        conversation = Conversation.model_validate({**record, "where": where})
    except ValidationError as error:
        raise KajiyaError(
            "\n".join(f"{file}:{number}: {_explain(item)}" for item in error.errors())
        ) from None
    if problem := _role_problem([message.role for message in conversation.messages]):
        raise KajiyaError(f"{file}:{number}: {problem}.")
    return conversation


def _explain(item: Any) -> str:
    key = ".".join(map(str, item["loc"]))
    messages = {
        "missing": "missing; every record says its license and who or what wrote it (generator)",
        "string_pattern_mismatch": "empty",
        "extra_forbidden": "unknown key",
    }
    return f"{key}: {messages.get(item['type'], item['msg'])}"


def _role_problem(roles: list[str]) -> str:
    turns = roles[1:] if roles[0] == "system" else roles
    for place, role in enumerate(turns):
        wanted = "assistant" if place % 2 else "user"
        if role != wanted:
            return f"message {place + 1 + len(roles) - len(turns)} is by `{role}`, expected `{wanted}`"
    return "" if len(turns) % 2 == 0 and turns else "the last message must be by `assistant`"


def _require_new(conversation: Conversation, seen: dict[str, str], file: Path) -> None:
    if first := seen.get(conversation.id):
        raise KajiyaError(
            f"{file.parent}/{conversation.where}: id {conversation.id!r} stands at {first} already; ids are unique."
        )
    seen[conversation.id] = conversation.where


def load_chat_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a model folder as transformers has it, which can apply chat templates."""
    load_tokenizer(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise KajiyaError(f"{folder}: transformers cannot load its tokenizer: {error}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise KajiyaError(
            f"{folder}: transformers loads its tokenizer as {type(tokenizer).__name__}, not fast."
        )
    return tokenizer


def choose_template(tokenizer: PreTrainedTokenizerFast) -> tuple[str, str]:
    """(name, template): the base's own where it marks the replies, else one that its pieces can say."""
    own = tokenizer.chat_template
    if isinstance(own, str) and "{% generation" in own.replace("{%-", "{%"):
        return "base", own
    if all(token in tokenizer.get_vocab() for token in ROLE_TOKENS.values()):
        return "roles", ROLE_TEMPLATE
    return "text", TEXT_TEMPLATE


def encode_conversation(
    tokenizer: PreTrainedTokenizerFast, turns: list[dict[str, str]]
) -> tuple[list[int], list[int]]:
    """(token ids, labels) of one conversation; labels are -100 outside the assistant's replies."""
    encoded: Any = tokenizer.apply_chat_template(turns, return_dict=True, return_assistant_tokens_mask=True)
    ids, mask = list(encoded["input_ids"]), list(encoded["assistant_masks"])
    return ids, [token if reply else -100 for token, reply in zip(ids, mask, strict=True)]


def control_token_in(tokenizer: PreTrainedTokenizerFast, turns: list[dict[str, str]]) -> str | None:
    """A control token spelt out in a message: it would end the turn or change the speaker."""
    for turn in turns:
        for token in tokenizer.all_special_tokens:
            if token in turn["content"]:
                return str(token)
    return None
