"""Training checkpoints: whole or absent, checked by checksum, safetensors and JSON only.

    checkpoints/step-00000200/rank-0.safetensors   tensors of one rank
                              metrics.jsonl        the metrics up to this step
                              manifest.json        step, ranks, xxh3 checksum of every file

Every rank writes into `.partial/` first; rank 0 writes the manifest and renames the folder, so a
folder named step-* is complete. Checksums are for what happens to it later.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from kajiya.errors import KajiyaError


def write_part(folder: Path, step: int, name: str, tensors: dict[str, torch.Tensor]) -> str:
    """Write one rank's tensors aside and flush them to the disk; returns their checksum."""
    path = partial_folder(folder, step) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, path)
        _flush(path)
    # safetensors reports a full disk in an exception of its own, without errno.
    except (OSError, SafetensorError) as error:
        kept = ", ".join(f"step {found}" for found in list_steps(folder)) or "none yet"
        raise KajiyaError(
            f"{path}: the checkpoint of step {step} could not be written ({error}). Free some disk space "
            f"and run again: training continues from the last good checkpoint ({kept})."
        ) from error
    return checksum(path)


def publish(folder: Path, step: int, checksums: dict[str, str], facts: dict[str, Any], keep: int) -> None:
    """Name the partial checkpoint `step-<step>`, then drop all but the newest `keep`."""
    partial = partial_folder(folder, step)
    manifest = partial / "manifest.json"
    manifest.write_text(json.dumps({"step": step, **facts, "checksums": checksums}, sort_keys=True) + "\n")
    _flush(manifest)
    _flush(partial)
    target = step_folder(folder, step)
    shutil.rmtree(target, ignore_errors=True)  # a damaged one, if any: a good one would have been used
    partial.replace(target)
    _flush(folder)
    # Later ones are damaged: training went on from before them. They must not push out good ones.
    steps = [found for found in list_steps(folder) if found <= step]
    for dropped in set(list_steps(folder)) - set(steps[-keep:]):
        shutil.rmtree(step_folder(folder, dropped))


def newest_good(folder: Path) -> int | None:
    """Step of the newest checkpoint whose checksums hold; damaged ones are said and passed."""
    shutil.rmtree(folder / ".partial", ignore_errors=True)
    for step in reversed(list_steps(folder)):
        damage = "; ".join(_damages(step_folder(folder, step)))
        if not damage:
            return step
        print(
            f"warning: {step_folder(folder, step)} is damaged ({damage}). "
            "It is not used; training continues from the checkpoint before it, or from the start.",
            file=sys.stderr,
            flush=True,
        )
    return None


def read_part(folder: Path, step: int, name: str) -> dict[str, torch.Tensor]:
    return load_file(step_folder(folder, step) / name)


def list_steps(folder: Path) -> list[int]:
    """Steps of the complete checkpoints, ascending."""
    return sorted(int(path.name.removeprefix("step-")) for path in folder.glob("step-*"))


def step_folder(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}"


def partial_folder(folder: Path, step: int) -> Path:
    return folder / ".partial" / f"step-{step:08d}"


def checksum(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with open(path, "rb") as handle:
        while block := handle.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _damages(folder: Path) -> Iterator[str]:
    try:
        checksums = json.loads((folder / "manifest.json").read_text())["checksums"]
    except (OSError, ValueError, KeyError) as error:
        yield f"manifest.json: {error}"
        return
    for name, expected in sorted(checksums.items()):
        path = folder / name
        if not path.is_file():
            yield f"{name} is missing"
        elif checksum(path) != expected:
            yield f"{name} has another checksum than when it was written"


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
