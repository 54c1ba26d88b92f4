"""Conversations as token ids and labels."""

from typing import NamedTuple

import xxhash
from transformers import PreTrainedTokenizerFast

from kajiya.lm.conversations import Conversation, control_token_in, encode_conversation


class Example(NamedTuple):
    id: str
    license: str
    generator: str
    input_ids: list[int]
    labels: list[int]
    """-100 where the token does not count in the loss."""


class Rejected(NamedTuple):
    """A refused record, without its text: what may not be used is not handed on with the model."""

    id: str
    where: str
    license: str
    generator: str
    reason: str
    detail: str

    @classmethod
    def of(cls, conversation: Conversation, reason: str, detail: str) -> "Rejected":
        c = conversation
        return cls(c.id, c.where, c.license, c.generator, reason, detail)


def encode(
    conversation: Conversation, tokenizer: PreTrainedTokenizerFast, max_tokens: int
) -> Example | Rejected:
    """The conversation as an example, or why it cannot be one."""
    turns = conversation.turns()
    if token := control_token_in(tokenizer, turns):
        return Rejected.of(conversation, "control_token", token)
    input_ids, labels = encode_conversation(tokenizer, turns)
    if len(input_ids) > max_tokens:
        return Rejected.of(conversation, "too_long", f"{len(input_ids)} tokens")
    return Example(conversation.id, conversation.license, conversation.generator, input_ids, labels)


def split(examples: list[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """(training, validation), by a hash of the id."""
    validates = [
        xxhash.xxh3_64_intdigest(f"{seed}:sft:{example.id}".encode()) < share * 2**64 for example in examples
    ]
    training = [one for one, chosen in zip(examples, validates, strict=True) if not chosen]
    return training, [one for one, chosen in zip(examples, validates, strict=True) if chosen]
