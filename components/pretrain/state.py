"""What a restart takes up: weights and moments, step, metrics, guard, and the rows of what was read.

A checkpoint holds the state as slices of named parameters, so any number of ranks and either engine can
go on from it. A rewind is a restart too: it is written into a journal, the ranks end, and start again from
the newest checkpoint before the steps that it leaves out.
"""

import io
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed

from components.pretrain import samples
from components.pretrain.engine import Engine
from components.pretrain.guards import Alarm, Guard, usable
from components.pretrain.history import History
from components.pretrain.settings import PretrainSettings
from kajiya.lm import checkpoint
from kajiya.lm.checkpoint_slices import SliceReader, slice_key
from kajiya.lm.checkpoint_writer import CheckpointWriter
from kajiya.shards import write_file


@dataclass
class Progress:
    """Where the training is. The same on every rank, whatever it went through."""

    guard: Guard
    step: int = 0
    """Steps done, left out ones among them."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """Of metrics.jsonl."""

    def metrics(self) -> str:
        return "".join(json.dumps(row) + "\n" for row in self.rows)


class State:
    """Saves the progress of one training and takes it up again. All ranks make the same calls."""

    def __init__(
        self,
        engine: Engine,
        config: PretrainSettings,
        work: Path,
        history: History,
        pulse: Callable[[], None] = lambda: None,
    ) -> None:
        """pulse: told that the writing of a checkpoint gets on."""
        self.progress = Progress(Guard(config.guards))
        self.fed = samples.SampleLog(engine.rank)
        self.history = history
        self._engine = engine
        self._checkpoints = work / "checkpoints"
        self._samples = work / "samples"
        self._journal = work / "rewinds.json"
        self._committed: list[str] = []
        retention = checkpoint.Retention(
            config.keep_checkpoints, config.save_every_steps, config.keep_every_steps
        )
        self.writer = CheckpointWriter(self._checkpoints, engine.rank, engine.ranks, retention, pulse)

    def save(self) -> None:
        """Begin to write a checkpoint of this moment; `writer.wait` returns when it is on the disk."""
        progress, engine = self.progress, self._engine
        facts = {
            "optimizer_steps": engine.optimizer_steps(),
            "guard": progress.guard.to_json(),
        }
        files = {_rows_name(engine.rank): _npy(self.fed.take())}
        if engine.rank == 0:
            files["metrics.jsonl"] = progress.metrics().encode()
        snapshot = json.loads(json.dumps(facts))  # the training goes on and changes it
        slices = (
            (slice_key(part.kind, part.name, part.offset), part.tensor)
            for part in engine.slices()
            if part.owned
        )
        self.writer.save(progress.step, slices, files, partial(self._finish, progress.step, snapshot))

    def resume(self) -> None:
        """Take up the newest checkpoint whose checksums hold, on every rank the same one."""
        found = self._newest() if self._engine.rank == 0 else None
        # A tensor: the collectives for objects would unpickle what comes over the network.
        agreed = torch.tensor([found or 0], device=self._engine.device)
        torch.distributed.broadcast(agreed, src=0)
        step = int(agreed)
        if step:
            self._load(step)
        # The journal knows of rewinds that no checkpoint has seen yet.
        self.progress.guard.rewinds = _union(self.progress.guard.rewinds, self._read_journal())
        self.fed.clear()
        if self._engine.rank == 0:
            samples.cut(self._samples, self._committed)
            self.history.add("continue" if step else "start", step=step)
            if step:
                print(f"continuing at step {step}", file=sys.stderr, flush=True)

    def rewind(self, alarm: Alarm) -> None:
        """Note in the journal what the restart that follows leaves out; all ranks end after it."""
        self.writer.wait()
        entry = self.progress.guard.rewind(alarm)
        if self._engine.rank == 0:
            write_file(self._journal, json.dumps(_union(self._read_journal(), [entry])) + "\n")
            self.history.add("rewind", **entry, detail=alarm.detail)

    def sample_files(self) -> list[Path]:
        """The committed rows of all steps, in order; whole once the last checkpoint is written."""
        return [self._samples / name for name in self._committed]

    def _finish(self, step: int, facts: dict[str, Any], folder: Path) -> dict[str, Any]:
        rows = []
        for rank in range(self._engine.ranks):
            path = folder / _rows_name(rank)
            rows.append(np.load(path))
            path.unlink()
        self._committed = [*self._committed, samples.commit(np.concatenate(rows), self._samples, step)]
        metrics = folder / "metrics.jsonl"
        checksums = {metrics.name: checkpoint.checksum(metrics)}
        return {**facts, "samples": self._committed, "checksums": checksums}

    def _newest(self) -> int | None:
        shutil.rmtree(self._checkpoints / ".partial", ignore_errors=True)
        self._drop_undone()
        return checkpoint.newest_good(
            self._checkpoints,
            lambda manifest: samples.damages(self._samples, manifest["samples"]),
            self._warn,
        )

    def _drop_undone(self) -> None:
        """Remove the checkpoints that hold steps which a rewind leaves out."""
        journal = self._read_journal()
        for step in checkpoint.list_steps(self._checkpoints) if journal else []:
            try:
                manifest = checkpoint.read_manifest(self._checkpoints, step)
                undone = not usable(manifest, journal)
            except (OSError, ValueError, KeyError):
                continue  # damaged, which is said when it is tried
            if undone:
                checkpoint.drop(self._checkpoints, step)

    def _load(self, step: int) -> None:
        folder = checkpoint.step_folder(self._checkpoints, step)
        manifest = checkpoint.read_manifest(self._checkpoints, step)
        reader = SliceReader(folder)
        for part in self._engine.slices():
            reader.read(part.kind, part.name, part.offset, part.tensor)
        self._engine.restore(manifest["optimizer_steps"])
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        guard = Guard.from_json(self.progress.guard.settings, manifest["guard"])
        self.progress = Progress(guard, step, [json.loads(line) for line in lines])
        self._committed = manifest["samples"]

    def _read_journal(self) -> list[dict[str, Any]]:
        return json.loads(self._journal.read_bytes()) if self._journal.exists() else []

    def _warn(self, text: str) -> None:
        checkpoint.warn(text)
        self.history.add("warning", text=text)


def _rows_name(rank: int) -> str:
    return f"rank-{rank}.samples.npy"


def _npy(rows: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, rows)
    return buffer.getvalue()


def _union(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*one, *(entry for entry in other if entry not in one)]
