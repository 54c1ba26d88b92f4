"""Preference pairs as token ids."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from kajiya.lm.conversations import control_token_in, encode_conversation
from kajiya.lm.tuning.gate import Rejected
from kajiya.lm.tuning.records import Preference


class Pair(NamedTuple):
    id: str
    license: str
    generators: tuple[str, ...]
    prompt_ids: NDArray[np.int32]
    chosen_ids: NDArray[np.int32]
    rejected_ids: NDArray[np.int32]
    """As chosen_ids: what follows the prompt, up to the end of the reply."""


def encode(preference: Preference, tokenizer: PreTrainedTokenizerFast, max_tokens: int) -> Pair | Rejected:
    """The pair as token ids, or why it cannot be one."""
    both = [preference.turns("chosen"), preference.turns("rejected")]
    for turns in both:
        if token := control_token_in(tokenizer, turns):
            return Rejected.of(preference, "control_token", token)
    (chosen, begin), (rejected, other) = (
        _last_reply(*encode_conversation(tokenizer, turns)) for turns in both
    )
    if not chosen or not rejected:
        return Rejected.of(preference, "nothing_to_learn", "the chat template marks no reply")
    if (longest := max(len(chosen), len(rejected))) > max_tokens:
        return Rejected.of(preference, "too_long", f"{longest} tokens")
    # A piece may reach from the prompt into the answer: then the answers begin with it.
    begin = _shared(chosen[: min(begin, other)], rejected)
    if chosen[begin:] == rejected[begin:]:
        return Rejected.of(preference, "same_tokens", "the answers differ in no token")
    parts = (np.array(ids, np.int32) for ids in (chosen[:begin], chosen[begin:], rejected[begin:]))
    return Pair(preference.id, preference.license, preference.generators(), *parts)


def _last_reply(ids: list[int], labels: list[int]) -> tuple[list[int], int]:
    """(tokens up to the end of the last reply, where it begins); no tokens where none is marked."""
    end = len(labels)
    while end and labels[end - 1] < 0:
        end -= 1
    begin = end
    while begin and labels[begin - 1] >= 0:
        begin -= 1
    return ids[:end], begin


def _shared(left: list[int], right: list[int]) -> int:
    """How many tokens both begin with."""
    return next((at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), len(left))
