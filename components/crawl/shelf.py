"""Where documents are put down in their order: shards of about one size, whatever pieces they come in."""

import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kajiya.shards import SHARD_BYTES, read_shard, shard_path, write_shard


class Shelf:
    """Writes rows, and takes over shards that a worker wrote; small ones are joined."""

    def __init__(self, dataset: Path, schema: pa.Schema, shard_bytes: int = SHARD_BYTES) -> None:
        self._dataset, self._schema, self._shard_bytes = dataset, schema, shard_bytes
        self._rows: list[dict[str, Any]] = []
        self._tables: list[pa.Table] = []
        self._waiting_bytes = 0
        self._shards = 0

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        self._wait_for(len(row["text"]) * 3)

    def take(self, shard: Path) -> None:
        """The rows of a shard, after all that came before; a large one is linked, not written again."""
        size = _text_bytes(shard)
        if size < self._shard_bytes // 2:
            self._gather()
            self._tables.append(read_shard(shard, self._schema))
            self._wait_for(size)
            return
        self._flush()
        target = shard_path(self._dataset, self._shards)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(shard, target)
        except OSError:  # another disk, or a file system without links
            shutil.copyfile(shard, target)
        self._shards += 1

    def close(self) -> None:
        """Write what is left. Without any row one empty shard: a reader can tell "nothing" from "not run"."""
        self._flush()
        if not self._shards:
            write_shard(self._schema.empty_table(), shard_path(self._dataset, 0))
            self._shards = 1

    def _wait_for(self, size: int) -> None:
        self._waiting_bytes += size
        if self._waiting_bytes >= self._shard_bytes:
            self._flush()

    def _gather(self) -> None:
        if self._rows:
            self._tables.append(pa.Table.from_pylist(self._rows, self._schema))
            self._rows = []

    def _flush(self) -> None:
        self._gather()
        if sum(table.num_rows for table in self._tables):
            table = pa.concat_tables(self._tables).combine_chunks()
            write_shard(table, shard_path(self._dataset, self._shards))
            self._shards += 1
        self._tables, self._waiting_bytes = [], 0


def _text_bytes(shard: Path) -> int:
    """Size of the texts of a shard before compression, from its footer."""
    footer = pq.read_metadata(shard)
    place = footer.schema.names.index("text")
    groups = (footer.row_group(number) for number in range(footer.num_row_groups))
    return sum(group.column(place).total_uncompressed_size for group in groups)
