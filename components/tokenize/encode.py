"""Encode every document once, shard by shard, into the work folder; finished shards survive a crash."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray
from tokenizers import Tokenizer

from kajiya.engine import map_shards, workers
from kajiya.errors import KajiyaError
from kajiya.lm.encoder import Encoder
from kajiya.lm.tokenizer import TOKENIZER_FILE
from kajiya.lm.unigram import Encoded
from kajiya.shards import read_shard, write_shard

_BATCH_DOCUMENTS = 2000  # enough for the threads, little enough for memory


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
    """Tokens with that of the beginning, where there is one, without the end of sequence."""
    hashes: NDArray[np.uint64]
    """Of seed and id: what every random choice about the document derives from."""


def token_type(vocabulary_size: int) -> type[np.uint16 | np.uint32]:
    """The smallest type that holds every id."""
    return np.uint16 if vocabulary_size < 65_536 else np.uint32


def beginning_of_text(tokenizer: Tokenizer, ending: int) -> int | None:
    """Id of the token that the tokenizer itself puts before every text (Llama's `<s>`); None for none.

    A base that never saw a text without it would have to learn that, for nothing: it rests its attention there.
    None also where it is `ending`: as the end of the document before, it stands there anyway.
    """
    bare, whole = (tokenizer.encode("a", add_special_tokens=added).ids for added in (False, True))
    begins = len(whole) > len(bare) and whole[1 : 1 + len(bare)] == bare and whole[0] != ending
    return whole[0] if begins else None


def encode_shards(
    shards: list[Path], tokenizer: Path, work: Path, seed: int, vocabulary: tuple[int, int | None]
) -> None:
    """Write `part-N.ids` (flat token ids) and `part-N.parquet` (the documents) for shard N.

    vocabulary: its size, and the token that begins every document or None.
    """
    # Threads help when one process encodes; beside other workers they only crowd.
    threads = workers() if min(workers(), len(shards)) == 1 else 1
    tasks = [
        _Task(shard, tokenizer, work / f"part-{number:05d}", seed, vocabulary, threads)
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


class _Task(NamedTuple):
    shard: Path
    tokenizer: Path
    target: Path
    seed: int
    vocabulary: tuple[int, int | None]
    threads: int


@lru_cache(maxsize=1)
def _encoder(folder: Path, parallel: bool, _modified_ns: int) -> Encoder:
    """Once in every worker process: loading takes as long as encoding some megabytes."""
    return Encoder(folder, parallel)


def _encode_shard(task: _Task) -> None:
    table = read_shard(task.shard)
    modified = (task.tokenizer / TOKENIZER_FILE).stat().st_mtime_ns
    encoder = _encoder(task.tokenizer, task.threads > 1, modified)
    batches = table.select(["text"]).to_batches(max_chunksize=_BATCH_DOCUMENTS)
    lengths = [np.empty(0, np.int64)]
    size, beginning = task.vocabulary
    with open(task.target.with_suffix(".ids"), "wb") as stream, ThreadPoolExecutor(task.threads) as pool:
        for bare in pool.map(encoder.encode, (batch["text"] for batch in batches)):
            encoded = _begun(bare, beginning)
            encoded.ids.astype(token_type(size)).tofile(stream)
            lengths.append(encoded.lengths)
        stream.flush()
        os.fsync(stream.fileno())
    ids = table["id"].to_pylist()
    index = {
        "document_id": ids,
        "source": table["source"],
        "length": np.concatenate(lengths),
        "hash": np.array(
            [xxhash.xxh3_64_intdigest(f"{task.seed}:{one}".encode()) for one in ids], dtype=np.uint64
        ),
    }
    # Last: it says that the part is whole.
    write_shard(pa.table(index), task.target.with_suffix(".parquet"))


def _begun(encoded: Encoded, beginning: int | None) -> Encoded:
    """Each document with the token that begins it in front."""
    if beginning is None:
        return encoded
    starts = np.cumsum(encoded.lengths) - encoded.lengths
    return Encoded(np.insert(encoded.ids, starts, beginning), encoded.lengths + 1)
