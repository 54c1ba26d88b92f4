"""One request to an OpenAI-compatible judge, asked again with patience where that may help.

Tried again with backoff and jitter: 408, 409, 429, 5xx, time-outs, broken connections, bodies that are cut
or no JSON. What a server asks for in Retry-After is honoured, up to a quarter of an hour. Not tried again:
a key that is refused, a request that is wrong, an account without credit.
"""

import ipaddress
import json
import os
import random
import sys
import threading
import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
from tqdm import tqdm

from kajiya import __version__
from kajiya.errors import KajiyaError, PassingError, without_secrets
from kajiya.retry_after import retry_after_seconds

URL_VARIABLE, KEY_VARIABLE = "KAJIYA_JUDGE_URL", "KAJIYA_JUDGE_KEY"
PLAIN_HTTP_VARIABLE = "KAJIYA_JUDGE_PLAIN_HTTP"
LONGEST_WAIT_SECONDS = 60.0
LONGEST_RETRY_AFTER_SECONDS = 900.0
_MOST_BYTES = 8 << 20
_PASSING = (408, 409, 425, 429)


class Reply(NamedTuple):
    """What a judge wrote, and what it took. Tokens are None where the endpoint does not tell."""

    text: str
    ended: str
    prompt_tokens: int | None
    completion_tokens: int | None


class StoppedError(Exception):
    """Another request has failed for good: this one was given up while it waited."""


class _TryAgain(Exception):  # noqa: N818 - no error yet: it becomes one when patience ends
    def __init__(self, reason: str, wait_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class Endpoint:
    """The judge's address; threads may share it. Use as a context manager."""

    def __init__(self) -> None:
        self.url = judge_url()
        self.stopping = threading.Event()
        self._telling = threading.Lock()
        self._told_until = 0.0
        self._attempts = int(_number("KAJIYA_HTTP_ATTEMPTS", 8, least=1))
        self._first_wait = _number("KAJIYA_HTTP_WAIT_SECONDS", 1)
        self._timeout = _number("KAJIYA_JUDGE_TIMEOUT_SECONDS", 300, least=0.01)
        key = os.environ.get(KEY_VARIABLE, "").strip()
        if not key.isascii() or not key.isprintable():
            raise KajiyaError(f"{KEY_VARIABLE} in the environment holds what no key can. Copy it again.")
        if key:
            _check_secrecy(self.url)
        self._client = self._connected(key)

    def _connected(self, key: str) -> httpx.Client:
        headers = {"User-Agent": f"kajiya/{__version__}", "Content-Type": "application/json"}
        try:
            return httpx.Client(
                headers=headers | ({"Authorization": f"Bearer {key}"} if key else {}),
                timeout=httpx.Timeout(self._timeout, connect=min(20, self._timeout)),
                limits=httpx.Limits(max_connections=None),
                trust_env=not _is_loopback(self.url),  # a proxy cannot reach this machine's loopback
            )
        except (ValueError, httpx.InvalidURL) as error:
            raise KajiyaError(
                f"the proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY of the environment names: {without_secrets(str(error))}. "
                "Mend its address, or unset it."
            ) from None

    def __enter__(self) -> "Endpoint":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def ask(self, body: dict[str, Any]) -> Reply:
        """Raises KajiyaError where asking again is of no use, PassingError where it has been of none."""
        content = json.dumps(body, ensure_ascii=False).encode()
        for attempt in range(1, self._attempts + 1):
            if self.stopping.is_set():
                raise StoppedError
            try:
                return _read(*self._post(content))
            except _TryAgain as caught:
                trouble = caught
            except httpx.RequestError as error:
                trouble = _request_trouble(error)
            self._wait(trouble, attempt)
        raise AssertionError  # the last wait raises

    def _post(self, content: bytes) -> tuple[httpx.Response, bytes]:
        """A whole answer within the time-out: a body that trickles is as good as none."""
        began, blocks, size = time.monotonic(), [], 0
        with self._client.stream("POST", f"{self.url}/chat/completions", content=content) as response:
            for block in response.iter_bytes():
                blocks.append(block)
                size += len(block)
                if time.monotonic() - began > self._timeout or size > _MOST_BYTES:
                    raise _TryAgain(f"no end of the answer after {size} bytes")
        return response, b"".join(blocks)

    def _wait(self, trouble: _TryAgain, attempt: int) -> None:
        """Sleep before the next attempt. Raises PassingError when patience is at its end."""
        asked = trouble.wait_seconds or 0.0
        if attempt >= self._attempts or asked > LONGEST_RETRY_AFTER_SECONDS:
            patience = (
                f"asks to wait {asked:.0f} s" if asked > LONGEST_RETRY_AFTER_SECONDS else "last attempt"
            )
            raise PassingError(
                f"{self.url}: {trouble} (attempt {attempt} of {self._attempts}, {patience}). The verdicts given so far "
                "are kept: run again to go on. Less at a time: KAJIYA_JUDGE_PARALLEL; more patience: KAJIYA_HTTP_ATTEMPTS."
            )
        backoff = min(LONGEST_WAIT_SECONDS, self._first_wait * 2 ** (attempt - 1))
        # Jitter, so that requests refused together do not come back together.
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        seconds = max(asked + backoff * (1 - jitter), backoff * jitter)
        self._tell_wait(trouble, attempt, seconds)
        if self.stopping.wait(seconds):
            raise StoppedError

    def _tell_wait(self, trouble: _TryAgain, attempt: int, seconds: float) -> None:
        """One line while a wait lasts, however many requests wait beside it: they mostly wait for the same."""
        with self._telling:
            now = time.monotonic()
            if now < self._told_until:
                return
            self._told_until = now + seconds
        told = without_secrets(str(trouble)).rstrip(".")
        tqdm.write(
            f"judge: no answer ({told}); attempt {attempt + 1} of {self._attempts} in {seconds:.1f} s.",
            sys.stderr,
        )


def judge_url() -> str:
    """KAJIYA_JUDGE_URL without a slash at its end. Raises KajiyaError for none, or for what is no address."""
    url = os.environ.get(URL_VARIABLE, "").strip().rstrip("/")
    if not url:
        raise KajiyaError(
            f"{URL_VARIABLE} is not set: the address of the judge, to which /chat/completions is added, e.g. "
            f"{URL_VARIABLE}=https://api.openai.com/v1 (and its key in {KEY_VARIABLE}), or http://127.0.0.1:8000/v1 of "
            "`kajiya serve`."
        )
    try:
        parts = urlsplit(url)
        httpx.URL(url)  # stricter: brackets, names
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except (ValueError, httpx.InvalidURL):
        is_address = False
    if not is_address:
        raise KajiyaError(
            f"{URL_VARIABLE}={without_secrets(url)}: no address of a web server (http://, https://)."
        )
    if "@" in parts.netloc or parts.query:
        raise KajiyaError(
            f"{URL_VARIABLE}: a password or a query in the address. The key belongs into {KEY_VARIABLE}."
        )
    return url.removesuffix("/chat/completions")


def _read(response: httpx.Response, body: bytes) -> Reply:
    status = response.status_code
    if status >= 300:
        _refuse(response, _told(body))
    try:
        answer = json.loads(body)
        choice = answer["choices"][0]
        message, usage = choice["message"], answer.get("usage") or {}
        text = message.get("content") or ""
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise _TryAgain(f"HTTP {status} with no chat completion in it ({_told(body)})") from None
    tokens = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    counts = [one if isinstance(one, int) else None for one in tokens]
    # A refusal has no content: it holds no score, and that is told as any reply without one.
    return Reply(
        _writable(text if isinstance(text, str) else ""), _writable(str(choice.get("finish_reason"))), *counts
    )


def _writable(text: str) -> str:
    """Half of a surrogate pair, which JSON can say and UTF-8 cannot, as a question mark: the rest was paid for."""
    return text.encode(errors="replace").decode()


def _refuse(response: httpx.Response, told: str) -> None:
    status, where = response.status_code, without_secrets(str(response.request.url))
    said = f"{where}: HTTP {status} {response.reason_phrase}{f': {told}' if told else ''}."
    if status == 429 and ("insufficient_quota" in told or "billing" in told):
        raise KajiyaError(
            f"{said} The account behind {KEY_VARIABLE} has no credit left. Verdicts so far are kept."
        )
    if status in _PASSING or status >= 500:
        raise _TryAgain(said, retry_after_seconds(response.headers.get("Retry-After")))
    if status in (401, 403):
        raise KajiyaError(f"{said} The judge refuses the key: check {KEY_VARIABLE} in the environment.")
    if status < 400 or status in (404, 405):
        raise KajiyaError(f"{said} Check {URL_VARIABLE} in the environment, and judge.model in the recipe.")
    raise KajiyaError(
        f"{said} The judge refuses the request: check judge.model, temperature, max_tokens and max_tokens_name in the "
        f"recipe, and {URL_VARIABLE}."
    )


def _told(body: bytes) -> str:
    """What an error's body says, short and without secrets."""
    text = body.decode("utf-8", errors="replace")
    try:
        error = json.loads(text)["error"]
        text = " ".join(str(error[key]) for key in ("message", "code") if error.get(key))
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return without_secrets(" ".join(text.split()))[:300]


def _request_trouble(error: httpx.RequestError) -> _TryAgain:
    """Also for a body whose compression is broken. Raises KajiyaError where asking again is of no use."""
    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        raise KajiyaError(f"{error}. Check {URL_VARIABLE} and {KEY_VARIABLE} in the environment.") from error
    return _TryAgain(f"{type(error).__name__}: {error}")


def _check_secrecy(url: str) -> None:
    """Raise KajiyaError where a key would go over the network for all to read."""
    if urlsplit(url).scheme == "https" or _is_loopback(url) or os.environ.get(PLAIN_HTTP_VARIABLE) == "1":
        return
    raise KajiyaError(
        f"{URL_VARIABLE}={url}: over http:// the key in {KEY_VARIABLE} could be read on the way. Take https://, unset the "
        f"key if the judge asks for none, or set {PLAIN_HTTP_VARIABLE}=1 if you trust the network between."
    )


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _number(name: str, default: float, least: float = 0) -> float:
    value = os.environ.get(name, "")
    try:
        number = float(value) if value else float(default)
    except ValueError:
        number = -1
    if not least <= number < 1e6:
        raise KajiyaError(f"{name}={value!r} in the environment: set it to a number from {least:g} up.")
    return number


def parallel_requests() -> int:
    """KAJIYA_JUDGE_PARALLEL: requests under way at the same time."""
    return int(_number("KAJIYA_JUDGE_PARALLEL", 4, least=1))
