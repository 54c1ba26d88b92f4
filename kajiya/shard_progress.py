"""The bar of a stage at work: shards, time left, documents and text per second, rejects so far."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pyarrow.parquet as pq
from tqdm import tqdm

Item = TypeVar("Item")

# What a person looks for comes before the bar: `kajiya run` shows the beginning of the line.
_FORMAT = "{desc}: {percentage:3.0f}% {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}] |{bar:20}|"


def progress(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Show a progress bar on stderr, redrawn at most twice a second; `kajiya run` shows it in its view."""
    return iter(tqdm(items, desc=description, total=total, dynamic_ncols=True, mininterval=0.5))


def shard_of(task: Any) -> Path | None:
    """The file a task reads: the task itself, or its attribute `shard`."""
    shard = getattr(task, "shard", task)
    return shard if hasattr(shard, "suffix") and hasattr(shard, "open") else None


class ShardProgress:
    """Counts documents and UTF-8 bytes from the footers of the shards, rejects from the results' `flows`."""

    def __init__(self, description: str, total: int) -> None:
        self._bar = tqdm(
            desc=description, total=total, dynamic_ncols=True, mininterval=0.5, bar_format=_FORMAT
        )
        self._began = time.monotonic()
        self._documents = self._bytes = self._rejected = self._earlier = 0

    def add(self, task: Any, result: Any, earlier: bool = False) -> None:
        """One shard is done. earlier: by the run before, so that it says nothing of this one's speed."""
        documents, text_bytes = _size(shard_of(task))
        self._rejected += sum(flow.rejected.total() for flow in getattr(result, "flows", {}).values())
        if earlier:
            self._earlier += documents
        else:
            self._documents += documents
            self._bytes += text_bytes
        self._bar.set_postfix_str(self._figures(), refresh=False)
        self._bar.update()

    def close(self) -> None:
        self._bar.close()

    def _figures(self) -> str:
        documents = self._documents + self._earlier
        if not documents:
            return ""
        seconds = max(time.monotonic() - self._began, 1e-3)
        return (
            f"{documents:,} docs, {self._documents / seconds:,.0f} docs/s, "
            f"{self._bytes / seconds / 1e6:,.1f} MB/s, {self._rejected:,} rejected"
        )


def _size(shard: Path | None) -> tuple[int, int]:
    """Rows of a shard and bytes of its column `text` before compression; zeros where it is none."""
    if shard is None or shard.suffix != ".parquet":
        return 0, 0
    with shard.open("rb") as handle:
        footer = pq.read_metadata(handle)
    chunks = (
        footer.row_group(group).column(column)
        for group in range(footer.num_row_groups)
        for column in range(footer.num_columns)
    )
    text = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema == "text")
    return footer.num_rows, text
