"""What is said of ranks that failed, were killed, hang, or were told to stop, and whether the same again may succeed."""

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from components.pretrain.watchdog import ask, culprits, read_beat, tell
from kajiya.errors import TRY_AGAIN, KajiyaError, PassingError
from kajiya.lm.checkpoint import list_steps

REWIND = 76
"""Exit status of ranks that want to be started again, from before what their journal leaves out."""

_LOG_LINES = 15


@dataclass
class Rank:
    number: int
    process: subprocess.Popen[bytes]
    log: Path
    """What it prints; rank 0 shows its progress and its errors on the terminal."""
    message: int
    """File descriptor on which the rank tells why it stopped."""


@dataclass
class Notice:
    """A signal to stop: the step is finished and saved before the end."""

    signal: int = 0
    came: float = 0.0


def beat_path(work: Path, rank: int) -> Path:
    return work / "logs" / f"rank-{rank}.beat"


def stacks_path(work: Path, rank: int) -> Path:
    return work / "logs" / f"rank-{rank}.stacks"


def failure(failed: list[Rank], notice: Notice, work: Path) -> KajiyaError:
    """PassingError for ranks that were killed or told to stop, or lost each other; KajiyaError for one that failed."""
    messages = [(rank, _message(rank)) for rank in failed]
    for rank, message in messages:
        if message and rank.process.returncode != TRY_AGAIN:
            return KajiyaError(message)
    if notice.signal:
        return PassingError(f"{stopped(notice, work)}. Run again to go on.")
    for _, message in messages:
        if message:
            return PassingError(message)
    rank = min(failed, key=lambda rank: rank.process.returncode)  # killed by a signal: negative
    code = rank.process.returncode
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
    if code == -signal.SIGKILL:
        how += " (out of memory? see the kernel's log)"
    where = (
        f"its log {rank.log} ends with:\n{_tail(rank.log)}" if rank.number else "its messages stand above."
    )
    # One that ends by itself and says nothing fell before it could: what it needs is not installed, say.
    kind = PassingError if code < 0 or code == TRY_AGAIN else KajiyaError
    return kind(
        f"rank {rank.number} of the training {how}; the other ranks were ended. Run again to continue from "
        f"the last checkpoint; {where}"
    )


def stopped(notice: Notice, work: Path) -> str:
    steps = list_steps(work / "checkpoints")
    saved = f"the last checkpoint is that of step {steps[-1]}" if steps else "no checkpoint is there yet"
    return f"told to stop by {signal.Signals(notice.signal).name}; {saved}"


def hang(ranks: list[Rank], silent: float, work: Path) -> PassingError:
    witnesses = [
        ask(
            rank.number,
            rank.process.pid,
            read_beat(beat_path(work, rank.number)),
            stacks_path(work, rank.number),
        )
        for rank in ranks
    ]
    said = "\n".join(tell(witness) for witness in culprits(witnesses))
    for rank in ranks:  # what stands does not listen to anything milder
        rank.process.kill()
    return PassingError(
        f"no rank of the training got on for {silent:.0f} s, and all were ended. {said}\n"
        f"The stacks of all ranks stand in {work / 'logs'}/rank-*.stacks. Run again to continue from the last "
        "checkpoint; where a step takes longer than that, raise KAJIYA_HANG_SECONDS."
    )


def _message(rank: Rank) -> str:
    os.set_blocking(rank.message, False)
    try:
        return os.read(rank.message, 1 << 16).decode(errors="replace")  # a long one is cut anywhere
    except BlockingIOError:
        return ""


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
