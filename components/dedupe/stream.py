"""Read and write shards a few megabytes at a time, so that memory does not depend on their size."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from kajiya.errors import KajiyaError
from kajiya.records import DOCUMENT, check_schema
from kajiya.shards import parquet_options

_BATCH_BYTES = 4 << 20
_ROW_GROUP_BYTES = 16 << 20  # part of the output's bytes


def count_rows(shard: Path) -> int:
    return _open(shard).metadata.num_rows


def read_batches(shard: Path, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The documents of a shard in order, about four megabytes of text at a time."""
    file = _open(shard)
    rows = file.metadata.num_rows
    text = DOCUMENT.names.index("text")
    groups = [file.metadata.row_group(i).column(text) for i in range(file.metadata.num_row_groups)]
    size = sum(group.total_uncompressed_size for group in groups)
    batch_rows = min(1 << 16, max(1, rows * _BATCH_BYTES // max(1, size)))
    try:
        for batch in file.iter_batches(batch_rows, columns=columns, use_threads=False):
            yield pa.Table.from_batches([batch])
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(shard, error) from error


def _open(shard: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(shard, pre_buffer=False, buffer_size=1 << 20)
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(shard, error) from error
    check_schema(file.schema_arrow, DOCUMENT, shard)
    return file


def _unreadable(shard: Path, error: Exception) -> KajiyaError:
    return KajiyaError(f"{shard}: not a readable Parquet file ({error}). Rerun its stage.")


class BatchWriter:
    """Writes one Parquet file; row groups of one size whatever the batches are."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._writer = pq.ParquetWriter(path, schema, **parquet_options(schema))
        self._schema = schema
        self._waiting: list[pa.Table] = []
        self._waiting_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: object, trace: object) -> None:
        if kind is None:
            self._flush()
        self._writer.close()
        with open(self._path, "rb") as handle:
            os.fsync(handle.fileno())

    def add(self, table: pa.Table) -> None:
        if not table.num_rows:
            return
        self._waiting.append(table)
        self._waiting_bytes += table.nbytes
        if self._waiting_bytes >= _ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting))
        self._waiting, self._waiting_bytes = [], 0
