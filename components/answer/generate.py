"""Continue several prompts at once, each with its own temperature and its own random numbers.

Written out instead of calling transformers' `generate`, which has one random state for a batch: there what
is drawn for a question would depend on those beside it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from transformers import DynamicCache

# Below it logits divided by the temperature overflow, and nothing but the likeliest token is drawn anyway.
_LEAST_TEMPERATURE = 1e-5

Ended = Literal["stop", "length"]


class Wish(NamedTuple):
    """One prompt and how it is to be continued."""

    prompt: list[int]
    limit: int
    """Most new tokens."""
    temperature: float
    seed: int


class Speaker(NamedTuple):
    """A loaded model and where its answers end."""

    model: Any
    vocabulary: int
    """Size of the tokenizer's: padded embeddings have rows that no token has."""
    ends: frozenset[int]
    breaks_off: Callable[[list[int]], bool]
    """Whether the tokens so far end in words that end an answer."""
    top_p: float = 1.0


class Written(NamedTuple):
    place: int
    """Of the wish among those of the batch."""
    tokens: list[int]
    """Without the ending one."""
    count: int
    """Tokens generated, the ending one included."""
    ended: Ended


@dataclass
class _Row:
    place: int
    wish: Wish
    random: torch.Generator
    tokens: list[int] = field(default_factory=list)

    def take(self, token: int, speaker: Speaker) -> Ended | None:
        """Add a token; says how the answer ended, if it did."""
        if token in speaker.ends:
            return "stop"
        self.tokens.append(token)
        if speaker.breaks_off(self.tokens):
            return "stop"
        return "length" if len(self.tokens) >= self.wish.limit else None


@torch.inference_mode()
def generate(speaker: Speaker, wishes: list[Wish]) -> Iterator[Written]:
    """Each answer when it has ended; rows that have ended are computed no further."""
    rows = [_Row(place, wish, _generator(wish.seed)) for place, wish in enumerate(wishes)]
    ids, mask = _left_padded([wish.prompt for wish in wishes], speaker.model.device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    cache = DynamicCache(config=speaker.model.config)
    while rows:
        output = speaker.model(
            ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
        )  # fmt: skip
        # On the CPU: its random numbers are the same on every machine.
        logits = output.logits[:, -1, : speaker.vocabulary].float().cpu()
        chosen = [choose(line, row.wish.temperature, speaker.top_p, row.random) for row, line in zip(rows, logits, strict=True)]  # fmt: skip
        endings = [row.take(token, speaker) for row, token in zip(rows, chosen, strict=True)]
        for row, token, ended in zip(rows, chosen, endings, strict=True):
            if ended:
                count = len(row.tokens) + (token in speaker.ends)
                yield Written(row.place, row.tokens, count, ended)
        kept = [at for at, ended in enumerate(endings) if ended is None]
        if len(kept) < len(rows):
            rows = [rows[at] for at in kept]
            if not rows:
                return
            chosen = [chosen[at] for at in kept]
            index = torch.tensor(kept, device=mask.device)
            cache.batch_select_indices(index)
            mask, positions = mask[index], positions[index]
        ids = torch.tensor(chosen, device=mask.device)[:, None]
        mask = torch.cat([mask, mask.new_ones((len(rows), 1))], dim=1)
        positions = positions[:, -1:] + 1


def choose(logits: torch.Tensor, temperature: float, top_p: float, random: torch.Generator) -> int:
    """The likeliest token, or one drawn."""
    if temperature < _LEAST_TEMPERATURE:
        return int(logits.argmax())
    odds = torch.softmax(logits / temperature, -1)
    if top_p < 1:
        ordered, places = odds.sort(descending=True, stable=True)
        ordered[ordered.cumsum(-1) - ordered >= top_p] = 0.0
        odds = torch.zeros_like(odds).scatter_(-1, places, ordered)
    return int(torch.multinomial(odds, 1, generator=random))


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _left_padded(prompts: list[list[int]], device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids, mask), each (rows, longest): all prompts end in the last column."""
    width = max(map(len, prompts))
    ids = torch.zeros((len(prompts), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    return ids.to(device), mask.to(device)
