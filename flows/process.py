"""Run one stage as a process of its own and follow what it says."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, BinaryIO

from kajiya.errors import MEND_FIRST, KajiyaError
from kajiya.notice import notice_seconds

LOGS = Path("logs")


class StageFailedError(Exception):
    """A stage ended with an error; the message is what it said about it."""

    def __init__(self, said: str, settled: bool = False) -> None:
        """settled: another try would end the same; a person must mend something first."""
        super().__init__(said)
        self.settled = settled


class Processes:
    """The stages running at this moment; closed, it ends them and starts no other."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._closed = False
        self._guard = threading.Lock()

    def run(self, stage: str, listen: Callable[[str, bool], None]) -> str:
        """`dvc repro` of one stage: returns "ran", "restored" (from DVC's cache) or "unchanged".

        listen: called with each line, and whether it is whole (False: a progress bar that will be redrawn).
        Raises StageFailedError. All the output stands in logs/<stage>.log.
        """
        log = self._root / log_path(stage)
        log.parent.mkdir(exist_ok=True)
        tail: deque[str] = deque(maxlen=200)
        with open(log, "wb") as sink:
            process = self._start(stage)
            try:
                assert process.stdout
                for line, whole in _lines(process.stdout, sink):
                    if not line.startswith(_FROM_DVC):
                        listen(line, whole)
                    if whole:
                        tail.append(line)
                status = process.wait()
            finally:
                with self._guard:
                    del self._running[stage]
        if status != 0:
            ended = _exit_status(status, list(tail))
            raise StageFailedError(_explanation(stage, ended, list(tail)), settled=ended == MEND_FIRST)
        return _outcome(stage, tail)

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """End every running stage with all its children, and refuse to start others.

        Each has the time of a notice, in which a training saves, and not longer than it needs; with a further
        Ctrl-C it has none.
        """
        with self._guard:
            self._closed = True
            running = list(self._running.values())
        for process in running:
            _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + notice_seconds()
        try:
            while time.monotonic() < deadline and any(_group_alive(process) for process in running):
                time.sleep(0.05)
        except KeyboardInterrupt:
            pass
        for process in running:
            _signal_group(process, signal.SIGKILL)

    def _start(self, stage: str) -> subprocess.Popen[bytes]:
        with self._guard:
            if self._closed:
                raise StageFailedError("stopped before it began")
            # A session of its own: the terminal's Ctrl-C reaches this program alone, which then
            # ends the whole group, DVC, the stage and its workers, in one go.
            process = subprocess.Popen(
                [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage],
                cwd=self._root,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._running[stage] = process
            return process


def log_path(stage: str) -> Path:
    return LOGS / f"{stage}.log"


def jobs() -> int:
    """Stages to run at the same time: KAJIYA_JOBS, or one per core."""
    value = os.environ.get("KAJIYA_JOBS", "")
    if not value:
        return len(os.sched_getaffinity(0))
    if not value.isdigit() or int(value) < 1:
        raise KajiyaError(f"KAJIYA_JOBS={value!r} in the environment: set it to a number from 1 up.")
    return int(value)


def _environment() -> dict[str, str]:
    # The stages call `python`: it must be the one that runs this, in an activated environment or not.
    interpreter = str(Path(sys.executable).parent)
    search = os.environ.get("PATH", os.defpath)
    return {
        **os.environ,
        "PATH": f"{interpreter}{os.pathsep}{search}",
        "PYTHONUNBUFFERED": "1",
        "DVC_NO_ANALYTICS": "1",
        "DO_NOT_TRACK": "1",
    }


_LINE_END = re.compile(rb"(?<=[\r\n])")


def _lines(stream: IO[bytes], sink: BinaryIO) -> Iterator[tuple[str, bool]]:
    """Lines as they come, whole ones (ended by \\n) and redrawn ones (ended by \\r); all goes to `sink`."""
    rest = b""
    while block := os.read(stream.fileno(), 65536):
        sink.write(block)
        sink.flush()
        *parts, rest = _LINE_END.split((rest + block).replace(b"\r\n", b"\n"))
        for part in parts:
            if text := part.decode("utf-8", "replace").strip():
                yield text, part.endswith(b"\n")
    if text := rest.decode("utf-8", "replace").strip():
        yield text, True


def _outcome(stage: str, tail: deque[str]) -> str:
    if any(line.startswith(f"Stage '{stage}' didn't change") for line in tail):
        return "unchanged"
    if any(line.startswith(f"Stage '{stage}' is cached") for line in tail):
        return "restored"
    return "ran"


# Of no use to a person: the walk says the same, or the advice is for `dvc repro` by hand.
_FROM_DVC = (
    "ERROR: failed to reproduce",
    "Running stage",
    "Updating lock file",
    "Generating lock file",
    "To track the changes",
    "git add ",
    "To enable auto staging",
    "dvc config core.autostage",
    "Use `dvc push`",
)


def _exit_status(of_dvc: int, tail: list[str]) -> int:
    """The stage's own, which DVC tells in words."""
    ended = re.search(r", exited with (-?\d+)", "\n".join(tail))
    return int(ended[1]) if ended else of_dvc


def _explanation(stage: str, code: int, tail: list[str]) -> str:
    """What a person needs of the output: from the stage's own error line on, or the end of it."""
    said = [line for line in tail if not line.startswith(_FROM_DVC)]
    for number, line in enumerate(said):
        if line.startswith("error: "):
            return "\n".join(said[number:])
    if any("is busy, it is being blocked by" in line for line in tail):
        return f"error: {stage}: another run is at work on the same files; wait for it to end."
    if code < 0 or code > 128:  # the shell between adds 128 to a signal's number
        number = -code if code < 0 else code - 128
        said.append(f"error: {stage}: ended by signal {number}: killed by hand, or memory ran out.")
    return "\n".join(said[-15:]) or f"error: {stage}: ended with status {code} and said nothing."


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return  # all of it has ended


def _group_alive(process: subprocess.Popen[bytes]) -> bool:
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return process.returncode is None or not _only_zombies(process.pid)


def _only_zombies(group: int) -> bool:
    """Whether what is left of a process group has ended, and only waits for an init that does not ask."""
    states = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group = entry.read_text(errors="replace").rpartition(")")[2].split()[:3]
        except (OSError, ValueError):  # ended meanwhile
            continue
        if int(of_group) == group:
            states.add(state)
    return states == {"Z"}
