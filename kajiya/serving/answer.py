"""One answer of a model: from token ids to text as it comes, and why it ended."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from kajiya.serving.decoding import Sampling, Tally, decode
from kajiya.serving.models import Served
from kajiya.serving.prompts import end_tokens
from kajiya.serving.stream import StopFilter, TextStream

# Below it logits divided by the temperature overflow, and nothing but the likeliest token is drawn anyway.
_LEAST_TEMPERATURE = 1e-5


@dataclass(frozen=True)
class Wish:
    """What is asked of a model."""

    prompt: list[int]
    max_tokens: int | None = None
    """None: as many as the context holds."""
    sampling: Sampling = field(default_factory=Sampling)
    stop_strings: list[str] = field(default_factory=list)
    stop_tokens: frozenset[int] = frozenset()
    """Beside those that always end an answer."""


@dataclass
class Answer:
    """Filled while the text is read; `text()` can be read once, and broken off at any piece."""

    served: Served
    wish: Wish
    finish_reason: Literal["stop", "length"] = "length"
    tokens: int = 0
    """Tokens generated, the ending one included."""
    tally: Tally = field(default_factory=Tally)

    def text(self) -> Iterator[str]:
        """Pieces of the answer, one per forward pass of the model; empty where none may be shown yet."""
        served, wish = self.served, self.wish
        room = served.context - len(wish.prompt)
        limit = room if wish.max_tokens is None else min(room, wish.max_tokens)
        greedy = wish.sampling.temperature < _LEAST_TEMPERATURE
        sampling = replace(wish.sampling, temperature=0.0) if greedy else wish.sampling
        ends = end_tokens(served) | wish.stop_tokens
        stream, stop = TextStream(served.pieces, wish.prompt), StopFilter(wish.stop_strings)
        for new in decode(
            (served.model, served.draft), served.vocabulary, wish.prompt, sampling, limit, self.tally
        ):
            ending = next((at for at, token in enumerate(new) if token in ends), None)
            self.tokens += len(new) if ending is None else ending + 1
            yield stop.push(stream.push(new[:ending]))
            if ending is not None or stop.stopped:
                self.finish_reason = "stop"
                break
        if not stop.stopped:
            yield stop.push(stream.push([], last=True), last=True)
            if stop.stopped:
                self.finish_reason = "stop"
