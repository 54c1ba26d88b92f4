"""Who may ask: nobody beyond this machine without a key, and no web page by a detour."""

import hmac
import ipaddress
import os
import re
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from kajiya.errors import KajiyaError
from kajiya.serving.openai_requests import ApiError

KEY_VARIABLE = "KAJIYA_API_KEY"

# A Host header: a name or an address, [in brackets] where it is of IPv6, and perhaps a port.
_HOST = re.compile(r"(?:\[([^\[\]]+)\]|([^:\[\]]+))(?::\d*)?")


def api_key(host: str) -> str | None:
    """The key that clients must show. Raises KajiyaError when others can reach `host` and there is none."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key and not is_loopback(host):
        raise KajiyaError(
            f"--host {host} can be reached from other machines: set {KEY_VARIABLE} to a key that clients "
            "must send (`Authorization: Bearer KEY`), or stay with 127.0.0.1."
        )
    if not (key.isascii() and key.isprintable()):
        raise KajiyaError(
            f"{KEY_VARIABLE}: characters beyond ASCII arrive differently from every client, so the key would fit "
            "none. Choose one of ASCII letters and digits, such as `openssl rand -hex 32` prints."
        )
    return key or None


def is_loopback(host: str) -> bool:
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Asks every request for the key; without one, for the name of this machine in its Host header.

    A page in a browser can make its own name point to 127.0.0.1 (DNS rebinding) and would then read answers.
    """

    def __init__(self, app: Any, key: str | None) -> None:
        self._app = app
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(Headers(scope=scope)) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await JSONResponse(refusal.body, refusal.status)(scope, receive, send)

    def _refusal(self, headers: Headers) -> ApiError | None:
        if self._key is None:
            name = headers.get("host", "")
            found = _HOST.fullmatch(name)
            known = found is not None and is_loopback(found[1] or found[2])
            return None if known else ApiError(403, f"{name!r} is not this machine: ask 127.0.0.1.")
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), self._key.encode()):
            return None
        return ApiError(401, "a key is needed: `Authorization: Bearer KEY`.", "invalid_api_key")
