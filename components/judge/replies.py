"""Every reply of a judge, kept the moment it has come: what was paid for is not asked again."""

import fcntl
import json
import os
import threading
from pathlib import Path
from typing import Any

from components.judge.endpoint import Reply
from kajiya.errors import KajiyaError, disk_error


class ReplyLog:
    """A file of replies by the key of their request; threads and processes may share it. Only ever appended to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._replies = _load(path)
        self._handle = open(path, "ab")  # noqa: SIM115 - closed below

    def __enter__(self) -> "ReplyLog":
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.close()

    def get(self, key: str) -> Reply | None:
        return self._replies.get(key)

    def keep(self, key: str, reply: Reply) -> None:
        """On the disk when this returns."""
        line = json.dumps({"key": key, **reply._asdict()}, ensure_ascii=False, sort_keys=True) + "\n"
        with self._lock:
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX)
                self._handle.write(line.encode())
                self._handle.flush()
                os.fsync(self._handle.fileno())
                fcntl.flock(self._handle, fcntl.LOCK_UN)
            except OSError as error:
                raise disk_error(error, self.path) or error from None
            self._replies[key] = reply


def _load(path: Path) -> dict[str, Reply]:
    """What the file holds. A last line that a killed process did not finish is cut off."""
    with open(path, "a+b") as handle:
        # What another process is just writing, in a cache that checkouts share, is no half line.
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.seek(0)
        content = handle.read()
        whole = content[: content.rfind(b"\n") + 1]
        handle.truncate(len(whole))
    replies: dict[str, Reply] = {}
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            entry: dict[str, Any] = json.loads(line)
            key = entry.pop("key")
            replies[key] = Reply(**entry)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise KajiyaError(
                f"{path}:{number}: no reply of a judge. Remove this line: the others are kept, and this one is asked again."
            ) from None
    return replies
