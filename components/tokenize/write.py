"""Write the arrays, their spans and the facts; the arrays through memory maps, document by document."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.tokenize.encode import Index, token_type
from components.tokenize.mixture import Mixture
from kajiya.engine import progress
from kajiya.records import TOKEN_SPAN
from kajiya.shards import write_file

# Keeps the strings of one batch far below the 2 GiB that an Arrow array can hold.
_SPANS_AT_ONCE = 1 << 20


def write_split(
    split: str, index: Index, rows: NDArray[np.int64], vocabulary: tuple[int, int], work: Path, out: Path
) -> dict[str, int]:
    """Write `split`.npy and its spans; returns the tokens per source.

    rows: documents of the index in the order of the array. vocabulary: its size, end of sequence.
    """
    size, ending = vocabulary
    _write_spans(out / f"{split}.spans.parquet", index, rows)
    _write_array(out / f"{split}.npy", index, rows, size, ending, work)
    counts = {}
    names = index.sources.take(pa.array(rows)).combine_chunks().dictionary_encode()
    sums = np.bincount(names.indices.to_numpy(), weights=index.lengths[rows] + 1)
    for name, count in sorted(zip(names.dictionary.to_pylist(), sums.tolist(), strict=True)):
        counts[name] = int(count)
    return counts


def _write_spans(path: Path, index: Index, rows: NDArray[np.int64]) -> None:
    ends = np.cumsum(index.lengths[rows] + 1)
    starts = ends - index.lengths[rows] - 1
    with pq.ParquetWriter(path, TOKEN_SPAN, compression="zstd") as writer:
        for first in range(0, max(1, len(rows)), _SPANS_AT_ONCE):
            chosen = slice(first, first + _SPANS_AT_ONCE)
            documents = pa.array(rows[chosen])
            columns = [
                pa.array(starts[chosen]),
                pa.array(ends[chosen]),
                index.document_ids.take(documents),
                index.sources.take(documents),
            ]
            writer.write_table(pa.table(columns, schema=TOKEN_SPAN))


def _write_array(
    path: Path, index: Index, rows: NDArray[np.int64], size: int, ending: int, work: Path
) -> None:
    names = [work / f"part-{number:05d}.ids" for number in range(int(index.parts.max()) + 1)]
    dtype = token_type(size)
    parts = [_mapped(name, dtype) for name in names]
    total = int((index.lengths[rows] + 1).sum())
    mapped = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(total,))
    array = mapped.view(np.ndarray)
    at = 0
    for row in progress(rows.tolist(), f"tokenize: {path.name}"):
        start, length = index.offsets[row], index.lengths[row]
        array[at : at + length] = parts[index.parts[row]][start : start + length]
        array[at + length] = ending
        at += length + 1
    mapped.flush()


def _mapped(path: Path, dtype: type[np.uint16 | np.uint32]) -> NDArray[np.uint16 | np.uint32]:
    if not path.stat().st_size:  # nothing to map
        return np.empty(0, dtype)
    return np.memmap(path, dtype, mode="r").view(np.ndarray)  # slices of a memmap cost ten times as much


def write_facts(out: Path, size: int, ending: int, tokens: dict[str, dict[str, int]]) -> None:
    facts: dict[str, Any] = {"vocabulary_size": size, "end_of_sequence": ending, "tokens": tokens}
    write_file(out / "tokens.json", json.dumps(facts, ensure_ascii=False, indent=2, sort_keys=True) + "\n")


def write_rejected(out: Path, index: Index, mixture: Mixture) -> None:
    """List the documents that neither train nor validate."""
    rows = pa.array(mixture.left_out)
    sources = index.sources.take(rows)
    details = [f"repetitions {mixture.repetitions[source]:.4f}" for source in sources.to_pylist()]
    table = pa.table(
        {
            "document_id": index.document_ids.take(rows),
            "source": sources,
            "reason": pa.array(["mixture"] * len(rows), pa.string()),
            "detail": pa.array(details, pa.string()),
        }
    )
    pq.write_table(table, out / "rejected.parquet", compression="zstd")
