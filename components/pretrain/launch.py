"""Start the ranks, watch them, pass a notice to stop on to them, and end all of them when one dies or hangs."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from components.pretrain.endings import REWIND, Notice, Rank, beat_path, failure, hang, stopped
from components.pretrain.history import History
from components.pretrain.settings import PretrainSettings
from components.pretrain.watchdog import Watchdog, limit_of_environment
from kajiya.errors import KajiyaError, PassingError
from kajiya.lm.checkpoint import warn
from kajiya.notice import notice_seconds

# glibc gives large blocks back to the system when they are freed, and each comes back as fresh pages to be
# cleared: on CPUs a tenth to a third of a step. So they are kept, in large pages.
MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "-1",
    "MALLOC_TOP_PAD_": str(64 << 20),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}

_POLL_SECONDS = 0.1


def launch(job: dict[str, Any], config: PretrainSettings, ranks: int) -> None:
    """Run `job` in `ranks` processes. Raises KajiyaError naming the rank that fails, and PassingError where
    the same again may succeed: a rank killed, a rank that hangs, a notice to stop."""
    work = Path(job["work"])
    (work / "job.json").write_text(json.dumps(job))
    limit = limit_of_environment()
    notice_seconds()  # a bad value is told now, not at the notice
    history = History(Path(job["pages"]))
    with _notice() as notice:
        try:
            while _run(work, config, ranks, notice, limit, history) == "rewind":
                pass
        except BaseException as error:
            _note_end(history, str(error) or type(error).__name__)
            raise
    history.add("end", why="done")


def _note_end(history: History, why: str) -> None:
    """A disk too full for the history must not hide why the training ended."""
    try:
        history.add("end", why=why)
    except OSError as error:
        warn(f"{history.path}: the end of this run could not be noted ({error.strerror})")


def _run(
    work: Path, config: PretrainSettings, ranks: int, notice: Notice, limit: float | None, history: History
) -> str:
    """One start of all ranks. Returns "done", or "rewind" where they ended to begin again before a bad step."""
    for left in [*(work / "logs").glob("rank-*"), work / "rendezvous"]:
        left.unlink(missing_ok=True)  # a dead run's store would let new ranks meet old ones
    with ExitStack() as stack:
        started: list[Rank] = []
        stack.callback(_end, started)
        for number in range(ranks):
            env = environment(number, config, ranks)
            started.append(_start(number, env, work / "job.json", stack))
        history.begin(ranks, [rank.process.pid for rank in started])
        return _watch(
            started, notice, Watchdog([beat_path(work, number) for number in range(ranks)], limit), work
        )


def ranks_of_this_run(config: PretrainSettings) -> int:
    """KAJIYA_RANKS, where the machine at hand has another number of devices than the recipe planned for."""
    value = os.environ.get("KAJIYA_RANKS", "")
    if not value:
        return config.ranks
    if not value.isdigit() or int(value) < 1:
        raise KajiyaError(f"KAJIYA_RANKS={value!r} in the environment: set it to a number from 1 up.")
    ranks, micro = int(value), config.micro_batch_sequences
    if config.global_batch_sequences % (micro * ranks):
        most = config.global_batch_sequences // micro
        fitting = [str(number) for number in range(1, min(most, 1024) + 1) if most % number == 0]
        raise KajiyaError(
            f"KAJIYA_RANKS={ranks}: pretrain.global_batch_sequences {config.global_batch_sequences} is no multiple of "
            f"micro_batch_sequences {micro} x {ranks}. Ranks that fit: {', '.join(fitting)}."
        )
    return ranks


def environment(number: int, config: PretrainSettings, ranks: int) -> dict[str, str]:
    """What torchrun would set, and what fixes the order of sums."""
    cores = len(os.sched_getaffinity(0))
    threads = str(config.threads_per_rank or max(1, cores // ranks))
    return {
        **os.environ,
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OMP_DYNAMIC": "FALSE",
        # Threads that spin at every barrier halve the speed when another stage runs beside.
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
        "MKL_DYNAMIC": "FALSE",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        # All ranks are on this machine; by a name that does not resolve, or behind a firewall, they would not meet.
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo"),
        "NCCL_SOCKET_IFNAME": os.environ.get("NCCL_SOCKET_IFNAME", "lo"),
        "TOKENIZERS_PARALLELISM": "false",
        **MEMORY,
    }


@contextmanager
def _notice() -> Iterator[Notice]:
    """Take SIGTERM and Ctrl-C as a wish to stop soon; a second Ctrl-C ends at once."""
    notice = Notice()

    def take(number: int, _: Any) -> None:
        if notice.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not notice.signal:  # a second one leaves no more time than the first
            notice.signal, notice.came = number, time.monotonic()

    if threading.current_thread() is not threading.main_thread():
        yield notice
        return
    before = {number: signal.signal(number, take) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield notice
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(number: int, env: dict[str, str], job_file: Path, stack: ExitStack) -> Rank:
    log = job_file.parent / "logs" / f"rank-{number}.log"
    log.parent.mkdir(exist_ok=True)
    output = stack.enter_context(log.open("wb"))
    read_end, write_end = os.pipe()
    stack.callback(os.close, read_end)
    module = "components.pretrain.rank"
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(job_file), str(os.getpid()), str(write_end)],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output if number else None,
            pass_fds=[write_end],
        )
    finally:
        os.close(write_end)
    return Rank(number, process, log, read_end)


def _watch(ranks: list[Rank], notice: Notice, watchdog: Watchdog, work: Path) -> str:
    running = list(ranks)
    told = False
    while running:
        time.sleep(_POLL_SECONDS)
        if notice.signal and not told:
            told = True
            for rank in running:
                rank.process.send_signal(signal.SIGTERM)
        finished = [rank for rank in running if rank.process.poll() is not None]
        if any(rank.process.returncode not in (0, REWIND) for rank in finished):
            # The others fall a moment later with "connection closed by peer": the rank that can say
            # why, or the one that was killed, is the one to name.
            time.sleep(5 * _POLL_SECONDS)
            for rank in ranks:
                rank.process.poll()
            raise failure(
                [rank for rank in ranks if rank.process.returncode not in (None, 0, REWIND)], notice, work
            )
        if told and time.monotonic() - notice.came > notice_seconds():
            raise PassingError(
                f"{stopped(notice, work)}, but not within {notice_seconds():.0f} s of the notice."
            )
        if running and (silent := watchdog.silent_seconds()) is not None:
            raise hang(running, silent, work)
        running = [rank for rank in running if rank not in finished]
    return "rewind" if any(rank.process.returncode == REWIND for rank in ranks) else "done"


def _end(ranks: list[Rank]) -> None:
    """SIGTERM would let a rank finish its step, which it cannot without the others."""
    for rank in ranks:
        if rank.process.poll() is None:
            rank.process.kill()
    for rank in ranks:
        rank.process.wait()
