"""Workers on a Ray cluster: one Ray task per shard. docs/scaling.md says how to start one.

Ray carries the function (by its name) and the task, plain data, between machines of one cluster, as
pickles; so kajiya joins none that does not ask for a token (docs/decisions/0006-ray-transport.md).
"""

import functools
import importlib.util
import logging
import os
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, NamedTuple

from kajiya.errors import KajiyaError
from kajiya.ledger import code_digest
from kajiya.workers import WorkerKilledError, call


class RayCluster:
    """Tasks on the cluster at RAY_ADDRESS; `run` may be called from `count` threads at the same time."""

    def __init__(self, count: int) -> None:
        """count: shards at the same time; 0 for one per CPU of the cluster."""
        self._ray = _connected()
        self._closed = False
        self._running: set[Any] = set()
        resources = {"num_cpus": 1, "max_retries": 0, "scheduling_strategy": "SPREAD"}
        self._remote = self._ray.remote(**resources)(_call_same)
        self.count = count or max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def run(self, function: Callable[[Any], Any], task: Any) -> Any:
        """function(task) somewhere in the cluster. Raises what it raised, or WorkerKilledError."""
        if self._closed:
            raise CancelledError
        same = _Same(code_digest(_module(function)), str(Path.cwd()))
        reference = self._remote.remote(function, task, same)
        self._running.add(reference)
        try:
            result, error = self._ray.get(reference)
        except self._ray.exceptions.TaskCancelledError:
            raise CancelledError from None
        except self._ray.exceptions.RayTaskError as error:  # the function could not even be called
            raise KajiyaError(
                f"{_module(function)}: could not be called on a node of the cluster ({_reason(error)}). "
                "Install the same version of kajiya, with its dependencies, on every node."
            ) from None
        except self._ray.exceptions.RayError:  # the worker, its node, or its memory is gone
            raise WorkerKilledError from None
        finally:
            self._running.discard(reference)
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        """Leave the cluster, which stays up; what still runs for this stage is ended."""
        self._closed = True
        for reference in list(self._running):
            self._ray.cancel(reference, force=True)
        self._ray.shutdown()


def _connected() -> Any:
    if not importlib.util.find_spec("ray"):
        raise KajiyaError("KAJIYA_ENGINE=ray, but Ray is not installed here: pip install 'kajiya[ray]'.")
    address = os.environ.get("RAY_ADDRESS", "")
    if not address:
        raise KajiyaError("KAJIYA_ENGINE=ray needs RAY_ADDRESS, the HOST:PORT of a running cluster's head.")
    if os.environ.get("RAY_AUTH_MODE") != "token":
        raise KajiyaError(
            "KAJIYA_ENGINE=ray needs RAY_AUTH_MODE=token, here and on the cluster: without it whoever reaches the "
            "cluster can run code there. Make a token with `ray get-auth-token --generate`; see docs/scaling.md."
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray  # noqa: PLC0415 - an extra; it reads RAY_AUTH_MODE when imported

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        first = str(error).strip().partition("\n")[0]
        raise KajiyaError(
            f"RAY_ADDRESS={address}: no Ray cluster answers there ({first}). Check the address and the token."
        ) from None
    return ray


class _Same(NamedTuple):
    """What must be alike on every node."""

    code: str
    folder: str
    """Where the stage runs: paths may be relative to it."""


def _call_same(function: Callable[[Any], Any], task: Any, same: _Same) -> tuple[Any, Exception | None]:
    """Refuse to work by other code than the stage's own: bytes would depend on the machine."""
    node = os.uname().nodename
    if code_digest(_module(function)) != same.code:
        return None, KajiyaError(
            f"{_module(function)}: the code on node {node} is not that of the machine where the stage was started. "
            "Install the same version on every node of the cluster."
        )
    try:
        os.chdir(same.folder)
    except OSError as error:
        return None, KajiyaError(
            f"{same.folder}: not on node {node} ({error.strerror}). Mount it at the same path on every node."
        )
    return call(function, task)


def _reason(error: Exception) -> str:
    """`ModuleNotFoundError: ...` at the end of the traceback that Ray gives as text."""
    return str(error).strip().rpartition("\n")[2].strip()


def _module(function: Callable[[Any], Any]) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return function.__module__
