"""`kajiya serve`: the model behind a port."""

import socket
from collections.abc import Callable

import uvicorn

from kajiya.errors import KajiyaError
from kajiya.serving import vllm
from kajiya.serving.guard import Guard, api_key
from kajiya.serving.models import find_folder, open_model, require_same_tokenizer, served_name
from kajiya.serving.server import Api

# What an answer under way may still take when the server is told to stop.
_FAREWELL_SECONDS = 3


def serve(name: str, draft: str | None, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve until a signal ends it; `say` is told where. Replaced by vLLM where that is installed."""
    key = api_key(host)
    if vllm.use_vllm(host):
        _become_vllm(name, draft, host, port, key)
    listening = _listen(host, port)
    with listening:
        served = open_model(name, draft)
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listening.getsockname()[1]}/v1"
        helped = " with a draft" if draft else ""
        say(f"Serving {served.name}{helped} at {address} until Ctrl-C.")
        config = uvicorn.Config(
            Guard(Api(served).app(), key),
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=_FAREWELL_SECONDS,
        )
        uvicorn.Server(config).run(sockets=[listening])


def _become_vllm(name: str, draft: str | None, host: str, port: int, key: str | None) -> None:
    folder = find_folder(name)
    helper = find_folder(draft) if draft else None
    if helper is not None:
        require_same_tokenizer(folder, helper)
    vllm.become(vllm.command(folder, served_name(name), helper, host, port), key)


def _listen(host: str, port: int) -> socket.socket:
    """The socket, before the model is loaded: a port in use is said at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise KajiyaError(
            f"port {port} on {host} cannot be used ({error.strerror}). Choose another: --port."
        ) from None
