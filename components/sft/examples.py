"""Conversations as token ids and labels."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from kajiya.lm.conversations import control_token_in, encode_conversation
from kajiya.lm.tuning.gate import Rejected
from kajiya.lm.tuning.records import Conversation

IGNORED = -100


class Example(NamedTuple):
    id: str
    license: str
    generators: tuple[str, ...]
    input_ids: NDArray[np.int32]
    labels: NDArray[np.int32]
    """IGNORED where the token does not count in the loss."""


def encode(
    conversation: Conversation, tokenizer: PreTrainedTokenizerFast, max_tokens: int
) -> Example | Rejected:
    """The conversation as an example, or why it cannot be one."""
    turns = conversation.turns()
    if token := control_token_in(tokenizer, turns):
        return Rejected.of(conversation, "control_token", token)
    input_ids, labels = encode_conversation(tokenizer, turns)
    if all(label == IGNORED for label in labels[1:]):
        return Rejected.of(conversation, "nothing_to_learn", "the chat template marks no reply")
    if len(input_ids) > max_tokens:
        return Rejected.of(conversation, "too_long", f"{len(input_ids)} tokens")
    return Example(
        conversation.id,
        conversation.license,
        conversation.generators(),
        np.array(input_ids, np.int32),
        np.array(labels, np.int32),
    )
