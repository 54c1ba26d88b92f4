"""What judging takes: tokens, and money where a price is known."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from components.judge.cases import Case
from components.judge.endpoint import Reply
from components.judge.settings import JudgeSettings, Price
from kajiya.errors import KajiyaError

_TOKENS_OF_A_MESSAGE = 8
"""Marks of role and end, at the most."""


@dataclass
class Bill:
    """Tokens so far."""

    prompt: int = 0
    completion: int = 0
    replies: int = 0
    untold: int = 0
    """Replies for which the endpoint did not say what they took."""

    def add(self, reply: Reply) -> None:
        self.replies += 1
        if reply.prompt_tokens is None or reply.completion_tokens is None:
            self.untold += 1
            return
        self.prompt += reply.prompt_tokens
        self.completion += reply.completion_tokens

    def cost(self, price: Price | None) -> float | None:
        return _money(price, self.prompt, self.completion)

    def told(self, price: Price | None) -> str:
        """For the progress bar."""
        words = f"{self.prompt + self.completion:,} tokens"
        cost = self.cost(price)
        return words if cost is None or price is None else f"{words}, {money(cost, price)}"

    def figures(self, price: Price | None) -> dict[str, Any]:
        found: dict[str, Any] = {
            "replies": self.replies, "prompt_tokens": self.prompt, "completion_tokens": self.completion,
        }  # fmt: skip
        if self.untold:
            found["replies_without_tokens"] = self.untold
        if price is not None:
            found |= {"cost": round(self.cost(price) or 0.0, 6), "currency": price.currency}
        return found


@dataclass(frozen=True)
class Estimate:
    """Before anything is asked: bounds, since nobody knows how much a judge will write."""

    verdicts: int
    prompt: int
    """About: a token per Japanese character, a quarter of one per ASCII character."""
    completion: int
    """At the most, if every verdict is as long as it may be."""

    def told(self, price: Price | None) -> str:
        words = (
            f"{self.verdicts:,} verdicts to ask for: about {self.prompt:,} tokens to send, at most {self.completion:,} "
            "tokens of verdicts"
        )
        most = _money(price, self.prompt, self.completion)
        if most is None or price is None:
            return f"{words}. Their cost in money is not known: judge.price is not set."
        return f"{words}: about {money(_money(price, self.prompt, 0) or 0.0, price)} to {money(most, price)}."


def estimate(config: JudgeSettings, cases: Iterable[Case]) -> Estimate:
    verdicts = prompt = 0
    for case in cases:
        verdicts += 1
        prompt += sum(_tokens(one["content"]) + _TOKENS_OF_A_MESSAGE for one in case.messages)
    return Estimate(verdicts, prompt, verdicts * config.max_tokens)


def check_affordable(config: JudgeSettings, expected: Estimate) -> None:
    """Raise KajiyaError where the verdicts may cost more than the recipe allows."""
    most = _money(config.price, expected.prompt, expected.completion)
    if config.max_cost is None or most is None or config.price is None or most <= config.max_cost:
        return
    raise KajiyaError(
        f"judge: {expected.told(config.price)} That may be more than judge.max_cost "
        f"({money(config.max_cost, config.price)}). Raise it, lower max_tokens, or answer fewer questions (answer.limit)."
    )


def money(amount: float, price: Price) -> str:
    return f"{amount:,.4f} {price.currency}" if amount < 1 else f"{amount:,.2f} {price.currency}"


def _money(price: Price | None, prompt: int, completion: int) -> float | None:
    if price is None:
        return None
    return (prompt * price.prompt + completion * price.completion) / 1e6


def _tokens(text: str) -> int:
    ascii_characters = sum(one.isascii() for one in text)
    return len(text) - ascii_characters + math.ceil(ascii_characters / 4)
