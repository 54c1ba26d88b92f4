"""Draw random sentences: which ones depends on the seed and their documents, not on shards or workers."""

from collections import Counter
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


def sample_sentences(shards: list[Path], sizes: dict[str, Size], config: TokenizerSettings) -> list[str]:
    """About `sample_characters` characters of sentences, balanced over the sources as `weights` says."""
    fractions = sampling_fractions(sizes, config.weights, config.sample_characters)
    tasks = [(shard, fractions, config.seed) for shard in shards]
    return [text for part in map_shards(_sample_shard, tasks, "tokenizer: sample") for text in part]


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


def _sample_shard(task: tuple[Path, dict[str, float], int]) -> list[str]:
    shard, fractions, seed = task
    columns = read_shard(shard).select(["id", "source", "text"]).to_pydict()
    sentences: list[str] = []
    for identity, source, text in zip(*columns.values(), strict=True):
        sentences += draw_sentences(text, fractions[source], f"{seed}:{identity}")
    return sentences


def draw_sentences(text: str, fraction: float, key: str) -> list[str]:
    """Each sentence of `text` with probability `fraction`, decided by `key` alone."""
    sentences = [part[:_MAX_SENTENCE_CHARACTERS] for part in SEGMENT.findall(text) if part != "\n"]
    if fraction >= 1:
        return sentences
    random = np.random.Generator(np.random.PCG64(xxhash.xxh3_64_intdigest(key.encode())))
    drawn = np.flatnonzero(random.random(len(sentences)) < fraction)
    return [sentences[i] for i in drawn]
