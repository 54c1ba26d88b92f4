"""One contender of a comparison: a process that prepares once and then works whenever it is told to.

So contenders can take turns, and neither loading nor compiling is counted. The standard library alone:
the environment of the peers runs this file too.
"""

import cProfile
import json
import os
import pstats
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import Any, NamedTuple, TextIO

# One core: the libraries' own threads are off, and the engine starts no worker.
ONE_CORE = {
    "KAJIYA_WORKERS": "1",
    "NUMBA_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


_PROFILE = "profile\n"
_PROFILED = 8


class Ready(NamedTuple):
    """What a contender has prepared."""

    work: Callable[[], Mapping[str, Any]]
    """Does the work once; returns counts that show what was done."""
    text_bytes: int
    settings: str
    """How it is set up, for the reader of the results."""


class Turn(NamedTuple):
    cpu: float
    wall: float
    counts: dict[str, Any]


class NoResultError(Exception):
    """A contender that could not start or did not finish; the message says why."""


def serve(prepare: Mapping[str, Callable[..., Ready]]) -> None:
    """The contender's side: `argv` names one of `prepare` and gives its options as JSON."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not pass for an answer
    ready = prepare[sys.argv[1]](**json.loads(sys.argv[2]))
    _answer(answers, text_bytes=ready.text_bytes, settings=ready.settings)
    for line in sys.stdin:
        if line == _PROFILE:
            _answer(answers, profile=_profile(ready.work))
            continue
        cpu, wall = _cpu_seconds(), time.perf_counter()
        counts = ready.work()
        wall = time.perf_counter() - wall
        _answer(answers, cpu=_cpu_seconds() - cpu, wall=wall, counts=dict(counts))


def _answer(stream: TextIO, **values: Any) -> None:
    stream.write(json.dumps(values) + "\n")
    stream.flush()


def _profile(work: Callable[[], Any]) -> list[tuple[str, float]]:
    """The functions with the most time of their own, and their share; compiled code counts to its caller."""
    profiler = cProfile.Profile(time.process_time)
    profiler.runcall(work)
    # {(file, line, function): (primitive calls, calls, own seconds, seconds, callers)}
    own = {key: entry[2] for key, entry in pstats.Stats(profiler, stream=sys.stderr).stats.items()}  # type: ignore[attr-defined]
    most = sorted(own, key=own.__getitem__, reverse=True)[:_PROFILED]
    return [(_name(*key), round(own[key] / sum(own.values()), 3)) for key in most]


def _name(file: str, _: int, function: str) -> str:
    if not file.startswith("/"):  # of C: "{method 'join' of 'str' objects}", "{built-in method posix.fsync}"
        return function.strip("{}<>").removeprefix("built-in method ").removeprefix("method ")
    path = Path(file)
    return f"{path.parent.name}/{path.name}: {function}"


def _cpu_seconds() -> float:
    """Of this process and the children that have ended."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usage)


@dataclass(eq=False)
class Contender:
    """The other side: start, then as many turns as wanted."""

    python: str
    module: str
    name: str
    options: Mapping[str, Any]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    limit_seconds: float = 600
    text_bytes: int = 0
    settings: str = ""
    turns: list[Turn] = field(default_factory=list)
    hot: list[tuple[str, float]] = field(default_factory=list)
    """Of the profile, if one was asked for."""

    def __enter__(self) -> "Contender":
        if not Path(self.python).exists():
            raise NoResultError(f"no {self.python}: `make bench-corpus` makes it")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as errors:
            self._process = subprocess.Popen(
                [self.python, "-m", self.module, self.name, json.dumps(self.options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **ONE_CORE, **self.environment},
                text=True,
            )
        try:
            facts = self._receive()
        except NoResultError:
            self.__exit__()
            raise
        self.text_bytes, self.settings = facts["text_bytes"], facts["settings"]
        return self

    def begin(self) -> None:
        """Let it work; `end` waits for it."""
        self._send("go\n")

    def end(self) -> Turn:
        facts = self._receive()
        self.turns.append(Turn(facts["cpu"], facts["wall"], facts["counts"]))
        return self.turns[-1]

    def profile(self) -> list[tuple[str, float]]:
        """Where one more turn, which does not count, spends its time."""
        self._send(_PROFILE)
        return self._receive()["profile"]

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, line: str) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise NoResultError(self._last_words()) from None

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout
        late = Timer(self.limit_seconds, self._process.kill)
        late.start()
        try:
            line = self._process.stdout.readline()
        finally:
            expired = not late.is_alive()
            late.cancel()
        if not line:
            raise NoResultError(
                f"not done after {self.limit_seconds:.0f} s" if expired else self._last_words()
            )
        return json.loads(line)

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it ended without a word"

    @property
    def cpu(self) -> float:
        """Of its best turn: what disturbs a turn only ever makes it longer."""
        return min(turn.cpu for turn in self.turns)

    @property
    def wall(self) -> float:
        return min(turn.wall for turn in self.turns)
