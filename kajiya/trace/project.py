"""The outputs of the stages that ran here, as dvc.lock names them, and rows of their Parquet files."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.compute as pc
import pyarrow.dataset as ds

from kajiya.dvc_lock import Hashed, LockedStage, read_lock


class Project(NamedTuple):
    """The project's folder and its stages by name."""

    root: Path
    stages: dict[str, LockedStage]

    @classmethod
    def at(cls, root: Path) -> "Project":
        """Raises KajiyaError when nothing has run there."""
        return cls(root, read_lock(root / "dvc.lock"))

    def items(self, stage: str) -> dict[str, Path]:
        """Output folder by item of a stage that runs once per item: {"wikipedia": data/crawl/wikipedia}."""
        return {
            name.partition("@")[2]: self._folder(one)
            for name, one in self.stages.items()
            if name.partition("@")[0] == stage
        }

    def folder(self, stage: str) -> Path | None:
        """Output folder of a stage; None where it has not run, or its output is not on this disk."""
        found = self._folder(self.stages[stage]) if stage in self.stages else None
        return found if found is not None and found.exists() else None

    def _folder(self, stage: LockedStage) -> Path:
        return self.root / output_of(stage).path


def output_of(stage: LockedStage) -> Hashed:
    """The folder that the stage writes, without its report."""
    return next(out for out in stage.outputs if not out.path.endswith(".report.json"))


def shards(folder: Path) -> list[Path]:
    """Shards of a dataset; none where there is no such folder."""
    return sorted(folder.glob("part-*.parquet"))


def rows(
    folder: Path, ids: Iterable[str], columns: list[str] | None = None, key: str = "id"
) -> Iterator[dict[str, Any]]:
    """Rows of a dataset whose `key` is one of `ids`, in order; memory stays at a batch."""
    if not (files := shards(folder)):
        return
    wanted = pc.field(key).isin(list(ids))
    dataset = ds.dataset(files)
    held = [name for name in columns if name in dataset.schema.names] if columns else None
    for batch in dataset.scanner(columns=held, filter=wanted).to_batches():
        yield from batch.to_pylist()
