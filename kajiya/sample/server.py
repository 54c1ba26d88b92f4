"""Serve a part of the sample world on loopback, as the real sources do.

Files keep their path below the root (`<base>/jawiki/20260101/dumpstatus.json`,
`<base>/datasets/allenai/c4/resolve/<revision>/...`), with Range, ETag and Last-Modified. Beside a
`meetings.json` the Diet record API answers: `<base>/api/` for `data/sample/diet`, `<base>/diet/api/` for
the whole of `data/sample`.
"""

import contextlib
import errno
import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from kajiya.errors import KajiyaError
from kajiya.sample import diet_api
from kajiya.sample.faults import FaultInjector, Faults


@contextlib.contextmanager
def serve(root: Path, port: int = 0, faults: Faults | None = None) -> Iterator[str]:
    """Serve `root` on 127.0.0.1 while the block runs; yields the base URL without a last slash.

    port: 0 takes a free one. Raises KajiyaError when `root` is missing or the port is in use.
    """
    if not root.is_dir():
        raise KajiyaError(f"{root}: no such folder to serve. Run the stage `sample` first.")
    listener = _listen(port)
    app: Any = application(root)
    if faults is not None:
        app = FaultInjector(app, faults)
    config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise KajiyaError(f"The server of {root} did not start.")
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def application(root: Path) -> Starlette:
    """The ASGI application; the Diet API is there when the root or a folder in it holds `meetings.json`."""
    routes = []
    for meetings in sorted([*root.glob("meetings.json"), *root.glob("*/meetings.json")]):
        prefix = "".join(f"/{part}" for part in meetings.parent.relative_to(root).parts)
        routes.append(Route(prefix + "/api/{endpoint}", _diet_route(_read_meetings(meetings))))
    routes.append(Route("/{path:path}", _file_route(root.resolve())))
    return Starlette(routes=routes)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise KajiyaError(
                f"port {port} on 127.0.0.1 is in use by another program: end it, or choose another port "
                "(0 takes a free one)."
            ) from None
        raise
    return listener


def _read_meetings(path: Path) -> list[dict]:
    try:
        return json.loads(path.read_bytes())["meetingRecord"]
    except (ValueError, KeyError) as error:
        raise KajiyaError(f"{path}: not a list of meetings ({error!r}). Rerun the stage `sample`.") from None


def _diet_route(meetings: list[dict]) -> Any:
    async def endpoint(request: Request) -> Response:
        name = request.path_params["endpoint"]
        if name not in diet_api.LIMITS:
            return Response(status_code=404)
        query = dict(request.query_params)
        status, body = diet_api.answer(meetings, name, query, len(request.url.query))
        if query.get("recordPacking", "xml") == "json":
            content, kind = json.dumps(body, ensure_ascii=False).encode(), "application/json"
        else:
            content, kind = diet_api.to_xml(body), "application/xml"
        return Response(content, status, media_type=f"{kind}; charset=utf-8")

    return endpoint


def _file_route(root: Path) -> Any:
    async def endpoint(request: Request) -> Response:
        path = (root / request.path_params["path"]).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            return Response("not found\n", status_code=404)
        return FileResponse(path, headers=_hub_headers(path, request.path_params["path"]))

    return endpoint


def _hub_headers(path: Path, name: str) -> dict[str, str]:
    """What the Hugging Face hub says of a large file: its SHA-256, size and commit."""
    parts = name.split("/")
    if "resolve" not in parts:
        return {}
    with open(path, "rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    return {
        "X-Linked-ETag": f'"{digest}"',
        "X-Linked-Size": str(path.stat().st_size),
        "X-Repo-Commit": parts[parts.index("resolve") + 1],
        "ETag": f'"{digest}"',
    }
