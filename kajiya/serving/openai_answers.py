"""Answers in the words of OpenAI's API, whole or as a stream of events."""

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from kajiya.serving.answer import Answer


@dataclass(frozen=True)
class Form:
    """How an answer of one kind is told."""

    model: str
    chat: bool
    identity: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, answer: Answer, text: str) -> dict[str, Any]:
        said = {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": answer.finish_reason}
        return {**self._head(stream=False), "choices": [choice], "usage": usage(answer)}

    def opening(self) -> list[str]:
        return [self._event({"role": "assistant", "content": ""})] if self.chat else []

    def piece(self, text: str) -> str:
        return self._event({"content": text} if self.chat else text)

    def closing(self, answer: Answer, with_usage: bool) -> list[str]:
        events = [self._event({} if self.chat else "", answer.finish_reason)]
        if with_usage:
            events.append(event({**self._head(stream=True), "choices": [], "usage": usage(answer)}))
        return [*events, "data: [DONE]\n\n"]

    def _event(self, said: Any, finish_reason: str | None = None) -> str:
        key = "delta" if self.chat else "text"
        choice = {"index": 0, key: said, "logprobs": None, "finish_reason": finish_reason}
        return event({**self._head(stream=True), "choices": [choice]})

    def _head(self, stream: bool) -> dict[str, Any]:
        kind = f"chat.completion{'.chunk' if stream else ''}" if self.chat else "text_completion"
        prefix = "chatcmpl" if self.chat else "cmpl"
        return {
            "id": f"{prefix}-{self.identity}",
            "object": kind,
            "created": self.created,
            "model": self.model,
        }


def event(value: dict[str, Any]) -> str:
    """A server-sent event."""
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def usage(answer: Answer) -> dict[str, int]:
    prompt, completion = len(answer.wish.prompt), answer.tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
