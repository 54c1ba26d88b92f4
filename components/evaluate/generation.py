"""Greedy continuations of many prompts: what `generate` gives for each alone, computed side by side.

Prompts are read as trees (prefix_tree.py). Each continuation has a slot in the memory of keys and values, and
leaves it, as soon as it ends, to a prompt that waits.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from components.evaluate.memory import Budget
from components.evaluate.prefix_tree import Tokens, tree_rows
from components.evaluate.slots import Slots, slot_count

Stopped = Callable[[list[list[int]]], list[bool]]


class Limits(NamedTuple):
    new_tokens: int
    end_tokens: frozenset[int]
    stopped: Stopped
    """Which of the continuations hold a stop string, given their tokens so far."""


class Continuation(NamedTuple):
    index: int
    """Of the prompt among those given."""
    tokens: list[int]
    """With the end token or the stop string that ended it."""


@dataclass
class _Running:
    index: int
    length: int
    """Tokens that its slot holds."""
    tokens: list[int] = field(default_factory=list)
    """The last one is still to be read."""


def continuations(
    model: Any, prompts: Sequence[Tokens], limits: Limits, read: Budget
) -> Iterator[list[Continuation]]:
    """All continuations, in lists, as they end. The longest prompts come first.

    read: tokens of the prompts at once.
    """
    waiting = deque(path.index for row in tree_rows(prompts) for path in row.paths)
    width = max(map(len, prompts), default=0) + limits.new_tokens
    slots = Budget(slot_count(model, len(prompts), width))
    while waiting:
        pool = _Pool(model, limits, Slots(model, slots.amount, width))
        try:
            while waiting or pool.running:
                if waiting and pool.has_room():
                    chosen = [waiting.popleft() for _ in range(min(len(waiting), pool.room()))]
                    pool.begin(chosen, [prompts[index] for index in chosen], read.amount)
                else:
                    pool.step()
                yield pool.take_ended()
        except torch.OutOfMemoryError as error:
            slots.halve(error)
            read.amount = max(1, read.amount // 2)
            waiting.extendleft(reversed(pool.indexes()))
        # Only here are the tensors of the failed pass gone: the error held them.
        del pool
        torch.cuda.empty_cache()


class _Pool:
    """What runs side by side: the first slots, without a gap."""

    def __init__(self, model: Any, limits: Limits, slots: Slots) -> None:
        self._model, self._limits, self._slots = model, limits, slots
        self.running: list[_Running] = []

    def room(self) -> int:
        return self._slots.count - len(self.running)

    def has_room(self) -> bool:
        """Room enough to read prompts several at a time."""
        return not self.running or self.room() >= max(1, self._slots.count // 4)

    def indexes(self) -> list[int]:
        return [one.index for one in self.running]

    def begin(self, indexes: Sequence[int], prompts: Sequence[Tokens], batch_tokens: int) -> None:
        """Read the prompts and guess the first token of each."""
        start = len(self.running)
        self.running += [_Running(index, len(prompt)) for index, prompt in zip(indexes, prompts, strict=True)]
        for places, hidden in self._slots.read_prompts(prompts, start, batch_tokens):
            self._append(places, hidden)

    def step(self) -> None:
        """Read the last token of each and guess the next."""
        hidden = self._slots.read_tokens(
            [one.tokens[-1] for one in self.running], [one.length for one in self.running]
        )
        for one in self.running:
            one.length += 1
        self._append(range(len(self.running)), hidden)

    @torch.inference_mode()
    def _append(self, places: Sequence[int], hidden: torch.Tensor) -> None:
        guessed = self._model.get_output_embeddings()(hidden).argmax(-1).tolist()
        for place, token in zip(places, guessed, strict=True):
            self.running[place].tokens.append(token)

    def take_ended(self) -> list[Continuation]:
        """Those that have ended; their slots go to the last ones."""
        stopped = self._limits.stopped([one.tokens for one in self.running])
        ended = []
        for place in reversed(range(len(self.running))):
            one = self.running[place]
            full = len(one.tokens) >= self._limits.new_tokens
            if full or stopped[place] or one.tokens[-1] in self._limits.end_tokens:
                ended.append(Continuation(one.index, one.tokens))
                last = self.running.pop()
                if last is not one:
                    self._slots.move(len(self.running), place, last.length)
                    self.running[place] = last
        return ended


def stop_check(tokenizer: Any, stops: Sequence[str]) -> Stopped:
    """Looks at the last tokens alone: a string that ended earlier would have been seen earlier.

    A piece may be a single byte, so a string spans no more pieces than it has bytes. Some more come before it, since
    decoders treat the first piece of a text in their own way.
    """
    window = max((len(stop.encode()) for stop in stops), default=0) + 4

    def stopped(rows: list[list[int]]) -> list[bool]:
        texts = tokenizer.batch_decode([tokens[-window:] for tokens in rows]) if stops and rows else []
        return [any(stop in text for stop in stops) for text in texts] or [False] * len(rows)

    return stopped


def end_tokens(model: Any) -> frozenset[int]:
    """What ends a text in `generate`."""
    ends = model.generation_config.eos_token_id
    return frozenset([] if ends is None else [ends] if isinstance(ends, int) else ends)


# What a generation_config.json may say without changing a greedy text.
_NO_MATTER = {"bos_token_id", "eos_token_id", "pad_token_id", "transformers_version", "use_cache"}
_NO_MATTER |= {"max_length", "do_sample", "temperature", "top_p", "top_k", "min_p", "typical_p"}
_NEUTRAL = {"num_beams": 1, "repetition_penalty": 1.0, "length_penalty": 1.0, "min_length": 0}
_NEUTRAL |= {"no_repeat_ngram_size": 0, "num_return_sequences": 1}


def is_plainly_greedy(model: Any, options: dict[str, Any]) -> bool:
    """Whether each token is the likeliest one, with no penalty, beam or sample."""
    asked = {key for key, value in options.items() if value} - {"until", "max_gen_toks"}
    said = {
        key
        for key, value in model.generation_config.to_diff_dict().items()
        if value is not None and value is not False and value != _NEUTRAL.get(key) and not key.startswith("_")
    }
    return not asked and said <= _NO_MATTER
