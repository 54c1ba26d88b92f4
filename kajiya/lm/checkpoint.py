"""Training checkpoints: whole or absent, checked by checksum, the same for any number of ranks.

    checkpoints/step-00000200/rank-0.safetensors   the slices of the training state that rank 0 owned
                              metrics.jsonl        the metrics up to this step
                              manifest.json        step, facts, xxh3 checksum of every file and of itself

Every rank writes into `.partial/` first; rank 0 writes the manifest and renames the folder, so a folder
named step-* is complete. Checksums are for what happens to it later.
"""

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

Damages = Callable[[dict[str, Any]], Iterable[str]]
"""What else keeps a checkpoint from being used, asked with its manifest."""


@dataclass(frozen=True)
class Retention:
    """Which checkpoints stay: the newest `last` of the regular ones, and those at multiples of `every_steps`.

    Regular are those at multiples of `regular_steps`. One that a notice to stop made in between stays until
    the next regular one: it must not push out the ones that a rewind may need.
    """

    last: int
    regular_steps: int
    every_steps: int | None = None

    def dropped(self, steps: list[int], newest: int) -> list[int]:
        """Of `steps`, what goes after `newest` was saved. Later ones are damaged or undone, and all go."""
        earlier = [step for step in steps if step <= newest]
        kept = {step for step in earlier if step % self.regular_steps == 0}
        kept = set(sorted(kept)[-self.last :]) | {newest}
        if self.every_steps:
            kept |= {step for step in earlier if step % self.every_steps == 0}
        return [step for step in steps if step not in kept]


def publish(folder: Path, step: int, manifest: dict[str, Any], retention: Retention) -> None:
    """Name the partial checkpoint `step-<step>`, then drop what need not stay."""
    partial = partial_folder(folder, step)
    content = {"format": _FORMAT, "step": step, **manifest}
    path = partial / "manifest.json"
    path.write_text(json.dumps(content | {"checksum": _own_checksum(content)}, sort_keys=True) + "\n")
    flush(path)
    flush(partial)
    drop(folder, step)  # damaged or undone, if any: a good one would have been used
    partial.replace(step_folder(folder, step))
    flush(folder)
    for dropped in retention.dropped(list_steps(folder), step):
        drop(folder, dropped)


def drop(folder: Path, step: int) -> None:
    """Remove a checkpoint, if it is there: moved aside first, so that a kill leaves no half of it."""
    found = step_folder(folder, step)
    if found.exists():
        aside = folder / ".partial" / f"dropped-{step:08d}-{time.monotonic_ns()}"
        aside.parent.mkdir(exist_ok=True)
        shutil.rmtree(found.replace(aside))


def newest_good(
    folder: Path, damages: Damages | None = None, tell: Callable[[str], None] | None = None
) -> int | None:
    """Step of the newest checkpoint whose checksums hold; damaged ones are said and passed."""
    for step in reversed(list_steps(folder)):
        damage = "; ".join(_damages(step_folder(folder, step), damages))
        if not damage:
            return step
        (tell or warn)(
            f"{step_folder(folder, step)} is damaged ({damage}). "
            "It is not used; training continues from the checkpoint before it, or from the start."
        )
    return None


def warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)


def read_manifest(folder: Path, step: int) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((step_folder(folder, step) / "manifest.json").read_bytes())
    return content


def list_steps(folder: Path) -> list[int]:
    """Steps of the complete checkpoints, ascending. What else a person put beside them does not count."""
    return sorted(int(found[1]) for path in folder.glob("step-*") if (found := _NAME.fullmatch(path.name)))


def step_folder(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}"


def partial_folder(folder: Path, step: int) -> Path:
    return folder / ".partial" / f"step-{step:08d}"


def checksum(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with open(path, "rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_FORMAT = 2
_NAME = re.compile(r"step-(\d{8,})")
_BLOCK = 1 << 22


def _own_checksum(content: dict[str, Any]) -> str:
    return xxhash.xxh3_128(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _damages(folder: Path, others: Damages | None) -> Iterator[str]:
    """What is wrong with a checkpoint. A disk that cannot read it is damage too, not the end of every start."""
    try:
        yield from _differences(folder, others)
    except OSError as error:
        yield f"{error.filename or folder} cannot be read: {error.strerror}"


def _differences(folder: Path, others: Damages | None) -> Iterator[str]:
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        told = manifest.pop("checksum")
    except (OSError, ValueError, KeyError, AttributeError) as error:
        yield f"manifest.json: {error}"
        return
    if told != _own_checksum(manifest) or manifest["format"] != _FORMAT:
        yield "manifest.json is not as it was written, or of another version"
        return
    for name, expected in sorted(manifest["checksums"].items()):
        path = folder / name
        if not path.is_file():
            yield f"{name} is missing"
        elif checksum(path) != expected:
            yield f"{name} has another checksum than when it was written"
    if others:
        yield from others(manifest)
