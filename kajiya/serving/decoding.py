"""Decode token by token, or by guesses of a small draft model that the large one checks many at a time.

Speculative decoding (Leviathan et al. 2023, arXiv:2211.17192): the draft guesses a few tokens, one forward
pass of the model judges them all, and what it would have said itself stays. Greedy text is the same with
and without a draft: exactly in fp32; in bf16 a pass over several tokens may round otherwise, and near ties fall
differently. Sampled text comes from the same distribution. Written out here instead of calling
transformers' `generate`: a generator can be broken off between two passes, streams as it goes, and has its
own random numbers, so requests cannot disturb each other's.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache

# How many tokens are guessed at first, and at most. The number grows while all guesses hold.
_FIRST_GUESSES, _MOST_GUESSES = 4, 12

# After a token of which the draft is less sure than this it guesses no further. The token itself is still tried: its
# pass is paid, and a model that is as unsure often says the same. The test asks only for the highest probability,
# never which token was drawn: samples stay unbiased.
_LEAST_CONFIDENCE = 0.1

# A draft that is asked in vain twice in a row rests for a token, then for two, four and so on up to this, until a
# guess holds again: where it knows nothing it costs next to nothing. What it missed it reads in one pass.
_LONGEST_REST = 16


@dataclass(frozen=True)
class Sampling:
    temperature: float = 0.0
    """0: always the most likely token."""
    top_p: float = 1.0
    """Draw among the fewest tokens that have this probability together (Holtzman et al. 2020)."""
    seed: int | None = None
    """The same seed draws the same text; None: another at every time."""


@dataclass
class Tally:
    """What a decoding took."""

    passes: int = 0
    """Forward passes of the large model."""
    guessed: int = 0
    accepted: int = 0


@dataclass
class _Pace:
    """How far the draft guesses ahead, and when not at all. What was said before decides: samples stay unbiased."""

    ahead: int = _FIRST_GUESSES
    resting: int = 0
    next_rest: int = 0

    def take_turn(self) -> bool:
        """Whether the draft is asked."""
        self.resting -= 1
        return self.resting < 0

    def learn(self, guessed: int, held: int) -> None:
        self.resting = 0
        if not held:
            self.resting, self.next_rest = self.next_rest, min(max(1, 2 * self.next_rest), _LONGEST_REST)
        else:
            self.next_rest = 0
        # As transformers' heuristic: farther while all guesses hold, less far when one falls.
        if held < guessed:
            self.ahead = max(self.ahead - 1, 1)
        elif held:
            self.ahead = min(self.ahead + 2, _MOST_GUESSES)


@dataclass
class _Runner:
    """A model with what it has read of the text so far."""

    model: Any
    vocabulary: int
    cache: Any = field(init=False)
    read: int = 0

    def __post_init__(self) -> None:
        self.cache = DynamicCache(config=self.model.config)

    @torch.inference_mode()
    def advance(self, tokens: list[int], keep: int) -> torch.Tensor:
        """Read what of `tokens` is new; logits after each of the last `keep` tokens, (keep, vocabulary)."""
        ids = torch.tensor([tokens[self.read :]], device=self.model.device)
        output = self.model(ids, past_key_values=self.cache, use_cache=True, logits_to_keep=keep)
        self.read = len(tokens)
        # Padded embeddings have rows that no token of the tokenizer has.
        return output.logits[0, -keep:, : self.vocabulary].float()

    def forget(self, length: int) -> None:
        """Keep the first `length` tokens."""
        if self.read > length:
            self.cache.crop(length - self.read)  # below zero: that many from the end, in every transformers
            self.read = length


class _Chooser:
    """Greedy or sampled choice of tokens from logits."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self.random = torch.Generator()
        if sampling.seed is None:
            self.random.seed()
        else:
            self.random.manual_seed(sampling.seed)

    def distribution(self, logits: torch.Tensor) -> torch.Tensor:
        """Probabilities to draw from, on the CPU: its random numbers are the same on every machine."""
        probabilities = torch.softmax(logits.cpu() / self.sampling.temperature, -1)
        if self.sampling.top_p >= 1:
            return probabilities
        ordered, places = probabilities.sort(descending=True, stable=True)
        ordered[ordered.cumsum(-1) - ordered >= self.sampling.top_p] = 0.0
        kept = torch.zeros_like(probabilities).scatter_(-1, places, ordered)
        return kept / kept.sum(-1, keepdim=True)

    def draw(self, probabilities: torch.Tensor) -> int:
        return int(torch.multinomial(probabilities, 1, generator=self.random))

    def verify(self, logits: torch.Tensor, guesses: list[int], odds: list[torch.Tensor]) -> list[int]:
        """The guesses that hold, and one token more. odds: the draft's distribution of each guess."""
        if not self.sampling.temperature:
            own: list[int] = logits.argmax(-1).tolist()
            held = next((at for at, guess in enumerate(guesses) if guess != own[at]), len(guesses))
            return own[: held + 1]
        own_odds = self.distribution(logits)
        for at, (guess, q) in enumerate(zip(guesses, odds, strict=True)):
            p = own_odds[at]
            if float(torch.rand(1, generator=self.random)) * float(q[guess]) >= float(p[guess]):
                rest = (p - q).clamp(min=0)
                return [*guesses[:at], self.draw(rest if float(rest.sum()) > 0 else p)]
        return [*guesses, self.draw(own_odds[-1])]


def decode(
    models: tuple[Any, Any | None],
    vocabulary: int,
    prompt: list[int],
    sampling: Sampling,
    limit: int,
    tally: Tally | None = None,
) -> Iterator[list[int]]:
    """Up to `limit` tokens after `prompt`, as they come: one at a time, or several with a draft.

    models: the model, and a draft of the same vocabulary or None. vocabulary: size of the tokenizer's. Who
    reads decides on what token the text ends.
    """
    model, draft = models
    tally = tally or Tally()
    large = _Runner(model, vocabulary)
    small = _Runner(draft, vocabulary) if draft is not None else None
    chooser = _Chooser(sampling)
    pace = _Pace()
    tokens = list(prompt)
    while (room := limit - (len(tokens) - len(prompt))) > 0:
        guesses: list[int] = []
        odds: list[torch.Tensor] = []
        asked = False
        if small is not None and len(tokens) + pace.ahead <= _positions(draft) and pace.take_turn():
            asked = True
            guesses, odds = _guess(small, tokens, min(pace.ahead, room - 1), chooser)
        new = chooser.verify(large.advance(tokens + guesses, len(guesses) + 1), guesses, odds)
        tally.passes += 1
        tally.guessed += len(guesses)
        tally.accepted += len(new) - 1
        if asked:
            pace.learn(len(guesses), len(new) - 1)
        tokens += new
        for runner in (large, small):
            if runner is not None:
                runner.forget(len(tokens) - 1)
        yield new


def _guess(
    small: _Runner, tokens: list[int], count: int, chooser: _Chooser
) -> tuple[list[int], list[torch.Tensor]]:
    guesses: list[int] = []
    odds: list[torch.Tensor] = []
    for _ in range(count):
        logits = small.advance(tokens + guesses, 1)[0]
        if chooser.sampling.temperature:
            odds.append(chooser.distribution(logits))
            guesses.append(chooser.draw(odds[-1]))
        else:
            guesses.append(int(logits.argmax()))
        if float(torch.softmax(logits, -1).max()) < _LEAST_CONFIDENCE:
            break
    return guesses, odds


def _positions(model: Any) -> int:
    return int(model.config.max_position_embeddings)
