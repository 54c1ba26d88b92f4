"""What judging takes: tokens, and money where a price is known; and that it takes no more than it may."""

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from components.judge.cases import Case, Message, follow_up
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
    """Before anything is asked: nobody knows how much a judge will write, nor how often it must be asked again."""

    verdicts: int
    asks: int
    """Most requests per verdict."""
    prompt: int
    """To ask once for each. About: a token per Japanese character, a quarter of one per ASCII character."""
    completion: int
    """Of one reply to each, at the most: if every one is as long as it may be."""
    most_prompt: int
    """If none but the last reply that the recipe allows holds a score, and each is as long as it may be."""
    most_completion: int

    def told(self, price: Price | None) -> str:
        words = (
            f"{self.verdicts:,} verdicts to ask for: about {self.prompt:,} tokens to send, at most {self.completion:,} "
            "tokens of verdicts"
        )
        most = _money(price, self.prompt, self.completion)
        if most is None or price is None:
            return f"{words} if asked once. Their cost in money is not known: judge.price is not set."
        words += f": about {money(_money(price, self.prompt, 0) or 0.0, price)} to {money(most, price)} if asked once"
        if self.asks == 1:
            return f"{words}."
        last = _money(price, self.most_prompt, self.most_completion) or 0.0
        return f"{words}, about {money(last, price)} if every one takes {self.asks} times (judge.asks)."


def estimate(config: JudgeSettings, cases: Iterable[Case]) -> Estimate:
    verdicts = prompt = added = 0
    for case in cases:
        verdicts += 1
        prompt += tokens_of(case.messages)
        if case.prompts.content.again is not None:
            # A follow-up sends the reply before it and a few words.
            added += config.max_tokens + tokens_of(follow_up(case, "")[len(case.messages) :])
    completion = verdicts * config.max_tokens
    most_prompt = config.asks * prompt + (config.asks - 1) * added
    return Estimate(verdicts, config.asks, prompt, completion, most_prompt, config.asks * completion)


class Purse:
    """Holds the bill of all verdicts against judge.max_cost; threads may share it. Without one it holds nothing back.

    A request is begun only where the bill, with what is under way at its longest, stays within.
    """

    def __init__(self, config: JudgeSettings) -> None:
        self._config = config
        self._spent = 0.0
        self._under_way: list[float] = []
        self._settled = threading.Condition()

    def check(self, expected: Estimate) -> None:
        """Raise KajiyaError where asking once for each verdict may already cost more than the recipe allows."""
        price, most = self._config.price, self._config.max_cost
        cost = _money(price, expected.prompt, expected.completion)
        if price is None or most is None or cost is None or self._spent + cost <= most:
            return
        before = f" {money(self._spent, price)} were spent on verdicts before." if self._spent else ""
        raise KajiyaError(
            f"judge: {expected.told(price)}{before} That may be more than judge.max_cost ({money(most, price)}). Raise it, "
            "lower max_tokens, or answer fewer questions (answer.limit)."
        )

    def paid(self, messages: Sequence[Message], reply: Reply) -> None:
        """Add a reply that was paid for before."""
        with self._settled:
            self._spent += self._cost(messages, reply)

    def spend(self, messages: Sequence[Message], ask: Callable[[], Reply]) -> Reply:
        """Ask, with as much kept aside as the reply may cost. Raises KajiyaError where that may be more than is left."""
        price = self._config.price
        longest = _money(price, tokens_of(messages), self._config.max_tokens) or 0.0
        with self._settled:
            # Those under way mostly take less than was kept aside for them.
            self._settled.wait_for(lambda: self._holds(longest) or not self._under_way)
            if price is not None and not self._holds(longest):
                raise KajiyaError(
                    f"judge: the verdicts have cost {money(self._spent, price)}, and the next reply may take that beyond "
                    f"judge.max_cost ({money(self._config.max_cost or 0.0, price)}). All verdicts given so far are kept: "
                    "raise it and run again to go on."
                )
            self._under_way.append(longest)
        reply = None
        try:
            reply = ask()
            return reply
        finally:
            with self._settled:
                self._under_way.remove(longest)
                self._spent += self._cost(messages, reply) if reply else 0.0
                self._settled.notify_all()

    def _holds(self, more: float) -> bool:
        most = self._config.max_cost
        # Sums of many small amounts: their last digit may not decide.
        return most is None or self._spent + sum(self._under_way) + more <= most * (1 + 1e-9)

    def _cost(self, messages: Sequence[Message], reply: Reply) -> float:
        """What the endpoint does not tell is counted as the estimate counts."""
        prompt, completion = reply.prompt_tokens, reply.completion_tokens
        prompt = tokens_of(messages) if prompt is None else prompt
        return (
            _money(self._config.price, prompt, _tokens(reply.text) if completion is None else completion)
            or 0.0
        )


def money(amount: float, price: Price) -> str:
    return f"{amount:,.4f} {price.currency}" if amount < 1 else f"{amount:,.2f} {price.currency}"


def _money(price: Price | None, prompt: int, completion: int) -> float | None:
    if price is None:
        return None
    return (prompt * price.prompt + completion * price.completion) / 1e6


def tokens_of(messages: Iterable[Message]) -> int:
    """About."""
    return sum(_tokens(one["content"]) + _TOKENS_OF_A_MESSAGE for one in messages)


def _tokens(text: str) -> int:
    ascii_characters = sum(one.isascii() for one in text)
    return len(text) - ascii_characters + math.ceil(ascii_characters / 4)
