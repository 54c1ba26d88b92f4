"""What the stage reads and writes: the shards of all sources, in the order of priority."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from components.dedupe.minhash import shingles, signatures
from kajiya.engine import map_shards
from kajiya.errors import KajiyaError
from kajiya.ngrams import WITHOUT_SPACE, Points, flatten, select
from kajiya.records import as_rejected
from kajiya.shards import list_shards, read_shard, write_shard


class Catalogue(NamedTuple):
    """What is compared of all documents, one entry each, in the order of the shards."""

    source: np.ndarray
    """Number of the source in the order of priority."""
    ids: pa.Array
    lengths: np.ndarray
    """Characters without white space."""
    hashes: np.ndarray
    """uint64[documents, 2], of the text without white space."""
    signatures: np.ndarray
    """uint32[documents, permutations]"""


class _ScanTask(NamedTuple):
    source: int
    shard: Path
    ngram_chars: int
    permutations: int


class _ShingleTask(NamedTuple):
    shard: Path
    rows: np.ndarray
    ngram_chars: int


class WriteTask(NamedTuple):
    """A shard to divide, with one entry of kept_ids and exact for each of its documents."""

    shard: Path
    kept: Path
    rejected: Path
    kept_ids: pa.Array
    """The document that stays: itself where it does."""
    exact: np.ndarray
    """Whether it goes as an exact duplicate."""


class Written(NamedTuple):
    """Numbers of documents."""

    kept: int
    exact: int
    near: int


def sources_in_order(cleaned: Path, priority: tuple[str, ...]) -> list[Path]:
    """The folders of the sources, first the one whose copies stay.

    Raises KajiyaError unless the folders are those that `priority` names: a folder left from an
    earlier run must not slip into the corpus.
    """
    found = {path.name for path in cleaned.iterdir() if path.is_dir() and not path.name.startswith(".")}
    for name in sorted(found - set(priority)):
        raise KajiyaError(
            f"{cleaned / name}: not named in `dedupe.priority` ({', '.join(priority)})."
            " Add it there, or remove the folder if it is left from an earlier run."
        )
    for name in priority:
        if name not in found:
            raise KajiyaError(
                f"{cleaned / name}: named in `dedupe.priority`, but there is no such folder."
                f" Run `clean` for {name}, or take it out of the list."
            )
    return [cleaned / name for name in priority]


def count_rows(shard: Path) -> int:
    return pq.read_metadata(shard).num_rows


def scan(folders: list[Path], ngram_chars: int, permutations: int) -> Catalogue:
    tasks = [
        _ScanTask(number, shard, ngram_chars, permutations)
        for number, folder in enumerate(folders)
        for shard in list_shards(folder)
    ]
    parts = list(map_shards(_scan_shard, tasks, "signatures"))
    ids = pa.chunked_array([part.ids for part in parts], pa.string()).combine_chunks()
    source, lengths, hashes, signatures_ = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("source", "lengths", "hashes", "signatures")
    )
    return Catalogue(source, ids, lengths, hashes, signatures_)


def _scan_shard(task: _ScanTask) -> Catalogue:
    table = read_shard(task.shard)
    texts = _comparable(table)
    hashes = np.empty((table.num_rows, 2), np.uint64)
    for index in range(table.num_rows):
        begin, end = texts.offsets[index], texts.offsets[index + 1]
        hashes[index] = np.frombuffer(xxhash.xxh3_128_digest(texts.points[begin:end].tobytes()), np.uint64)
    minima = signatures(texts, task.ngram_chars, task.permutations)
    source = np.full(table.num_rows, task.source)
    return Catalogue(source, table["id"].combine_chunks(), np.diff(texts.offsets), hashes, minima)


def shingle_sets(shards: list[Path], begins: np.ndarray, wanted: np.ndarray, ngram_chars: int) -> Points:
    """The n-grams of the documents at the positions `wanted` (ascending), in their order.

    begins: position of the first document of each shard, and the number of documents.
    """
    cuts = np.searchsorted(wanted, begins)
    tasks = [
        _ShingleTask(shard, wanted[low:high] - begin, ngram_chars)
        for shard, begin, low, high in zip(shards, begins, cuts, cuts[1:], strict=False)
        if high > low
    ]
    parts = list(map_shards(_shingle_rows, tasks, "verify"))
    grams = np.concatenate([np.zeros(0, np.uint64), *(part.points for part in parts)])
    sizes = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.offsets) for part in parts)])
    return Points(grams, np.cumsum(sizes))


def _shingle_rows(task: _ShingleTask) -> Points:
    table = read_shard(task.shard).take(pa.array(task.rows))
    return shingles(_comparable(table), task.ngram_chars)


def write_deduped(task: WriteTask) -> Written:
    """Divide one shard into what stays and what goes."""
    table = read_shard(task.shard)
    stays = np.asarray(pc.equal(table["id"].combine_chunks(), task.kept_ids))
    reasons = np.where(task.exact, "exact_duplicate", "near_duplicate").astype(object)
    rejected = as_rejected(table, reasons, task.kept_ids)
    write_shard(table.filter(pa.array(stays)), task.kept)
    write_shard(rejected.filter(pa.array(~stays)), task.rejected)
    kept, exact = int(stays.sum()), int(task.exact.sum())
    return Written(kept, exact, table.num_rows - kept - exact)


def _comparable(table: pa.Table) -> Points:
    """White space differs between copies without meaning anything; all else counts."""
    return select(flatten(table["text"].to_pylist()), WITHOUT_SPACE)
