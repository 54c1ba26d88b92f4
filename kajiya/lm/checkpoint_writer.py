"""Write checkpoints beside the training: copied to host memory in the step, written by a thread meanwhile.

Ranks agree through files, not collectives, which would mix with those of the training: each rank puts
`rank-<n>.json` beside its part when that is on the disk, and rank 0 publishes when all have.
"""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from kajiya.errors import KajiyaError
from kajiya.lm.checkpoint import Retention, flush, list_steps, partial_folder, publish, warn
from kajiya.lm.checkpoint_slices import write_slices

_POLL_SECONDS = 0.02
_TOLD_WAIT_SECONDS = 0.5


class CheckpointWriter:
    """Of one rank. At most one checkpoint is being written at any time."""

    def __init__(
        self,
        folder: Path,
        rank: int,
        ranks: int,
        retention: Retention,
        pulse: Callable[[], None] = lambda: None,
    ) -> None:
        """pulse: called from the writing thread as it gets on."""
        self.folder = folder
        self.rank = rank
        self.ranks = ranks
        self.retention = retention
        self._pulse = pulse
        self._host: dict[str, torch.Tensor] = {}
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None

    def save(
        self, step: int, slices: Iterable[tuple[str, torch.Tensor]], files: dict[str, bytes], finish: "Finish"
    ) -> None:
        """Copy the slices and begin to write them.

        files: further files of this rank's, by name. finish: called by rank 0 in the writing thread when every
        rank's part is on the disk; returns the facts for the manifest.
        """
        began = time.monotonic()
        self.wait()
        if (waited := time.monotonic() - began) > _TOLD_WAIT_SECONDS and self.rank == 0:
            warn(
                f"the training waited {waited:.1f} s for the checkpoint before that of step {step} to be written: "
                "save less often (a larger save_every_steps is taken up at the next start), or onto a faster disk."
            )
        self._copy(slices)
        self._require_space(step)
        self._thread = threading.Thread(target=self._run, args=(step, files, finish), name="checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Return when nothing is being written any more. Raises what went wrong meanwhile."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()

    def check(self) -> None:
        """Raise KajiyaError when the checkpoint being written has failed; costs nothing."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _copy(self, slices: Iterable[tuple[str, torch.Tensor]]) -> None:
        copied: dict[str, torch.Tensor] = {}
        on_device = False
        for key, tensor in slices:
            flat = tensor.detach().reshape(-1)
            buffer = self._host.get(key)
            if buffer is None or buffer.numel() != flat.numel():
                # Pinned memory takes the copy at the full speed of the bus, and without stopping the device.
                buffer = torch.empty(flat.numel(), dtype=torch.float32, pin_memory=flat.is_cuda)
            buffer.copy_(flat, non_blocking=True)
            on_device |= flat.is_cuda
            copied[key] = buffer
        if on_device:
            torch.cuda.current_stream().synchronize()
        self._host = copied  # kept for the next one: fresh pages would cost as much as the copy

    def _require_space(self, step: int) -> None:
        needed = sum(4 * tensor.numel() for tensor in self._host.values())
        self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise KajiyaError(
                f"{self.folder}: {_size(free)} are free, and this rank's part of the checkpoint of step {step} "
                f"takes {_size(needed)}. {_remedy(self.folder)}"
            )
        if self.rank == 0 and free < 2 * needed * self.ranks:
            warn(
                f"{self.folder}: only {_size(free)} are free, and a checkpoint takes "
                f"{_size(needed * self.ranks)}. Free some disk space soon: a full disk stops the training."
            )

    def _run(self, step: int, files: dict[str, bytes], finish: "Finish") -> None:
        try:
            self._write(step, files, finish)
        except KajiyaError as error:
            self._failure = error
        except OSError as error:
            self._failure = KajiyaError(
                f"{error.filename or partial_folder(self.folder, step)}: the checkpoint of step {step} could not be "
                f"written ({error.strerror}). {_remedy(self.folder)}"
            )
        except Exception as error:  # noqa: BLE001 - raised in the training's thread
            self._failure = error

    def _write(self, step: int, files: dict[str, bytes], finish: "Finish") -> None:
        partial = partial_folder(self.folder, step)
        partial.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (partial / name).write_bytes(content)
            flush(partial / name)
        part = part_name(self.rank)
        told = {part: write_slices(partial / part, self._host, self._pulse)}
        _put(partial / f"rank-{self.rank}.json", json.dumps(told).encode())
        if self.rank:
            return
        checksums: dict[str, str] = {}
        for rank in range(self.ranks):
            marker = partial / f"rank-{rank}.json"
            while not marker.exists():  # a rank that dies ends this one too
                time.sleep(_POLL_SECONDS)
            checksums |= json.loads(marker.read_bytes())
            marker.unlink()
        facts = finish(partial)
        facts["checksums"] = checksums | facts.get("checksums", {})
        publish(self.folder, step, {"ranks": self.ranks, **facts}, self.retention)


Finish = Callable[[Path], dict[str, Any]]


def part_name(rank: int) -> str:
    return f"rank-{rank}.safetensors"


def _put(path: Path, content: bytes) -> None:
    aside = path.with_suffix(".tmp")
    aside.write_bytes(content)
    flush(aside)
    aside.replace(path)


def _remedy(folder: Path) -> str:
    kept = ", ".join(f"step {found}" for found in list_steps(folder)) or "none yet"
    return f"Free some disk space and run again: training continues from the last good checkpoint ({kept})."


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
