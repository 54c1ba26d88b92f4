"""Map a function over shards with local worker processes; results come in order.

The number of workers is placement, never identity: KAJIYA_WORKERS changes the speed, not a byte.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from tqdm import tqdm

from kajiya.errors import KajiyaError

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>

Task = TypeVar("Task")
Result = TypeVar("Result")


def workers() -> int:
    """Worker processes to use: KAJIYA_WORKERS, or one per core."""
    value = os.environ.get("KAJIYA_WORKERS", "")
    if not value:
        return len(os.sched_getaffinity(0))
    if not value.isdigit() or int(value) < 1:
        raise KajiyaError(f"KAJIYA_WORKERS={value!r} in the environment: set it to a number from 1 up.")
    return int(value)


def map_shards(
    function: Callable[[Task], Result], tasks: Sequence[Task], description: str
) -> Iterator[Result]:
    """Yield function(task) for each task in the order of `tasks`, with a progress bar.

    `function` must be importable (module level) and pure: its result may depend on the task alone.
    """
    count = min(workers(), len(tasks))
    if count <= 1:
        yield from progress(map(function, tasks), description, len(tasks))
        return
    # spawn: fork after threads have started (Arrow, Polars) can deadlock, and a fork server's
    # children are counted in nobody's memory and seconds.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(count, context, _die_with, (os.getpid(),)) as pool:
            yield from progress(pool.map(function, tasks), description, len(tasks))
    except BrokenProcessPool:
        raise KajiyaError(
            f"{description}: a worker process was killed, most likely because memory ran out. Set KAJIYA_WORKERS "
            f"below {count} and run again."
        ) from None


def _die_with(parent: int) -> None:
    """End when the stage is killed: a worker would wait for tasks for ever."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def progress(items: Iterable[Result], description: str, total: int | None = None) -> Iterator[Result]:
    """Show a progress bar on stderr, redrawn at most twice a second; `kajiya run` shows it in its view."""
    return iter(tqdm(items, desc=description, total=total, dynamic_ncols=True, mininterval=0.5))
