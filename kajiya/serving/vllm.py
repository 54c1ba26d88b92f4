"""vLLM, where it is installed, serves faster than we do: the command line it is called with."""

import importlib.util
import json
import os
from pathlib import Path
from typing import NoReturn

from kajiya.errors import KajiyaError
from kajiya.serving.guard import is_loopback

SERVER_VARIABLE = "KAJIYA_SERVER"
_GUESSES = 5


def use_vllm(host: str) -> bool:
    """KAJIYA_SERVER=vllm or transformers; without it, vLLM where it is installed.

    Raises KajiyaError when that would open vLLM to other machines and nobody has said so.
    """
    wanted = os.environ.get(SERVER_VARIABLE, "")
    installed = importlib.util.find_spec("vllm") is not None
    if wanted not in {"", "vllm", "transformers"}:
        raise KajiyaError(f"{SERVER_VARIABLE}={wanted}: it may be vllm or transformers.")
    if wanted == "vllm" and not installed:
        raise KajiyaError(f"{SERVER_VARIABLE}=vllm, but vLLM is not installed here (`pip install vllm`).")
    if installed and not wanted and not is_loopback(host):
        raise KajiyaError(
            f"--host {host} can be reached from other machines, and vLLM, which is installed here, asks for the key "
            "below /v1 alone: other routes of its answer everyone (/invocations and /tokenize among them). "
            f"Set {SERVER_VARIABLE}=transformers for the server that guards them all, or {SERVER_VARIABLE}=vllm "
            "where a proxy in front lets /v1 through alone."
        )
    return installed and wanted != "transformers"


def command(folder: Path, name: str, draft: Path | None, host: str, port: int) -> list[str]:
    """`vllm serve` for a model folder; speculative decoding with a draft."""
    words = ["vllm", "serve", str(folder), "--served-model-name", name, "--host", host, "--port", str(port)]
    words += ["--allowed-origins", "[]"]  # its default lets any page in a browser read answers
    if draft is not None:
        speculative = {"model": str(draft), "num_speculative_tokens": _GUESSES}
        words += ["--speculative-config", json.dumps(speculative)]
    return words


def become(words: list[str], key: str | None) -> NoReturn:
    """Replace this process by vLLM. The key goes by the environment: command lines can be read by all."""
    environment = {**os.environ, **({"VLLM_API_KEY": key} if key else {})}
    os.execvpe(words[0], words, environment)  # noqa: S606 - a list of arguments, no shell
