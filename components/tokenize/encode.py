"""Encode every document once, shard by shard, into the work folder; finished shards survive a crash."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray

from kajiya.engine import map_shards
from kajiya.errors import KajiyaError
from kajiya.lm.tokenizer import encode_documents, load_tokenizer
from kajiya.shards import read_shard, write_shard


@dataclass(frozen=True)
class Index:
    """Every document of the corpus, in its order; arrays of one length."""

    document_ids: pa.ChunkedArray
    sources: pa.ChunkedArray
    parts: NDArray[np.int32]
    """Shard that holds the document."""
    offsets: NDArray[np.int64]
    """First token in the encoded shard."""
    lengths: NDArray[np.int64]
    """Tokens, without the end of sequence."""
    hashes: NDArray[np.uint64]
    """Of seed and id: what every random choice about the document derives from."""


def encode_shards(shards: list[Path], tokenizer: Path, work: Path, seed: int) -> None:
    """Write `part-N.npy` (flat token ids) and `part-N.parquet` (the documents) for shard N."""
    tasks = [
        (shard, tokenizer, work / f"part-{number:05d}", seed)
        for number, shard in enumerate(shards)
        if not (work / f"part-{number:05d}.parquet").exists()
    ]
    for _ in map_shards(_encode_shard, tasks, "tokenize: encode"):
        pass


def read_index(work: Path, shards: int) -> Index:
    """The index over all encoded shards."""
    tables = [pq.read_table(work / f"part-{number:05d}.parquet") for number in range(shards)]
    table = pa.concat_tables(tables)
    if table.num_rows == 0:
        raise KajiyaError("the corpus holds no document: look at the reports of the stages before.")
    lengths = [part["length"].to_numpy() for part in tables]
    return Index(
        document_ids=table["document_id"],
        sources=table["source"],
        parts=np.repeat(np.arange(shards, dtype=np.int32), [len(part) for part in lengths]),
        offsets=np.concatenate([np.cumsum(part) - part for part in lengths]),
        lengths=np.concatenate(lengths),
        hashes=table["hash"].to_numpy(),
    )


def _encode_shard(task: tuple[Path, Path, Path, int]) -> None:
    shard, folder, target, seed = task
    table = read_shard(shard)
    ids = table["id"].to_pylist()
    encoded = list(encode_documents(load_tokenizer(folder), table["text"].to_pylist()))
    tokens = np.concatenate(encoded).astype(np.uint32) if encoded else np.empty(0, np.uint32)
    np.save(target.with_suffix(".npy"), tokens, allow_pickle=False)
    index = {
        "document_id": ids,
        "source": table["source"],
        "length": np.array([len(one) for one in encoded], dtype=np.int64),
        "hash": np.array(
            [xxhash.xxh3_64_intdigest(f"{seed}:{one}".encode()) for one in ids], dtype=np.uint64
        ),
    }
    write_shard(pa.table(index), target.with_suffix(".parquet"))  # last: it says that the part is whole
