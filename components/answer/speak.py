"""A model folder as a speaker: chat template in, text out."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast

from components.answer.generate import Ended, Speaker, Wish, generate
from components.answer.settings import AnswerSettings
from kajiya.errors import KajiyaError
from kajiya.lm.conversations import load_chat_tokenizer
from kajiya.lm.endings import end_tokens, speaker_marks
from kajiya.lm.model import load_model
from kajiya.lm.tokenizer import load_tokenizer, vocabulary_size

_TAIL = 24
"""Tokens at the end of an answer in which words that end it are looked for: the longest marks have fewer."""


class Spoken(NamedTuple):
    place: int
    text: str
    new_tokens: int
    ended: Ended


class ChatModel:
    """A loaded model that answers conversations."""

    def __init__(self, folder: Path, config: AnswerSettings) -> None:
        self.tokenizer = chat_tokenizer(folder)
        dtype = config.dtype if config.dtype == "auto" else getattr(torch, config.dtype)
        model = load_model(folder, dtype)
        if torch.accelerator.is_available():
            model = model.to(torch.accelerator.current_accelerator())
        self.context = int(model.config.max_position_embeddings)
        tokens, self._stops = speaker_marks(self.tokenizer)
        self._speaker = Speaker(
            model.eval(),
            vocabulary_size(load_tokenizer(folder)),
            frozenset(end_tokens(model, self.tokenizer) | tokens),
            _breaks_off(self.tokenizer, self._stops),
            config.top_p,
        )

    def encode(self, messages: list[dict[str, str]]) -> list[int]:
        """Token ids up to where the assistant begins to speak."""
        try:
            encoded: Any = self.tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, return_dict=True
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise KajiyaError(
                f"the model's chat template cannot say a conversation of {[one['role'] for one in messages]}: {error}. "
                "If it knows no system message, leave answer.system unset; if no second turn, set answer.turns to first."
            ) from error
        return list(encoded["input_ids"])

    def answer(self, wishes: list[Wish]) -> Iterator[Spoken]:
        """The answers to a batch, as they end."""
        for written in generate(self._speaker, wishes):
            text = self.tokenizer.decode(written.tokens, skip_special_tokens=True)
            found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
            yield Spoken(
                written.place, text[: min(found, default=None)].strip(), written.count, written.ended
            )


def chat_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Raises KajiyaError for a model that knows no turns."""
    tokenizer = load_chat_tokenizer(folder)
    if not isinstance(tokenizer.chat_template, str):
        raise KajiyaError(
            f"{folder}: this model has no chat template, so it cannot be asked questions in turns. Name under `judged` "
            "variants that were tuned (sft, dpo), or such as were made from one."
        )
    return tokenizer


def _breaks_off(tokenizer: PreTrainedTokenizerFast, stops: list[str]) -> Callable[[list[int]], bool]:
    if not stops:
        return lambda _tokens: False

    def ended(tokens: list[int]) -> bool:
        tail = tokenizer.decode(tokens[-_TAIL:], skip_special_tokens=True)
        return any(stop in tail for stop in stops)

    return ended
