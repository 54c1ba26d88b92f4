"""Read and write sharded Parquet datasets: atomic, ordered, byte-stable.

A dataset is a folder of `part-00000.parquet`, `part-00001.parquet`, ...; rejected documents lie in
its subfolder `rejected/`, in the same form.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kajiya.errors import KajiyaError, disk_error
from kajiya.records import DOCUMENT, check_schema
from kajiya.storage import is_remote, reaching

# 256 MiB of text a shard: large enough that DVC has few files to hash, small enough for one worker.
SHARD_BYTES = 256 * 1024 * 1024

_REPEATED = ("source", "license", "generator", "language", "reason", "kind", "date")


def list_shards(dataset: Path) -> list[Path]:
    """The shards of a dataset in order. Raises KajiyaError when there are none."""
    with reaching(dataset):
        shards = sorted(dataset.glob("part-*.parquet"), key=str)
    if not shards:
        raise KajiyaError(f"{dataset}: no part-*.parquet here. Run the stage that writes it first.")
    return shards


def read_shard(path: Path, schema: pa.Schema = DOCUMENT) -> pa.Table:
    """One shard as a table, checked against `schema`."""
    try:
        table = pq.read_table(_source(path), partitioning=None)
    except (pa.ArrowInvalid, OSError) as error:
        raise KajiyaError(f"{path}: not a readable Parquet file ({error}). Rerun its stage.") from error
    check_schema(table.schema, schema, path)
    return table


def read_dataset(dataset: Path, schema: pa.Schema = DOCUMENT) -> Iterator[pa.Table]:
    """The shards of a dataset one after another; memory stays at one shard."""
    for shard in list_shards(dataset):
        yield read_shard(shard, schema)


def shard_path(dataset: Path, index: int) -> Path:
    return dataset / f"part-{index:05d}.parquet"


def write_shard(table: pa.Table, path: Path) -> None:
    """Write one shard whole or not at all."""
    if is_remote(path):
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, **parquet_options(table.schema))
        write_file(path, buffer.getvalue().to_pybytes())
        return
    with _partial(path) as partial:
        pq.write_table(table, partial, **parquet_options(table.schema))


def parquet_options(schema: pa.Schema) -> dict[str, Any]:
    """How every shard is written: nearly twice as fast as Parquet's defaults with zstd level 3, 14 % larger.

    A dictionary of texts that are all different, and the smallest and largest of them, cost time and tell nothing.
    """
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": [name for name in _REPEATED if name in schema.names] or False,
        "write_statistics": False,
    }


class ShardWriter:
    """Writes records as they come, in their order, into shards of about `shard_bytes` of text."""

    def __init__(self, dataset: Path, schema: pa.Schema = DOCUMENT, shard_bytes: int = SHARD_BYTES) -> None:
        self._dataset, self._schema, self._shard_bytes = dataset, schema, shard_bytes
        self._rows: list[dict[str, Any]] = []
        self._waiting_bytes = 0
        self._shards = 0

    def add(self, record: dict[str, Any]) -> None:
        self._rows.append(record)
        self._waiting_bytes += len(record["text"]) * 3
        if self._waiting_bytes >= self._shard_bytes:
            self._flush()

    def close(self) -> None:
        """Write what is left. Without any record one empty shard: a reader can tell "nothing" from "not run"."""
        if self._rows or not self._shards:
            self._flush()

    def _flush(self) -> None:
        write_shard(pa.Table.from_pylist(self._rows, self._schema), shard_path(self._dataset, self._shards))
        self._shards, self._rows, self._waiting_bytes = self._shards + 1, [], 0


def write_dataset(
    records: Iterable[dict[str, Any]],
    dataset: Path,
    schema: pa.Schema = DOCUMENT,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write all records of a dataset; see ShardWriter."""
    writer = ShardWriter(dataset, schema, shard_bytes)
    for record in records:
        writer.add(record)
    writer.close()


def count_by_source(dataset: Path) -> Counter[str]:
    """Rows per source over all shards of a dataset; only that column is read."""
    counts: Counter[str] = Counter()
    if not dataset.exists():
        return counts
    for shard in sorted(dataset.glob("part-*.parquet"), key=str):
        with shard.open("rb") as handle:  # on S3 the column alone is fetched
            counts.update(pq.read_table(handle, columns=["source"])["source"].to_pylist())
    return counts


def write_file(path: Path, content: bytes | str) -> None:
    """Write a small file whole or not at all."""
    data = content.encode() if isinstance(content, str) else content
    if is_remote(path):
        with reaching(path):
            path.write_bytes(data)  # an object appears whole
        return
    with _partial(path) as partial:
        partial.write_bytes(data)


@contextmanager
def _partial(path: Path) -> Iterator[Path]:
    """A path to write to; its file takes the place of `path` when all has gone well. Names the file that failed."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with open(partial, "rb") as handle:
            os.fsync(handle.fileno())
        partial.replace(path)
    except OSError as error:
        raise disk_error(error, path) or error from None


def _source(path: Path) -> Path | pa.BufferReader:
    if not is_remote(path):
        return path
    with reaching(path):
        return pa.BufferReader(path.read_bytes())
