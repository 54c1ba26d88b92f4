"""Ask a source over HTTP, politely and patiently.

Every request names this program and a contact. What may pass (429, 5xx, time-outs, closed
connections) is tried again with exponential backoff; what a server asks for in Retry-After is
honoured. How patient to be is placement, not identity: KAJIYA_HTTP_ATTEMPTS (tries in a row without
progress, default 8), KAJIYA_HTTP_WAIT_SECONDS (first wait, default 1) and KAJIYA_HTTP_TIMEOUT_SECONDS
(silence after which a connection is given up, default 60) in the environment.

No message shows what is secret in an address: see `shown`. A source cannot send this program into the
network that it runs in: see `Client`.
"""

import os
import ssl
import time
import zlib
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

import httpx

from components.crawl.networks import networks
from kajiya import __version__
from kajiya.errors import KajiyaError, PassingError, without_secrets
from kajiya.retry_after import retry_after_seconds

Answer = TypeVar("Answer")

LONGEST_WAIT_SECONDS = 60.0
# A server that asks for more than this is down for maintenance: better to end and be run again.
LONGEST_RETRY_AFTER_SECONDS = 900.0
# A body that comes slower over a whole time-out is as good as none: a byte now and then keeps any
# connection open for ever.
SLOWEST_BYTES_A_SECOND = 100


class TryAgain(Exception):  # noqa: N818 - no error yet: it becomes one when patience ends
    """A request failed in a way that may pass."""

    def __init__(self, reason: str, wait_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class Patience:
    """Waits between tries of one request, and when to give up."""

    def __init__(self, url: str, least_wait_seconds: float = 0) -> None:
        self.url = shown(url)
        self.least_wait = least_wait_seconds
        self.attempts = int(_number_from_environment("KAJIYA_HTTP_ATTEMPTS", 8))
        self.first_wait = _number_from_environment("KAJIYA_HTTP_WAIT_SECONDS", 1)
        self.failures = 0

    def renew(self) -> None:
        """Call after progress: only tries without progress count."""
        self.failures = 0

    def spend(self, trouble: TryAgain) -> None:
        """Sleep before the next try. Raises PassingError when it was the last one."""
        self.failures += 1
        if self.failures >= self.attempts:
            raise PassingError(
                f"{self.url}: gave up after {self.failures} tries: {trouble}. What was fetched so far is "
                "kept: check the source and the network, then run again."
            )
        asked = trouble.wait_seconds
        if asked is not None and asked > LONGEST_RETRY_AFTER_SECONDS:
            raise PassingError(f"{self.url}: {trouble}; it asks to wait {asked:.0f} s. Run again after that.")
        time.sleep(max(self.least_wait, self._backoff() if asked is None else asked))

    def _backoff(self) -> float:
        # Jitter from the address keeps many clients apart, and one client the same from run to run.
        jitter = zlib.crc32(f"{self.url} {self.failures}".encode()) / 2**32
        wait = self.first_wait * 2 ** (self.failures - 1) * (1 + jitter / 2)
        return min(wait, LONGEST_WAIT_SECONDS)


class Pace:
    """Raises TryAgain when a body comes slower than a patient reader can wait for."""

    def __init__(self) -> None:
        self.window = timeout_seconds()
        self.began, self.bytes = time.monotonic(), 0

    def note(self, size: int) -> None:
        self.bytes += size
        passed = time.monotonic() - self.began
        if passed < self.window:
            return
        if self.bytes < SLOWEST_BYTES_A_SECOND * passed:
            raise TryAgain(f"only {self.bytes} bytes in {passed:.0f} s")
        self.began, self.bytes = time.monotonic(), 0


class Client:
    """HTTP to one source; use it as a context manager.

    contact_required: the source's rules ask for a contact in User-Agent (not asked on loopback).
    least_wait_seconds: set it where the source asks for a pause after every answer, refusals too.
    """

    least_wait_seconds: float = 0

    def __init__(self, base_url: str, contact_required: bool = False) -> None:
        self.base_url = base_url.rstrip("/")
        if "@" in urlsplit(base_url).netloc:
            raise KajiyaError(
                f"{shown(base_url)}: an address with a password in it. Take it out of the settings."
            )
        loopback = is_loopback(base_url)
        self.session = httpx.Client(
            headers={
                "User-Agent": _user_agent(contact_required and not loopback, base_url),
                "Accept-Encoding": "identity",  # sizes, ranges and checksums are of the file itself
            },
            timeout=httpx.Timeout(timeout_seconds(), connect=min(20, timeout_seconds())),
            follow_redirects=True,
            trust_env=not loopback,  # a proxy cannot reach this machine's loopback
            event_hooks={"request": [self._check_host]},  # of every request: the redirected ones too
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def url(self, path: str) -> str:
        """The address of a path below base_url. Raises KajiyaError for an address on another host."""
        if "://" not in path.partition("?")[0]:
            return f"{self.base_url}/{path.lstrip('/')}"
        if urlsplit(path)[:2] != urlsplit(self.base_url)[:2]:
            raise KajiyaError(
                f"{shown(self.base_url)} names a file on another host, {shown(path)}. Use another mirror (base_url)."
            )
        return path

    def _check_host(self, request: httpx.Request) -> None:
        """Raise KajiyaError for a redirect into a network that base_url is not in itself."""
        base, host = urlsplit(self.base_url).hostname or "", request.url.host
        if host != base and (inner := networks(host) - {"public"} - networks(base)):
            raise KajiyaError(
                f"{shown(self.base_url)}: the source redirects to {host}, a {min(inner)} address. Check base_url."
            )

    def get(
        self, path: str, judge: Callable[[httpx.Response], Answer], params: dict[str, str] | None = None
    ) -> Answer:
        """One small answer, as `judge` reads it; `judge` raises TryAgain for one that may get better."""
        url = self.url(path)
        patience = Patience(url, self.least_wait_seconds)
        while True:
            try:
                with self.session.stream("GET", url, params=params) as arriving:
                    response = _read(arriving)
                check_busy(response)
                return judge(response)
            except TryAgain as caught:
                trouble = caught
            except httpx.RequestError as error:
                trouble = transport_trouble(error)
            patience.spend(trouble)


def _read(response: httpx.Response) -> httpx.Response:
    """The whole answer, unless it comes too slowly."""
    pace, blocks = Pace(), []
    for block in response.iter_raw():
        pace.note(len(block))
        blocks.append(block)
    return httpx.Response(
        response.status_code,
        headers=response.headers,
        content=b"".join(blocks),
        request=response.request,
        history=response.history,
    )


def body_of(response: httpx.Response) -> bytes:
    """The body of a good answer. Raises KajiyaError with the status of any other."""
    check_status(response)
    return response.content


def check_busy(response: httpx.Response) -> None:
    """Raise TryAgain for statuses that pass: 408, 429 and 5xx."""
    if response.status_code in (408, 429) or response.status_code >= 500:
        raise TryAgain(
            f"HTTP {response.status_code} {response.reason_phrase}",
            retry_after_seconds(response.headers.get("Retry-After")),
        )


def check_status(response: httpx.Response) -> None:
    if response.status_code >= 400:
        raise KajiyaError(
            f"{asked_url(response)}: HTTP {response.status_code} {response.reason_phrase}. Check the "
            "revision, date and base_url in the settings: the source has no such file, or refuses it."
        )


def refuse_encoding(response: httpx.Response) -> None:
    """Raise KajiyaError for a file that comes packed, though `identity` was asked: no checksum would hold."""
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise KajiyaError(
            f"{asked_url(response)}: came as Content-Encoding {encoding}, though the file itself was asked for. Check "
            "base_url and any proxy on the way."
        )


def transport_trouble(error: httpx.RequestError) -> TryAgain:
    """What to make of a request that got no whole answer. Raises KajiyaError where no try will help."""
    address = shown(str(error.request.url))
    if isinstance(error, httpx.TooManyRedirects):
        raise KajiyaError(
            f"{address}: the source redirects in a circle. Check base_url in the settings."
        ) from error
    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        raise KajiyaError(f"{address}: {error}. Check base_url in the settings.") from error
    if isinstance(_first_cause(error), ssl.SSLCertVerificationError):
        raise KajiyaError(
            f"{address}: {error}. Check base_url, the clock and the certificates here."
        ) from error
    return TryAgain(f"{type(error).__name__}: {error}")


def _first_cause(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def asked_url(response: httpx.Response) -> str:
    """The address that was asked for, not the presigned one that it redirected to."""
    return shown(str((response.history or [response])[0].request.url))


def shown(url: str) -> str:
    """An address without password and keys, fit for a message."""
    return without_secrets(url)


def is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def _user_agent(contact_required: bool, base_url: str) -> str:
    contact = os.environ.get("KAJIYA_CONTACT", "").strip()
    if contact_required and not contact:
        raise KajiyaError(
            f"{base_url} asks programs to say whom to write to: set KAJIYA_CONTACT in the environment to "
            "your e-mail address or the page of your project, e.g. KAJIYA_CONTACT=you@example.org."
        )
    if not contact.isascii() or not contact.isprintable():
        raise KajiyaError("KAJIYA_CONTACT in the environment: only ASCII letters can stand in User-Agent.")
    return f"kajiya/{__version__} (+{contact})" if contact else f"kajiya/{__version__}"


def timeout_seconds() -> float:
    """Silence after which a connection is given up."""
    return _number_from_environment("KAJIYA_HTTP_TIMEOUT_SECONDS", 60) or 60


def _number_from_environment(name: str, default: float) -> float:
    value = os.environ.get(name, "")
    try:
        number = float(value) if value else float(default)
    except ValueError:
        number = -1
    if not 0 <= number < 1e6:
        raise KajiyaError(f"{name}={value!r} in the environment: set it to a number from 0 up.")
    return number
