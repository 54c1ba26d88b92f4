"""What happened to a run, line by line: restarts, ranks, warnings, skipped steps. Never part of OUT."""

import json
import time
from pathlib import Path
from typing import IO, Any


class History:
    """`history.jsonl` in the folder for pages. The launcher and rank 0 append to it, a line at a time."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "history.jsonl"

    def add(self, event: str, **facts: Any) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = json.dumps({"time": moment, "event": event, **facts}, ensure_ascii=False)
        with open(self.path, "ab+") as handle:
            if handle.tell() and not _ends_whole(handle):
                line = "\n" + line  # the one before was cut by a kill
            handle.write(f"{line}\n".encode())

    def begin(self, ranks: int, processes: list[int]) -> None:
        """A new start; says of the one before when it ended without a word."""
        if (last := self._last()) and last not in ("end", "rewind"):
            self.add("end", why="without a word: the stage itself was killed")
        self.add("begin", ranks=ranks, processes=processes)

    def _last(self) -> str | None:
        """The event of the last line that is whole."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        for line in reversed(lines):
            try:
                return str(json.loads(line)["event"])
            except (ValueError, KeyError):  # cut by a kill
                continue
        return None


def _ends_whole(handle: IO[bytes]) -> bool:
    handle.seek(-1, 2)
    return handle.read(1) == b"\n"
