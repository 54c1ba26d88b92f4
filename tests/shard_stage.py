"""A stage that maps one function over shards, as a file: workers and other processes import it."""

import os
import signal
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from kajiya.engine import Ledger, map_shards
from kajiya.records import REJECTED
from kajiya.report import Flow, Report, add_flows
from kajiya.settings import Settings
from kajiya.shards import list_shards, read_shard, shard_path, write_shard


class SharpenSettings(Settings):
    mark: str = "刃"
    """Appended to each text."""
    trouble: str = "/nowhere"
    """Folder: `<shard>.poisoned` makes that shard fail, `<shard>.killed` kills its process; `<shard>.done` counts."""


class _Task(NamedTuple):
    config: SharpenSettings
    shard: Path
    kept: Path
    rejected: Path


class _Counts(NamedTuple):
    flows: dict[str, Flow]


def run(config: SharpenSettings, source: Path, *, out: Path, ledger: Ledger) -> Report:
    tasks = [
        _Task(config, shard, shard_path(out, number), shard_path(out / "rejected", number))
        for number, shard in enumerate(list_shards(source))
    ]
    flows: dict[str, Flow] = {}
    for counts in map_shards(_sharpen, tasks, "sharpen", ledger):
        add_flows(flows, counts.flows)
    return Report(flows=flows)


def run_on_folders(config: SharpenSettings, source: Path, *, out: Path) -> Report:
    """The same for folders of this disk alone."""
    assert isinstance(source, Path)
    assert isinstance(out, Path)
    flows: dict[str, Flow] = {}
    for number, shard in enumerate(sorted(source.glob("part-*"))):
        paths = shard_path(out, number), shard_path(out / "rejected", number)
        add_flows(flows, _sharpen(_Task(config, shard, *paths)).flows)
    return Report(flows=flows)


def _sharpen(task: _Task) -> _Counts:
    trouble = Path(task.config.trouble)
    if (trouble / f"{task.shard.name}.killed").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    if (trouble / f"{task.shard.name}.poisoned").exists():
        raise ValueError("poison")
    table = read_shard(task.shard)
    texts = pa.array([f"{text}{task.config.mark}" for text in table["text"].to_pylist()], pa.large_string())
    kept = table.set_column(2, table.schema.field("text"), texts)
    write_shard(kept, task.kept)
    write_shard(REJECTED.empty_table(), task.rejected)
    if trouble.exists():
        with (trouble / f"{task.shard.name}.done").open("a") as handle:
            handle.write("x")
    return _Counts({"web": Flow(came_in=table.num_rows, out=table.num_rows)})
