"""Failures that a server on loopback injects from a seed, so that a client's patience can be tested."""

import asyncio
import dataclasses
import random
from collections import Counter
from typing import Any, NamedTuple

# kind: what the client meets
FAULT_KINDS = (
    "busy",  # 429 with Retry-After
    "throttled",  # 429 without
    "unavailable",  # 503
    "broken",  # 500
    "reset",  # the connection is torn down before any answer
    "disconnect",  # ... halfway through the body
    "truncate",  # half of the body under a Content-Length that matches it, as from a broken mirror
    "unmeasured",  # half of the body without any Content-Length, ended as if it were whole
    "overlong",  # more bytes than Content-Length says
    "slow",  # `slow_seconds` before the first byte
    "trickle",  # ... and again between the pieces of the body
    "redirect",  # to another address of the same file
    "whole",  # all of the file, though a range was asked for
    "change",  # half of another version of the file, with another ETag, then the connection closes
    "stale",  # another version, whole and under the headers of the true one
)


@dataclasses.dataclass(frozen=True)
class Faults:
    """What to inject.

    kinds: of FAULT_KINDS. rate: share of the requests that fail. limit: after so many failures the
    server behaves, so that a patient client always ends. counts: what was injected, and under
    "requests" what was asked; filled while serving.
    """

    seed: int
    rate: float = 0.3
    kinds: tuple[str, ...] = FAULT_KINDS
    limit: int = 20
    retry_after_seconds: int = 1
    slow_seconds: float = 0.5
    counts: Counter[str] = dataclasses.field(default_factory=Counter, compare=False)


class _Answer(NamedTuple):
    """A whole answer of the served application."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class FaultInjector:
    """ASGI middleware, outermost, that fails some requests."""

    def __init__(self, app: Any, faults: Faults) -> None:
        self.app = app
        self.faults = faults
        self.random = random.Random(faults.seed)  # noqa: S311 - a repeatable test, no secret
        self.left = faults.limit

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        kind = self._draw() if scope["type"] == "http" else None
        if kind is None:
            await self.app(scope, receive, send)
            return
        self.faults.counts[kind] += 1
        if kind in _REFUSALS:
            headers = (
                {b"retry-after": str(self.faults.retry_after_seconds).encode()} if kind == "busy" else {}
            )
            await _send(send, _Answer(_REFUSALS[kind], headers, b"not now\n"))
        elif kind == "redirect":
            query = scope["query_string"] + (b"&" if scope["query_string"] else b"") + b"moved=1"
            target = scope["raw_path"].partition(b"?")[0] + b"?" + query
            await _send(send, _Answer(307, {b"location": target}, b""))
        elif kind == "reset":
            receive.__self__.transport.abort()  # uvicorn's: ASGI has no word for it
        else:
            await self._spoil(kind, scope, receive, send)

    def _draw(self) -> str | None:
        self.faults.counts["requests"] += 1
        if self.left == 0 or self.random.random() >= self.faults.rate:
            return None
        self.left -= 1
        return self.random.choice(self.faults.kinds)

    async def _spoil(self, kind: str, scope: Any, receive: Any, send: Any) -> None:
        """The true answer, changed as `kind` says."""
        if kind in ("whole", "change", "stale"):
            unranged = [pair for pair in scope["headers"] if pair[0] not in (b"range", b"if-range")]
            scope = {**scope, "headers": unranged}
        answer = await _collect(self.app, scope, receive)
        half = answer.body[: len(answer.body) // 2]
        if kind in ("slow", "trickle"):
            await asyncio.sleep(self.faults.slow_seconds)
            await _send(send, answer, self.faults.slow_seconds if kind == "trickle" else 0)
        elif kind == "disconnect":
            await _send(send, answer._replace(body=half))
        elif kind == "truncate":
            await _send(send, _measured(answer._replace(body=half)))
        elif kind == "unmeasured":
            bare = {name: value for name, value in answer.headers.items() if name != b"content-length"}
            await _send(send, _Answer(answer.status, bare, half))
        elif kind == "overlong":
            await _send(send, _measured(answer._replace(body=half)))
            receive.__self__.transport.write(answer.body[len(half) :])
        elif kind == "change":
            changed = {**answer.headers, b"etag": b'"another-version"', b"last-modified": _ANOTHER_DATE}
            await _send(send, _Answer(answer.status, changed, answer.body[::-1][: len(half)]))
        elif kind == "stale":
            await _send(send, answer._replace(body=answer.body[::-1]))
        else:
            await _send(send, answer)


_REFUSALS = {"busy": 429, "throttled": 429, "unavailable": 503, "broken": 500}
_ANOTHER_DATE = b"Thu, 01 Jan 2015 00:00:00 GMT"


def _measured(answer: _Answer) -> _Answer:
    length = str(len(answer.body)).encode()
    return answer._replace(headers={**answer.headers, b"content-length": length})


async def _collect(app: Any, scope: Any, receive: Any) -> _Answer:
    messages: list[dict] = []

    async def keep(message: dict) -> None:
        messages.append(message)

    await app(scope, receive, keep)
    body = b"".join(message.get("body", b"") for message in messages[1:])
    return _Answer(messages[0]["status"], dict(messages[0]["headers"]), body)


async def _send(send: Any, answer: _Answer, pause_seconds: float = 0) -> None:
    """Send an answer, in four pieces when pausing; one shorter than its Content-Length leaves the end open."""
    await send(
        {"type": "http.response.start", "status": answer.status, "headers": list(answer.headers.items())}
    )
    piece = -(-len(answer.body) // 4) if pause_seconds and answer.body else max(1, len(answer.body))
    for start in range(0, len(answer.body), piece):
        if start:
            await asyncio.sleep(pause_seconds)
        block = answer.body[start : start + piece]
        await send({"type": "http.response.body", "body": block, "more_body": True})
    announced = answer.headers.get(b"content-length")
    if announced is None or int(announced) == len(answer.body):
        await send({"type": "http.response.body", "body": b"", "more_body": False})
