"""The ids of all documents, on disk: a decision names documents by number, the output by id."""

import shutil
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
from numba import njit

from kajiya.utf8 import buffers


class IdWriter:
    """Writes the ids of one shard: `PATH.id_bytes` one after another, `PATH.id_lengths` their lengths."""

    def __init__(self, path: Path) -> None:
        self._bytes = open(path.with_suffix(".id_bytes"), "wb")  # noqa: SIM115 - closed by __exit__
        self._lengths = open(path.with_suffix(".id_lengths"), "wb")  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bytes.close()
        self._lengths.close()

    def add(self, ids: pa.Array) -> None:
        data, offsets = buffers(ids)
        self._bytes.write(data[offsets[0] : offsets[-1]].data)
        np.diff(offsets).tofile(self._lengths)


def join_ids(parts: list[Path], folder: Path) -> None:
    """Put the ids of all shards into `ids.bytes`, and into `ids.begins` the position of each."""
    begin = np.zeros(1, np.int64)
    with open(folder / "ids.bytes", "wb") as joined, open(folder / "ids.begins", "wb") as begins:
        begin.tofile(begins)
        for part in parts:
            with open(part.with_suffix(".id_bytes"), "rb") as handle:
                shutil.copyfileobj(handle, joined, 1 << 20)
            with open(part.with_suffix(".id_lengths"), "rb") as handle:
                while len(lengths := np.fromfile(handle, np.int64, 1 << 17)):
                    ends = begin + np.cumsum(lengths)
                    ends.tofile(begins)
                    begin = ends[-1:]


def take_ids(folder: Path, documents: np.ndarray) -> pa.Array:
    """The ids of documents by number, in any order."""
    if not len(documents):
        return pa.array([], pa.string())
    begins = np.memmap(folder / "ids.begins", np.int64, "r")
    first, last = begins[documents], begins[documents.astype(np.int64) + 1]
    offsets = np.concatenate([[0], np.cumsum(last - first)])
    data = _gather(np.memmap(folder / "ids.bytes", np.uint8, "r"), first, offsets)
    found = pa.LargeStringArray.from_buffers(len(documents), pa.py_buffer(offsets), pa.py_buffer(data))
    return found.cast(pa.string())


def hash_ids(ids: pa.Array) -> np.ndarray:
    """uint64 per id; equal hashes are compared by the ids themselves."""
    return _hash(*buffers(ids))


@njit(cache=True, nogil=True)
def _hash(data, offsets):
    result = np.empty(len(offsets) - 1, np.uint64)
    for i in range(len(result)):
        value = np.uint64(0xCBF29CE484222325)
        for position in range(offsets[i], offsets[i + 1]):
            value = (value ^ np.uint64(data[position])) * np.uint64(0x100000001B3)
        value = (value ^ (value >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
        result[i] = value ^ (value >> np.uint64(32))
    return result


@njit(cache=True, nogil=True)
def _gather(data, first, offsets):
    result = np.empty(offsets[-1], np.uint8)
    for i in range(len(first)):
        for position in range(offsets[i + 1] - offsets[i]):
            result[offsets[i] + position] = data[first[i] + position]
    return result
