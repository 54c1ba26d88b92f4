"""Read dvc.lock: which stage wrote what, from what, by which settings.

Stages may not import dvc, and registering happens inside `dvc repro`; the file is plain YAML, and
holds every stage that is done.
"""

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict

from kajiya.errors import KajiyaError
from kajiya.settings import load_yaml

REMEDY = "Run the pipeline (`kajiya run` or `dvc repro`): it records each stage there."


class Hashed(BaseModel):
    """A file or folder as DVC hashed it."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    path: str
    hash: str
    """MD5; of a folder with `.dir` behind it."""
    size_bytes: int | None = None


class LockedStage(BaseModel):
    """One stage of dvc.lock."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    name: str
    command: str
    dependencies: tuple[Hashed, ...]
    parameters: dict[str, dict[str, Any]]
    """Settings by file and section."""
    outputs: tuple[Hashed, ...]


def read_lock(path: Path) -> dict[str, LockedStage]:
    """The stages of a dvc.lock by name. Raises KajiyaError when it is absent or not one."""
    if not path.exists():
        raise KajiyaError(
            f"{path}: no such file, so nothing is known about how the models were made. {REMEDY}"
        )
    stages = load_yaml(path).get("stages")
    if not isinstance(stages, dict):
        raise KajiyaError(f"{path}: no `stages` in it. Restore it (`git checkout dvc.lock`), or: {REMEDY}")
    return {name: _stage(name, entry) for name, entry in stages.items()}


def upstream(stages: dict[str, LockedStage], targets: list[str], lock: Path) -> dict[str, list[str]]:
    """Stages that `targets` (paths) come from, in an order of work, each with the stages it needs.

    Raises KajiyaError for a target that no stage writes.
    """
    order: dict[str, list[str]] = {}

    def visit(name: str) -> None:
        if name in order:
            return
        needs = sorted({one for d in stages[name].dependencies for one in writers(stages, d.path)} - {name})
        for need in needs:
            visit(need)
        order[name] = needs

    for target in targets:
        names = writers(stages, target)
        if not names:
            raise KajiyaError(f"{lock}: no stage in it writes {target}. {REMEDY}")
        for name in names:
            visit(name)
    return order


def writers(stages: dict[str, LockedStage], path: str) -> list[str]:
    """Stages with an output that is `path`, lies in it, or holds it."""
    return sorted(
        name for name, stage in stages.items() if any(_overlap(out.path, path) for out in stage.outputs)
    )


def check_unchanged(output: Hashed, root: Path, lock: Path) -> None:
    """Raise KajiyaError unless the files on the disk are the ones that dvc.lock records."""
    path = root / output.path
    if not path.exists():
        raise KajiyaError(f"{path}: missing, though {lock} records it. Bring it back with `dvc checkout`.")
    found = folder_hash(path) if path.is_dir() else file_hash(path)
    if found != output.hash:
        raise KajiyaError(
            f"{path}: its hash is {found}, but {lock} records {output.hash}: it was changed, or its stage was "
            "run by hand. Its lineage is unknown; run `dvc repro` to make it anew."
        )


def folder_hash(folder: Path) -> str:
    """MD5 of a folder the way DVC 3 takes it: of the sorted list of its files and their MD5s."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    entries = [{"md5": file_hash(files[name]), "relpath": name} for name in sorted(files)]
    return hashlib.md5(json.dumps(entries).encode(), usedforsecurity=False).hexdigest() + ".dir"


def file_hash(path: Path, algorithm: str = "md5") -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _stage(name: str, entry: dict[str, Any]) -> LockedStage:
    return LockedStage(
        name=name,
        command=" ".join(str(entry.get("cmd", "")).split()),
        dependencies=_hashed(entry.get("deps")),
        parameters=entry.get("params") or {},
        outputs=_hashed(entry.get("outs")),
    )


def _hashed(entries: list[dict[str, Any]] | None) -> tuple[Hashed, ...]:
    records = {
        entry["path"]: Hashed(
            path=entry["path"], hash=str(entry.get(entry.get("hash", "md5"))), size_bytes=entry.get("size")
        )
        for entry in entries or []
    }
    return tuple(records[path] for path in sorted(records))


def _overlap(first: str, second: str) -> bool:
    a, b = PurePosixPath(first), PurePosixPath(second)
    return a == b or a in b.parents or b in a.parents
