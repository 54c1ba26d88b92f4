"""Conversations and texts as the token ids a model continues, and where its answer ends."""

from functools import lru_cache
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast

from kajiya.errors import KajiyaError
from kajiya.lm import endings
from kajiya.lm.conversations import control_token_in
from kajiya.serving.models import Served

Turns = list[dict[str, str]]


class PromptError(KajiyaError):
    """A prompt that the model cannot be given: the one who wrote it can mend it."""


class PromptTooLongError(PromptError):
    """More tokens than the model's context holds."""


def chat_prompt(served: Served, turns: Turns, room: int = 1) -> list[int]:
    """Token ids of a conversation, up to where the assistant begins to speak, with `room` tokens for the answer."""
    _check_characters(served, sum(len(turn["content"]) for turn in turns))
    if token := control_token_in(served.tokenizer, turns):
        raise PromptError(
            f"a message holds {token}, which ends a turn or changes the speaker for this model. Leave it out."
        )
    try:
        encoded: Any = served.tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, return_dict=True
        )
    except (TemplateError, TypeError, ValueError) as error:
        raise PromptError(f"the model's chat template cannot say this conversation: {error}") from error
    return check_length(served, list(encoded["input_ids"]), room)


def text_prompt(served: Served, text: str) -> list[int]:
    """Token ids of a text to be continued; a text of nothing begins with the token that begins texts."""
    _check_characters(served, len(text))
    ids = list(served.tokenizer(text)["input_ids"])
    beginning = served.tokenizer.bos_token_id
    if not ids and beginning is not None:
        ids = [beginning]
    return check_length(served, ids)


def check_length(served: Served, ids: list[int], room: int = 1) -> list[int]:
    """The ids, when they leave `room` tokens for an answer."""
    if not ids:
        raise PromptError("the prompt is empty.")
    if len(ids) + room > served.context:
        raise PromptTooLongError(
            f"the prompt is {len(ids)} tokens long; the model's context holds {served.context} with the answer. "
            "Shorten it."
        )
    return ids


def _check_characters(served: Served, count: int) -> None:
    """Refuse what is too long whatever its tokens are, before it is cut into them: that takes the model's thread."""
    longest = _longest_piece(served.tokenizer)
    if count > served.context * longest:
        raise PromptTooLongError(
            f"the prompt is {count} characters long, {count // longest} tokens at the least; the model's context "
            f"holds {served.context} with the answer. Shorten it."
        )


@lru_cache(maxsize=4)
def _longest_piece(tokenizer: PreTrainedTokenizerFast) -> int:
    return max(map(len, tokenizer.get_vocab()))


def end_tokens(served: Served) -> set[int]:
    """Tokens at which an answer ends."""
    return endings.end_tokens(served.model, served.tokenizer)


def speaker_marks(served: Served) -> tuple[set[int], list[str]]:
    """(tokens, strings) that the template puts between two turns."""
    return endings.speaker_marks(served.tokenizer) if served.has_template else (set(), [])
