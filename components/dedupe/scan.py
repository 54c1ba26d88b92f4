"""First pass over the text: what is compared of each document, spilled to disk shard by shard."""

import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xxhash

from components.dedupe.boilerplate import line_records
from components.dedupe.identifiers import IdWriter, hash_ids
from components.dedupe.minhash import Bands, band_keys, signatures
from components.dedupe.spill import HASHED, HASHED_TEXT, SpillFile, SpillWriter, as_records
from components.dedupe.stream import read_batches
from kajiya.ngrams import WITHOUT_SPACE, Points, decode


class ScanTask(NamedTuple):
    shard: Path
    first_document: int
    """Number of its first document in the corpus."""
    spill: Path
    """Path of what it spills, without suffix."""
    ngram_chars: int
    permutations: int
    bands: Bands
    min_line_chars: int
    """0 where lines are not looked at."""


class Scanned(NamedTuple):
    lengths: np.ndarray
    """uint32, characters without white space per document."""
    spills: dict[str, SpillFile]
    """By what was hashed: `ids`, `texts`, `bands`, `lines`."""


_DTYPES = {"ids": HASHED, "texts": HASHED_TEXT, "bands": HASHED, "lines": HASHED}


def scan_shard(task: ScanTask) -> Scanned:
    spills = {name: SpillWriter(task.spill.with_suffix(f".{name}"), dtype) for name, dtype in _DTYPES.items()}
    lengths = [np.zeros(0, np.uint32)]
    number = task.first_document
    with IdWriter(task.spill) as names:
        for table in read_batches(task.shard, ["id", "text"]):
            ids, texts = table["id"].combine_chunks(), table["text"].combine_chunks()
            names.add(ids)
            points = decode(texts, WITHOUT_SPACE)
            lengths.append(np.diff(points.offsets).astype(np.uint32))
            documents = np.arange(number, number + len(ids), dtype=np.uint32)
            number += len(ids)
            spills["ids"].add(as_records(HASHED, key=hash_ids(ids), document=documents))
            spills["texts"].add(_text_records(points, documents))
            spills["bands"].add(_band_records(task, points, documents))
            if task.min_line_chars:
                spills["lines"].add(line_records(texts, documents, task.min_line_chars))
    return Scanned(np.concatenate(lengths), {name: spill.close() for name, spill in spills.items()})


def _text_records(texts: Points, documents: np.ndarray) -> np.ndarray:
    view, ends = memoryview(texts.points), texts.offsets.tolist()
    digests = [xxhash.xxh3_128_digest(view[a:b]) for a, b in itertools.pairwise(ends)]
    hashes = np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2)
    return as_records(HASHED_TEXT, key=hashes[:, 0], check=hashes[:, 1], document=documents)


def _band_records(task: ScanTask, texts: Points, documents: np.ndarray) -> np.ndarray:
    keys = band_keys(signatures(texts, task.ngram_chars, task.permutations), task.bands)
    return as_records(HASHED, key=keys.ravel(), document=np.repeat(documents, task.bands.count))
