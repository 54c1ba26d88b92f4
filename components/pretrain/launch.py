"""Start the ranks, watch them, and end all of them when one dies."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.pretrain.settings import PretrainSettings
from kajiya.errors import KajiyaError

_POLL_SECONDS = 0.1
_GRACE_SECONDS = 10.0
_LOG_LINES = 15


@dataclass
class Rank:
    number: int
    process: subprocess.Popen[bytes]
    log: Path
    """What it prints; rank 0 shows its progress and its errors on the terminal."""
    message: int
    """File descriptor on which the rank tells why it stopped."""


def launch(job: dict[str, Any], config: PretrainSettings) -> None:
    """Run `job` in `config.ranks` processes. Raises KajiyaError naming the first rank that fails."""
    work = Path(job["work"])
    job_file = work / "job.json"
    job_file.write_text(json.dumps(job))
    rendezvous = work / "rendezvous"
    rendezvous.unlink(missing_ok=True)  # a dead run's store would let new ranks meet old ones
    with ExitStack() as stack:
        ranks: list[Rank] = []
        stack.callback(_end, ranks)
        ranks.extend(_start(number, config, job_file, stack) for number in range(config.ranks))
        _watch(ranks)


def environment(number: int, config: PretrainSettings) -> dict[str, str]:
    """What torchrun would set, and what fixes the order of sums."""
    cores = len(os.sched_getaffinity(0))
    threads = str(config.threads_per_rank or max(1, cores // config.ranks))
    return {
        **os.environ,
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(config.ranks),
        "LOCAL_WORLD_SIZE": str(config.ranks),
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OMP_DYNAMIC": "FALSE",
        # Threads that spin at every barrier halve the speed when another stage runs beside.
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
        "MKL_DYNAMIC": "FALSE",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo"),
        "TOKENIZERS_PARALLELISM": "false",
    }


def _start(number: int, config: PretrainSettings, job_file: Path, stack: ExitStack) -> Rank:
    log = job_file.parent / "logs" / f"rank-{number}.log"
    log.parent.mkdir(exist_ok=True)
    output = stack.enter_context(log.open("wb"))
    read_end, write_end = os.pipe()
    stack.callback(os.close, read_end)
    try:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "components.pretrain.rank",
                str(job_file),
                str(os.getpid()),
                str(write_end),
            ],
            env=environment(number, config),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output if number else None,
            pass_fds=[write_end],
        )
    finally:
        os.close(write_end)
    return Rank(number, process, log, read_end)


def _watch(ranks: list[Rank]) -> None:
    running = list(ranks)
    while running:
        time.sleep(_POLL_SECONDS)
        finished = [rank for rank in running if rank.process.poll() is not None]
        failed = [rank for rank in finished if rank.process.returncode]
        if failed:
            # The others fall a moment later with "connection closed by peer": the rank that can say
            # why, or the one that was killed, is the one to name.
            time.sleep(5 * _POLL_SECONDS)
            for rank in ranks:
                rank.process.poll()
            raise KajiyaError(_failure([rank for rank in ranks if rank.process.returncode]))
        running = [rank for rank in running if rank not in finished]


def _failure(failed: list[Rank]) -> str:
    messages = [(rank, _message(rank)) for rank in failed]
    for _, message in messages:
        if message:
            return message
    rank = min(failed, key=lambda rank: rank.process.returncode)  # killed by a signal: negative
    code = rank.process.returncode
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
    if code == -signal.SIGKILL:
        how += " (out of memory? see the kernel's log)"
    where = (
        f"its log {rank.log} ends with:\n{_tail(rank.log)}" if rank.number else "its messages stand above."
    )
    return (
        f"rank {rank.number} of the training {how}; the other ranks were ended. Run again to continue from "
        f"the last checkpoint; {where}"
    )


def _message(rank: Rank) -> str:
    os.set_blocking(rank.message, False)
    try:
        return os.read(rank.message, 1 << 16).decode(errors="replace")  # a long one is cut anywhere
    except BlockingIOError:
        return ""


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])


def _end(ranks: list[Rank]) -> None:
    for rank in ranks:
        if rank.process.poll() is None:
            rank.process.terminate()
    deadline = time.monotonic() + _GRACE_SECONDS
    for rank in ranks:
        try:
            rank.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            rank.process.kill()
            rank.process.wait()
