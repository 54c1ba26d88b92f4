"""Where a stage works until it publishes: its lock, and what may be continued after a crash."""

import fcntl
import hashlib
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xxhash

from kajiya.errors import KajiyaError
from kajiya.ledger import code_digest
from kajiya.settings import Settings
from kajiya.shards import write_file
from kajiya.storage import is_below_hidden, is_marked, is_remote, list_files, reaching, remove


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold the output: where DVC was killed its stage may live on, and two must not write at once.

    On S3 nothing can be held: there the lock keeps apart what runs on this machine.
    """
    lock = _lock(out)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle = open(lock, "ab")  # noqa: SIM115 - closed below
    except OSError as error:
        raise KajiyaError(
            f"{lock.parent}: cannot be made or written to ({error.strerror}). Choose another OUT, or mend the folder."
        ) from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                f"{out}: another process still writes it; waiting for its end.", file=sys.stderr, flush=True
            )
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def refuse_foreign(out: Path) -> None:
    """Raise KajiyaError when OUT is something that no stage has written: publishing would replace it."""
    with reaching(out):
        if out.is_file():
            raise KajiyaError(f"{out}: a file. OUT is the folder to write: name another.")
        if beside(out, "report").exists() or is_marked(out) or (not is_remote(out) and _lock(out).exists()):
            return
        if out.is_dir() and any(True for _ in out.iterdir()):
            raise KajiyaError(
                f"{out}: holds files, but no {beside(out, 'report').name} lies beside it: no stage has written it, and "
                "publishing would replace it. Name another OUT, or remove the folder."
            )


def beside(out: Path, kind: str) -> Path:
    """Path of the JSON file beside a stage's output; kind is "report" or "run"."""
    return out.parent / f"{out.name}.{kind}.json"


def scratch_folder(out: Path) -> Path:
    """Of this machine, for copies of what lies on S3: below KAJIYA_SCRATCH, or the system's place."""
    root = os.environ.get("KAJIYA_SCRATCH") or Path(tempfile.gettempdir()) / f"kajiya-{os.getuid()}"
    return Path(root) / hashlib.sha256(str(out).encode()).hexdigest()[:16]


def cache_folder(out: Path) -> Path:
    """What outlives the output, and is never emptied."""
    shared = os.environ.get("KAJIYA_CACHE", "")
    folder = Path(shared) / out.resolve().parent.name if shared else out.parent / ".cache"
    (folder / out.name).mkdir(parents=True, exist_ok=True)
    return folder / out.name


def work_folder(out: Path, identity: str, precious: str = "") -> Path:
    """What an earlier run left to be continued; emptied when that was begun with another identity.

    precious: glob of what is never removed here. Raises KajiyaError where it lies there and belongs to another
    identity: the edit may have been a slip, and weeks of training stand against it.
    """
    work = out.parent / ".work" / out.name
    record = work / "identity"
    with reaching(work):
        begun = record.read_text() if record.exists() else None
        if begun == identity:
            return work
        if begun is not None and precious and any(True for _ in work.glob(precious)):
            raise KajiyaError(
                f"{work}: holds unfinished work ({precious}) that was begun with other settings or inputs, and cannot "
                f"be continued with these. Changed since: {_told_changes(begun, identity)}. Nothing was removed. Undo "
                f"the change to go on with it, or remove the folder to begin anew: rm -r {shlex.quote(str(work))}"
            )
    empty(work)
    write_file(record, identity)
    return work


def empty(work: Path) -> None:
    """Remove the folder, its identity first: what a kill leaves half removed is not continued from."""
    with reaching(work):
        (work / "identity").unlink(missing_ok=True)
    remove(work)


def identity_by_content(config: Settings, inputs: dict[str, Path]) -> str:
    """Of the settings that bind and every byte of the inputs, as JSON: it can be said what changed."""
    digests = {name: _digest(path) for name, path in inputs.items()}
    return json.dumps({"settings": config.binding(), "inputs": digests}, ensure_ascii=False, sort_keys=True)


def _digest(path: Path) -> str:
    digest = xxhash.xxh3_128()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        digest.update(_encoded(file.relative_to(path), path))
        with open(file, "rb") as handle:
            while block := handle.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def _told_changes(begun: str, now: str) -> str:
    """What differs between two identities by content."""
    try:
        before, after = json.loads(begun), json.loads(now)
        told = list(_changes(before["settings"], after["settings"]))
        inputs = [name for name, digest in after["inputs"].items() if before["inputs"].get(name) != digest]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "not known, another version of kajiya began it"
    return (
        ", ".join(told + [f"the contents of the input `{name}`" for name in inputs]) or "the order of inputs"
    )


def _changes(before: Any, after: Any, key: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys([*before, *after]):
            yield from _changes(before.get(name), after.get(name), f"{key}.{name}".removeprefix("."))
    elif before != after:
        yield f"{key} from {json.dumps(before, ensure_ascii=False)} to {json.dumps(after, ensure_ascii=False)}"


def identity_by_listing(config: Any, inputs: list[Path], module: str) -> str:
    """Of settings, code, and the inputs by size and time or ETag: shards are continued from only where even a
    mended line of code would have given the same bytes, and a corpus is not read twice to know it."""
    digest = xxhash.xxh3_128(f"{config.model_dump_json()} {code_digest(module)}".encode())
    for path in inputs:
        for name, state in list_files(path).items():
            if not is_below_hidden(name):
                digest.update(_encoded(name, path) + f" {state}\n".encode())
    return digest.hexdigest()


def _encoded(name: object, folder: Path) -> bytes:
    """A file's name as UTF-8. Raises KajiyaError for one that is none, as Windows' archives bring (CP932)."""
    try:
        return str(name).encode()
    except UnicodeEncodeError:
        raise KajiyaError(
            f"{folder}: the file name {os.fsencode(str(name))!r} is not UTF-8, and documents are named by their file. "
            "Rename it, e.g. `convmv -f cp932 -t utf8 -r --notest FOLDER`, or unpack with `unzip -O cp932`."
        ) from None


def _lock(out: Path) -> Path:
    folder = scratch_folder(out) if is_remote(out) else out.parent / ".work"
    return folder / f"{out.name}.lock"
