"""A file on its way: what has come of it, what its source says of it, and when it is whole.

Beside the growing `NAME.partial` lies `NAME.partial.json` with the validator, length and hash that
the source stated; beside a whole file `NAME.fetched.json` with its SHA-256 and size.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kajiya.shards import write_file


@dataclass(frozen=True)
class Expected:
    """What the source's own listing says of a file; None where it says nothing."""

    bytes: int | None = None
    algorithm: str | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Fetched:
    """A whole, verified file on this disk."""

    path: Path
    sha256: str
    bytes: int

    def forget(self) -> None:
        """Remove the file and the note that it is there: the note first."""
        _note(self.path).unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Stated:
    """What the server said of the file in its headers."""

    validator: str | None
    bytes: int | None
    sha256: str | None


class Partial:
    """The unfinished file and what the server said of it."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".partial")
        self.record = target.with_name(target.name + ".partial.json")

    def stated(self) -> Stated | None:
        return Stated(**json.loads(self.record.read_bytes())) if self.record.exists() else None

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def begin(self, stated: Stated) -> None:
        self.discard()  # first the old bytes: they must never stand beside the new validator
        write_file(self.record, json.dumps(asdict(stated)))

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.record.unlink(missing_ok=True)

    def whole(self) -> Fetched | None:
        """The file, if an earlier run brought all of it here."""
        note = _note(self.target)
        return Fetched(self.target, **json.loads(note.read_bytes())) if note.exists() else None

    def publish(self, found: dict[str, Any]) -> Fetched:
        with open(self.path, "ab") as handle:  # "ab" makes the file where the source's is empty
            os.fsync(handle.fileno())
        self.path.replace(self.target)
        self.record.unlink(missing_ok=True)
        write_file(_note(self.target), json.dumps(found))
        return Fetched(self.target, **found)


def _note(target: Path) -> Path:
    return target.with_name(target.name + ".fetched.json")


def verify(partial: Partial, expected: Expected) -> tuple[dict[str, Any], str | None]:
    """sha256 and bytes of the file, and what is wrong with it, if anything."""
    known = partial.stated()
    wanted = {"sha256": known.sha256 if known else None}
    if expected.algorithm:
        wanted[expected.algorithm] = expected.digest
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in wanted}
    size = 0
    with open(partial.path, "rb") as handle:
        while block := handle.read(1 << 20):
            size += len(block)
            for one in hashes.values():
                one.update(block)
    if expected.bytes not in (None, size):
        return {}, f"it has {size} bytes, the source states {expected.bytes}"
    for name, digest in wanted.items():
        if digest is not None and hashes[name].hexdigest() != digest.lower():
            return {}, f"its {name} is {hashes[name].hexdigest()}, the source states {digest}"
    return {"sha256": hashes["sha256"].hexdigest(), "bytes": size}, None
