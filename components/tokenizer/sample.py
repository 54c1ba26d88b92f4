"""Draw random sentences: which ones depends on the seed and their documents, not on shards or workers.

They go through files, one sentence a line: no process holds the corpus or a list of all that was drawn.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc
import xxhash

from components.tokenizer.settings import TokenizerSettings
from kajiya.engine import map_shards
from kajiya.errors import KajiyaError
from kajiya.lm.tokenizer import SEGMENT
from kajiya.shards import read_shard

# SentencePiece drops longer lines without a word; a sentence this long is mostly a list of data.
_MAX_SENTENCE_CHARACTERS = 1000

_BATCH = 1000  # documents that are Python strings at a time


class Size(NamedTuple):
    """How much of a source there is."""

    documents: int
    characters: int


def measure_sources(shards: list[Path]) -> dict[str, Size]:
    """Size of each source of the corpus, in order of name."""
    documents: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    for rows in map_shards(_count_shard, shards, "tokenizer: count"):
        for row in rows:
            documents[row["source"]] += row["characters_count"]
            characters[row["source"]] += row["characters_sum"]
    return {source: Size(documents[source], characters[source]) for source in sorted(documents)}


class Sample(NamedTuple):
    """Drawn sentences in files of one sentence a line."""

    files: list[Path]
    count: int
    characters: int

    def sentences(self) -> Iterator[bytes]:
        """Each sentence in UTF-8, in the order of the corpus."""
        for file in self.files:
            with file.open("rb") as lines:
                for line in lines:
                    yield line.removesuffix(b"\n")


def sample_sentences(
    shards: list[Path], sizes: dict[str, Size], config: TokenizerSettings, folder: Path
) -> Sample:
    """About `sample_characters` characters of sentences, balanced over the sources as `weights` says, in `folder`."""
    fractions = sampling_fractions(sizes, config.weights, config.sample_characters)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"part-{number:05d}.txt" for number in range(len(shards))]
    tasks = [(shard, file, fractions, config.seed) for shard, file in zip(shards, files, strict=True)]
    counts = list(map_shards(_sample_shard, tasks, "tokenizer: sample"))
    return Sample(files, sum(count for count, _ in counts), sum(characters for _, characters in counts))


def sampling_fractions(
    sizes: dict[str, Size], weights: dict[str, float] | None, wanted: int
) -> dict[str, float]:
    """Share of each source's sentences to draw."""
    if weights is None:
        share = min(1.0, wanted / max(1, sum(size.characters for size in sizes.values())))
        return dict.fromkeys(sizes, share)
    if set(weights) != set(sizes):
        raise KajiyaError(
            f"tokenizer.weights names {', '.join(sorted(weights))}; the corpus holds {', '.join(sizes)}. "
            "Give each source of the corpus its weight (0 leaves one out), and no other."
        )
    total = sum(weights.values())
    if min(weights.values()) < 0 or total <= 0:
        raise KajiyaError("tokenizer.weights: each must be 0 or more, and one at least above 0.")
    return {
        source: min(1.0, wanted * weights[source] / total / max(1, size.characters))
        for source, size in sizes.items()
    }


def _count_shard(shard: Path) -> list[dict]:
    table = read_shard(shard).select(["source", "text"])
    lengths = table.set_column(1, "characters", pc.utf8_length(table["text"]))
    return lengths.group_by("source").aggregate([("characters", "sum"), ("characters", "count")]).to_pylist()


def _sample_shard(task: tuple[Path, Path, dict[str, float], int]) -> tuple[int, int]:
    """Write the sentences drawn from a shard; returns how many they are, and their characters."""
    shard, file, fractions, seed = task
    count = characters = 0
    with file.open("w", encoding="utf-8", newline="\n") as out:
        for batch in read_shard(shard).select(["id", "source", "text"]).to_batches(max_chunksize=_BATCH):
            for identity, source, text in zip(*batch.to_pydict().values(), strict=True):
                drawn = draw_sentences(text, fractions[source], f"{seed}:{identity}")
                out.writelines(f"{sentence}\n" for sentence in drawn)
                count, characters = count + len(drawn), characters + sum(map(len, drawn))
    return count, characters


def draw_sentences(text: str, fraction: float, key: str) -> list[str]:
    """Each sentence of `text` with probability `fraction`, decided by `key` alone."""
    sentences = [part[:_MAX_SENTENCE_CHARACTERS] for part in SEGMENT.findall(text) if part != "\n"]
    if fraction >= 1:
        return sentences
    random = np.random.Generator(np.random.PCG64(xxhash.xxh3_64_intdigest(key.encode())))
    drawn = np.flatnonzero(random.random(len(sentences)) < fraction)
    return [sentences[i] for i in drawn]
