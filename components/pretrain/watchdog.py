"""Find out that no rank gets on, and which one holds up the others.

Every rank counts what it finishes into a file of a few bytes; the launcher reads them. When nothing moves
for too long it asks each rank for its Python stacks (SIGUSR1, which faulthandler answers from whatever the
interpreter is doing) and judges from the answers.
"""

import faulthandler
import os
import re
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kajiya.errors import KajiyaError

_LAYOUT = struct.Struct("<qqq40s")  # count, steps of this start, steps in all, what is being done
_ANSWER_SECONDS = 5.0
_BEFORE_FIRST_STEP_SECONDS = 1800.0
"""Loading weights from a slow disk and compiling may take long; a machine that does not start at all is ended."""
_SHORTEST_SECONDS = 600.0
_GAPS = 20
_STACK_LINES = 12
# Frames that wait for other ranks: who stands elsewhere holds them up.
_WAITING = re.compile(
    r"distributed/(?:distributed_c10d|c10d_logger)\.py|deepspeed/comm/|checkpoint_writer\.py"
)


class Heart:
    """Of one rank: tells that it lives, and where it is."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._count = 0
        self._first = 0
        self._at = ("starting", 0)
        self._guard = threading.Lock()

    def start(self, step: int) -> None:
        """The training takes up at `step`."""
        self._first = step
        self.beat("load", step)

    def beat(self, doing: str, step: int) -> None:
        """doing: what begins now, when `step` steps are done. Costs one write of 64 bytes into the page cache."""
        with self._guard:
            self._at = (doing, step)
            self._write()

    def pulse(self) -> None:
        """What was begun gets on; for long work between two beats, from any thread."""
        with self._guard:
            self._write()

    def _write(self) -> None:
        self._count += 1
        doing, step = self._at
        here = max(0, step - self._first)
        os.pwrite(self._file, _LAYOUT.pack(self._count, here, step, doing.encode()[:40]), 0)


@contextmanager
def following(folder: Path, pulse: Callable[[], None], seconds: float = 1.0) -> Iterator[None]:
    """Pulse as long as what lies in `folder` grows: for a library that writes for minutes and says nothing."""
    done = threading.Event()

    def follow() -> None:
        size = 0
        while not done.wait(seconds):
            if (now := _size(folder)) != size:
                size = now
                pulse()

    thread = threading.Thread(target=follow, name="follow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _size(folder: Path) -> int:
    size = 0
    for path in folder.glob("*"):
        try:
            found = path.stat()
        except FileNotFoundError:  # renamed meanwhile
            continue
        size += found.st_size + 512 * found.st_blocks  # a file may have its full length from the start
    return size


@dataclass
class Beat:
    count: int = 0
    here: int = 0
    """Steps done since the ranks were started."""
    step: int = 0
    doing: str = "starting"


def read_beat(path: Path) -> Beat:
    try:
        count, here, step, doing = _LAYOUT.unpack(path.read_bytes())
    except (OSError, struct.error):
        return Beat()
    return Beat(count, here, step, doing.rstrip(b"\0").decode(errors="replace"))


def answer_with_stacks(path: Path) -> None:
    """On SIGUSR1 append the stacks of all threads to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    faulthandler.register(signal.SIGUSR1, file=open(path, "ab"), all_threads=True)  # noqa: SIM115 - for good


class Watchdog:
    """Of the launcher."""

    def __init__(self, beats: Sequence[Path], limit_seconds: float | None) -> None:
        """limit_seconds: None for 20 times the longest time that anything took so far, at least 10 minutes. The
        first step, with all that comes before it, has half an hour."""
        self._paths = beats
        self._limit = limit_seconds
        self._counts: list[int] = [0] * len(beats)
        self._moved = time.monotonic()
        self._longest = 0.0
        self._under_way = False

    def silent_seconds(self) -> float | None:
        """Since when nothing has moved, once that is too long."""
        beats = [read_beat(path) for path in self._paths]
        counts = [beat.count for beat in beats]
        now = time.monotonic()
        if counts != self._counts:
            if self._under_way:  # the way to the first step is no measure of one
                self._longest = max(self._longest, now - self._moved)
            self._under_way = all(beat.here for beat in beats)
            self._counts, self._moved = counts, now
        return now - self._moved if now - self._moved > self._allowed() else None

    def _allowed(self) -> float:
        if not self._under_way:
            return max(_BEFORE_FIRST_STEP_SECONDS, self._limit or 0)
        if self._limit is not None:
            return self._limit
        return max(_SHORTEST_SECONDS, _GAPS * self._longest)


def limit_of_environment() -> float | None:
    """KAJIYA_HANG_SECONDS, or None where it is not set."""
    value = os.environ.get("KAJIYA_HANG_SECONDS", "")
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise KajiyaError(f"KAJIYA_HANG_SECONDS={value!r} in the environment: set it to seconds above 0.")
    return seconds


@dataclass
class Witness:
    """What one rank showed when it was asked."""

    rank: int
    beat: Beat
    stack: str
    """Of its main thread, innermost frame first; empty: it did not answer."""
    state: str
    """Of the process, as the kernel tells it."""


def ask(rank: int, process: int, beat: Beat, stacks: Path) -> Witness:
    """Ask one rank for its stacks, and wait a little for the answer."""
    size = stacks.stat().st_size if stacks.exists() else 0
    state = _state(process)
    if stacks.exists():  # before, nobody listens, and the signal would end the rank
        os.kill(process, signal.SIGUSR1)
    deadline = time.monotonic() + (_ANSWER_SECONDS if not state.startswith("T") else 0.5)
    text, before = "", None
    while time.monotonic() < deadline and (not text or text != before):
        time.sleep(0.1)
        before = text
        text = stacks.read_bytes()[size:].decode(errors="replace") if stacks.exists() else ""
    return Witness(rank, beat, _main_thread(text), state)


def culprits(witnesses: list[Witness]) -> list[Witness]:
    """Who holds up the others: who does not answer, else who is behind, else who does not wait in a collective."""
    silent = [witness for witness in witnesses if not witness.stack]
    if silent:
        return silent
    first = min(witness.beat.step for witness in witnesses)
    behind = [witness for witness in witnesses if witness.beat.step == first]
    if len(behind) < len(witnesses):
        return behind
    busy = [witness for witness in witnesses if not _WAITING.search(_innermost(witness.stack))]
    return busy or witnesses


def tell(witness: Witness) -> str:
    where = f"rank {witness.rank} hangs in step {witness.beat.step + 1} ({witness.beat.doing})"
    if not witness.stack:
        return f"{where}: it does not answer; its process is in state {witness.state}"
    return f"{where}:\n{witness.stack}"


def _state(process: int) -> str:
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return "unknown"
    found = re.search(r"^State:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else "unknown"


def _main_thread(text: str) -> str:
    """The stack that leads back to the rank's entry: faulthandler lists the threads in no useful order."""
    sections = re.split(r"\n(?=(?:Current thread|Thread) )", text)
    for section in sections:
        if "pretrain/rank.py" in section:
            return "\n".join(section.strip().splitlines()[1 : 1 + _STACK_LINES])
    return text.strip()


def _innermost(stack: str) -> str:
    return "\n".join(stack.splitlines()[:4])
