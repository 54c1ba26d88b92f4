"""Local worker processes, each on its own: when one is killed, its shard alone is lost."""

import ctypes
import multiprocessing
import os
import queue
import signal
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import CancelledError
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>

# spawn: fork after threads have started (Arrow, Polars) can deadlock, and a fork server's children
# are counted in nobody's memory and seconds.
_CONTEXT = multiprocessing.get_context("spawn")


class WorkerKilledError(Exception):
    """The process that worked on a shard ended without a word: a signal, or no memory."""


class LocalWorkers:
    """`count` processes; `run` may be called from that many threads at the same time."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._closed = False
        self._all = [_Worker() for _ in range(count)]
        self._free: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for worker in self._all:
            self._free.put(worker)

    def run(self, function: Callable[[Any], Any], task: Any) -> Any:
        """function(task) in a free process. Raises what it raised, or WorkerKilledError."""
        worker = self._free.get()
        try:
            return worker.run(function, task)
        except WorkerKilledError:
            worker = self._replace(worker)
            raise
        finally:
            self._free.put(worker)

    def close(self) -> None:
        """End the processes, at work or not: whoever closes early wants none of their results."""
        self._closed = True
        for worker in self._all:
            worker.kill()

    def _replace(self, worker: "_Worker") -> "_Worker":
        if self._closed:
            raise CancelledError
        self._all.remove(worker)
        new = _Worker()
        self._all.append(new)
        return new


class _Worker:
    def __init__(self) -> None:
        self._pipe, end = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(end, os.getpid()), daemon=True)
        self._process.start()
        end.close()  # the child holds the other copy: its death is the end of the stream

    def run(self, function: Callable[[Any], Any], task: Any) -> Any:
        try:
            self._pipe.send((function, task))
            answer = self._pipe.recv_bytes()
        except (EOFError, ConnectionError):
            raise WorkerKilledError from None
        result, error = ForkingPickler.loads(answer)
        if error is not None:
            raise error
        return result

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def _serve(pipe: Connection, parent: int) -> None:
    _die_with(parent)
    while True:
        try:
            request = pipe.recv_bytes()
        except EOFError:
            return  # the stage has ended
        answer, error = call(_answer, request)
        pipe.send_bytes(answer if error is None else ForkingPickler.dumps((None, error)))


def _answer(request: bytes) -> bytes:
    """What the parent reads. That a task or a result cannot be carried is its error, not the worker's death."""
    function, task = ForkingPickler.loads(request)
    return bytes(ForkingPickler.dumps((function(task), None)))


def call(function: Callable[[Any], Any], task: Any) -> tuple[Any, Exception | None]:
    """The result and None, or None and the error, which carries its traceback as a note."""
    try:
        return function(task), None
    except Exception as error:  # noqa: BLE001 - it is raised again where the stage runs
        carried = _that_travels(error)
        carried.add_note(f"In a worker process:\n{traceback.format_exc()}")
        return None, carried


def _that_travels(error: Exception) -> Exception:
    """The error, or one that says the same where a pickle of it cannot be read back: many a class asks
    its maker for more than the message, and the parent would only learn that."""
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:  # noqa: BLE001 - whatever the class of the error does when it is made again
        return RuntimeError("".join(traceback.format_exception_only(error)).strip())
    return error


def _die_with(parent: int) -> None:
    """End when the stage is killed: a worker at work would go on for nobody."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the stage, which ends its workers
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
