"""Map a function over shards: on local worker processes, or on a Ray cluster; results come in order.

Where it runs is placement, never identity: KAJIYA_ENGINE (local, ray), KAJIYA_WORKERS and RAY_ADDRESS
change the speed, not a byte. A worker that is killed costs its shard another try. A shard whose
function raises is named; with a ledger the others are finished and kept.
"""

import os
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, Protocol, TypeVar

from tqdm import tqdm

from kajiya.errors import KajiyaError, PassingError, disk_error
from kajiya.ledger import Ledger, Pages
from kajiya.shard_progress import ShardProgress, progress, shard_of
from kajiya.workers import LocalWorkers, WorkerKilledError

__all__ = ["Ledger", "map_shards", "progress", "workers"]

RETRIES = 2
"""Further tries of a shard whose worker was killed."""
AHEAD = 4
"""Shards per worker that may be finished before their turn: bounds the memory of their results."""

Task = TypeVar("Task")
Result = TypeVar("Result")


class _Engine(Protocol):
    count: int

    def run(self, function: Callable[[Any], Any], task: Any) -> Any: ...
    def close(self) -> None: ...


def workers() -> int:
    """Worker processes to use: KAJIYA_WORKERS, or one per core of this machine."""
    return _number("KAJIYA_WORKERS") or len(os.sched_getaffinity(0))


def map_shards(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    description: str,
    ledger: Ledger | None = None,
) -> Iterator[Result]:
    """Yield function(task) for each task in the order of `tasks`, with a progress bar.

    function: importable (module level) and pure: its result may depend on the task alone. It is called
    again for a task whose worker was killed, so it must write its files whole or not at all.
    ledger: of the stage. Shards it knows are not done again, and after a failed shard the others are
    finished before the error is raised; without one nothing would be kept, and the error comes at once.
    Raises KajiyaError naming the shard.
    """
    pages = ledger.pages(function, description) if ledger else None
    jobs = [_Job(number, task, _name(task, number, len(tasks))) for number, task in enumerate(tasks)]
    open_jobs = sum(pages is None or job.number not in pages for job in jobs)
    failures: list[tuple[_Job, Exception]] = []
    with closing(ShardProgress(description, len(jobs))) as bar, _engine(open_jobs) as engine:
        outcomes = _outcomes(engine, partial(_do, engine, function, pages, description), jobs)
        for job, outcome in zip(jobs, outcomes, strict=True):
            try:
                result = outcome()
            except Exception as error:  # noqa: BLE001 - raised below, with the name of the shard
                failures.append((job, error))
                if pages is None:
                    break
                continue
            if not failures:
                bar.add(job.task, result, earlier=pages is not None and job.number in pages)
                yield result
    if failures:
        raise _explained(failures, description, len(jobs) if pages else 0)


class _Job(NamedTuple):
    number: int
    task: Any
    name: str


def _do(
    engine: _Engine | None,
    function: Callable[[Any], Any],
    pages: Pages | None,
    description: str,
    job: _Job,
) -> Any:
    """The result of one task: recalled, or computed and recorded."""
    if pages is not None and job.number in pages:
        return pages.recall(job.number)
    result = function(job.task) if engine is None else _persist(engine, function, description, job)
    if pages is not None:
        pages.record(job.number, result)
    return result


def _persist(engine: _Engine, function: Callable[[Any], Any], description: str, job: _Job) -> Any:
    """Try again when a worker is killed: memory may be free by then, or another machine have more."""
    for attempt in range(RETRIES + 1):
        try:
            return engine.run(function, job.task)
        except WorkerKilledError:
            if attempt < RETRIES:
                again = f"trying again ({attempt + 1} of {RETRIES})"
                tqdm.write(f"{description}: {job.name}: a worker process was killed; {again}.", sys.stderr)
    raise KajiyaError(
        f"{job.name}: a worker process was killed {RETRIES + 1} times at it, most likely because memory ran out. "
        f"Set KAJIYA_WORKERS below {engine.count} and run again."
    )


def _outcomes(
    engine: _Engine | None, do: Callable[[_Job], Any], jobs: list[_Job]
) -> Iterator[Callable[[], Any]]:
    """For each job in order a call that gives its result, or raises what went wrong."""
    if engine is None:
        yield from (partial(do, job) for job in jobs)
        return
    threads = ThreadPoolExecutor(engine.count)
    rest = iter(jobs)
    waiting: deque[Future[Any]] = deque()
    try:
        waiting.extend(threads.submit(do, job) for job in islice(rest, AHEAD * engine.count))
        while waiting:
            future = waiting.popleft()
            wait([future])
            waiting.extend(threads.submit(do, job) for job in islice(rest, 1))
            yield future.result
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _engine(tasks: int) -> Iterator[_Engine | None]:
    """The engine that the environment names; None where this process does the work itself."""
    kind = os.environ.get("KAJIYA_ENGINE") or "local"
    if kind not in ("local", "ray"):
        raise KajiyaError(f"KAJIYA_ENGINE={kind!r} in the environment: set it to local or ray.")
    engine: _Engine
    if kind == "ray" and tasks:
        from kajiya.ray_cluster import RayCluster  # noqa: PLC0415 - an extra, and seconds to import

        engine = RayCluster(_number("KAJIYA_WORKERS"))
    elif min(workers(), tasks) > 1:
        engine = LocalWorkers(min(workers(), tasks))
    else:
        yield None
        return
    with closing(engine):
        yield engine


def _explained(failures: list[tuple[_Job, Exception]], description: str, kept_of: int) -> KajiyaError:
    job, error = failures[0]
    if isinstance(error, KajiyaError):
        message = str(error)
    elif isinstance(error, OSError) and (told := disk_error(error, job.name)):
        message = str(told)
    else:
        message = f"{type(error).__name__}: {error}"
        traceback.print_exception(error)  # a defect, whose place must be found
    if job.name not in message:
        message = f"{job.name}: {message}"
    if len(failures) > 1:
        message += "\nSo failed: " + ", ".join(job.name for job, _ in failures) + "."
    if kept_of:
        message += f"\nThe other {kept_of - len(failures)} of {kept_of} shards are done and kept: run again."
    passing = all(isinstance(one, PassingError) for _, one in failures)
    explained = (PassingError if passing else KajiyaError)(f"{description}: {message}")
    explained.__cause__ = error
    return explained


def _name(task: Any, number: int, of: int) -> str:
    return str(shard_of(task) or f"part {number + 1} of {of}")


def _number(variable: str) -> int:
    """The number in an environment variable; 0 when it is not set."""
    value = os.environ.get(variable, "")
    if not value:
        return 0
    if not value.isdigit() or int(value) < 1:
        raise KajiyaError(f"{variable}={value!r} in the environment: set it to a number from 1 up.")
    return int(value)
