"""Records that do not fit into memory: written by hash range, read back range by range.

A record's first field is its `key` (uint64). A file holds flushes, each ordered by the partition of
its records, so that one partition of many files is read in few long pieces.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

PARTITIONS = 256
HASH_SHIFT = 56
"""For keys that use all 64 bits: the highest eight name the partition."""
_BUFFER_BYTES = 8 << 20
_SAMPLE_RECORDS = 4096

# A hash and the number of the document it belongs to. Four billion documents are about 10 TB of text.
HASHED = np.dtype([("key", "<u8"), ("document", "<u4")])
# Of a whole text: 128 bits, so that equal hashes mean equal texts.
HASHED_TEXT = np.dtype([("key", "<u8"), ("check", "<u8"), ("document", "<u4")])
PAIR = np.dtype([("key", "<u8")])


class SpillFile(NamedTuple):
    path: Path
    dtype: np.dtype
    cuts: np.ndarray
    """int64[flushes, PARTITIONS + 1]: the first record of each partition, counted from the file's begin."""


class SpillWriter:
    """Collects records of one file; the caller closes it to get what describes the file."""

    def __init__(self, path: Path, dtype: np.dtype, shift: int = HASH_SHIFT) -> None:
        self._path, self._dtype, self._shift = path, dtype, np.uint64(shift)
        self._waiting: list[np.ndarray] = []
        self._waiting_bytes = self._written = 0
        self._cuts = [np.zeros((0, PARTITIONS + 1), np.int64)]
        self._handle = open(path, "wb")  # noqa: SIM115 - closed by close()

    def add(self, records: np.ndarray) -> None:
        self._waiting.append(records)
        self._waiting_bytes += records.nbytes
        if self._waiting_bytes >= _BUFFER_BYTES:
            self._flush()

    def close(self) -> SpillFile:
        self._flush()
        self._handle.close()
        return SpillFile(self._path, self._dtype, np.concatenate(self._cuts))

    def _flush(self) -> None:
        records = np.concatenate([np.zeros(0, self._dtype), *self._waiting])
        partition = (records["key"] >> self._shift).astype(np.uint8)
        records[np.argsort(partition, kind="stable")].tofile(self._handle)
        sizes = np.bincount(partition, minlength=PARTITIONS)
        self._cuts.append(self._written + np.concatenate([[0], np.cumsum(sizes)])[None])
        self._written += len(records)
        self._waiting, self._waiting_bytes = [], 0


def as_records(dtype: np.dtype, **columns: np.ndarray) -> np.ndarray:
    records = np.empty(len(columns["key"]), dtype)
    for name, column in columns.items():
        records[name] = column
    return records


def ascending(files: Iterable[SpillFile], limit_bytes: int) -> Iterator[np.ndarray]:
    """All records in groups: keys ascend from group to group, not within one; equal keys stay together.

    A group has about `limit_bytes` at most, unless one key alone has more.
    """
    files = list(files)
    if not files:
        return
    sizes = sum(np.diff(one.cuts, axis=1).sum(axis=0) for one in files) * files[0].dtype.itemsize
    first = 0
    while first < PARTITIONS:
        last = first + 1
        while last < PARTITIONS and sizes[first : last + 1].sum() <= limit_bytes:
            last += 1
        total = int(sizes[first:last].sum())
        if total > limit_bytes:
            yield from _split(files, first, total, limit_bytes)
        elif total:
            yield np.concatenate(list(_pieces(files, first, last)))
        first = last


def _pieces(
    files: list[SpillFile], first: int, last: int, piece_records: int | None = None
) -> Iterator[np.ndarray]:
    for file in files:
        with open(file.path, "rb") as handle:
            for begin, end in file.cuts[:, [first, last]].tolist():
                for position in range(begin, end, piece_records or max(1, end - begin)):
                    handle.seek(position * file.dtype.itemsize)
                    count = min(end - position, piece_records or end - position)
                    yield np.fromfile(handle, file.dtype, count)


def _split(files: list[SpillFile], partition: int, total: int, limit_bytes: int) -> Iterator[np.ndarray]:
    """One partition that is too large in groups: it is read once for each of them."""
    piece = max(1, limit_bytes // 8 // files[0].dtype.itemsize)
    stride = max(1, total // files[0].dtype.itemsize // _SAMPLE_RECORDS)
    sample = [records["key"][::stride] for records in _pieces(files, partition, partition + 1, piece)]
    shares = np.arange(1, -(-total // limit_bytes) * 2) / (-(-total // limit_bytes) * 2)
    keys = np.sort(np.concatenate(sample))
    borders = np.unique(keys[(shares * len(keys)).astype(np.int64)])
    for low, high in zip([None, *borders], [*borders, None], strict=True):
        chosen = [np.zeros(0, files[0].dtype)]
        for records in _pieces(files, partition, partition + 1, piece):
            above = records["key"] >= low if low is not None else np.ones(len(records), bool)
            below = records["key"] < high if high is not None else np.ones(len(records), bool)
            chosen.append(records[above & below])
        group = np.concatenate(chosen)
        if len(group):
            yield group
