"""Text of any length out of real sentences: varied, the same for the same seed, with known copies.

Sentences come from Aozora Bunko where KAJIYA_SHARED_DATA has it, else from the sample world's pages.
A document takes sentences at random, so two of them share few n-grams however many there are. Of 100
documents 5 repeat an earlier one exactly, and 10 with about one character of a hundred changed.
"""

import gzip
import json
import os
import re
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from kajiya.records import DOCUMENT
from kajiya.sample.settings import SampleSettings
from kajiya.sample.world import write_world
from kajiya.shards import shard_path, write_shard

EXACT_SHARE, NEAR_SHARE = 0.05, 0.10
_SENTENCES = range(8, 41)  # of a document
_RECENT = 2000  # a copy is one of so many documents before it


def sentences() -> tuple[list[str], str]:
    """Different sentences of 15 to 100 characters, and where they come from."""
    path = Path(os.environ.get("KAJIYA_SHARED_DATA", "../shared/data")) / "text" / "aozora.jsonl.gz"
    if path.exists():
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            texts = [json.loads(line)["text"] for line in lines]
        name = "Aozora Bunko"
    else:
        with tempfile.TemporaryDirectory() as folder:
            write_world(SampleSettings(), Path(folder))
            files = sorted(Path(folder).glob("c4/**/*.json.gz"))
            lines = [gzip.decompress(file.read_bytes()).splitlines() for file in files]
            texts = [json.loads(line)["text"] for page in lines for line in page]
        name = "the sample world"
    cut = (sentence.strip() for text in texts for sentence in re.split(r"(?<=。)|\n", text))
    return list(dict.fromkeys(one for one in cut if 15 <= len(one) <= 100)), name


def write_corpus(folder: Path, text_bytes: int, shard_bytes: int, pool: list[str], seed: int = 1) -> int:
    """Shards of source `web`; the number of documents."""
    generator = np.random.default_rng(seed)
    recent: list[str] = []
    texts: list[str] = []
    documents = shard = written = waiting = 0
    while written < text_bytes:
        text = _next(generator, recent, pool)
        recent.append(text)
        del recent[:-_RECENT]
        texts.append(text)
        waiting += len(text.encode())
        if waiting >= shard_bytes or written + waiting >= text_bytes:
            write_shard(_table(texts, documents), shard_path(folder, shard))
            documents, shard, written = documents + len(texts), shard + 1, written + waiting
            texts, waiting = [], 0
    return documents


def _next(generator: np.random.Generator, recent: list[str], pool: list[str]) -> str:
    draw = generator.random()
    if recent and draw < EXACT_SHARE + NEAR_SHARE:
        text = recent[generator.integers(len(recent))]
        return text if draw < EXACT_SHARE else changed(generator, text, 0.01)
    chosen = generator.integers(0, len(pool), generator.integers(_SENTENCES.start, _SENTENCES.stop))
    return "\n".join(pool[i] for i in chosen)


def changed(generator: np.random.Generator, text: str, share: float) -> str:
    """The text with about `share` of its characters replaced, at random places."""
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32).copy()
    places = generator.random(len(points)) < share
    points[places] = generator.integers(0x4E00, 0x9FA0, places.sum())
    return points.tobytes().decode("utf-32-le")


def _table(texts: list[str], first: int) -> pa.Table:
    rows = len(texts)
    same = {"source": "web", "license": "CC0-1.0", "generator": "human", "language": "ja"}
    columns = {
        "id": pa.array([f"web:{first + i}" for i in range(rows)]),
        "text": pa.array(texts, pa.large_string()),
        **{name: pa.array([value] * rows) for name, value in same.items()},
    }
    arrays = [columns.get(field.name, pa.nulls(rows, field.type)) for field in DOCUMENT]
    return pa.Table.from_arrays(arrays, schema=DOCUMENT)
