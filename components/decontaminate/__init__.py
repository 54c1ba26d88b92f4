"""Drop documents that hold evaluation items: a model must not have read what it is measured on.

Every text of every set in EVALUATION_SETS (questions, contexts, sentences, reviews, English texts) is
cut into character n-grams, and so is every document, by letters and digits alone. A document goes
when it covers more than `max_overlap` of the n-grams of some item; an item shorter than an n-gram
must be contained whole.

DEDUPED is a folder of Document shards. OUT gets one shard per shard of DEDUPED, in the same order.
`rejected/` gives `evaluation_overlap` as `reason`, and set, split, item and the covered share as
`detail`. The report counts per set the items that some document touches or covers, and the documents
dropped for it.
"""

from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field

from components.decontaminate.overlap import Index, build_indexes, comparable, overlap
from kajiya.engine import map_shards
from kajiya.errors import KajiyaError
from kajiya.evaluation_sets import load_all
from kajiya.records import as_rejected
from kajiya.report import Flow, Report, add_flows
from kajiya.settings import Settings
from kajiya.shards import list_shards, read_shard, shard_path, write_shard

_REASON = "evaluation_overlap"
_BATCH_CHARS = 16_000_000


class DecontaminateSettings(Settings):
    """Settings of `decontaminate`."""

    ngram_chars: Annotated[int, Field(ge=5, le=100)] = 13
    """Letters of an n-gram for Japanese sets."""
    english_ngram_chars: Annotated[int, Field(ge=5, le=200)] = 40
    """Letters of an n-gram for English sets: 13 letters are three words, and a long book holds most
    combinations of three words."""
    max_overlap: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """A document that covers a larger share of an item's n-grams is dropped."""
    min_chars: Annotated[int, Field(ge=1)] = 10
    """Items of fewer letters are not looked for: they are everyday phrases."""


class _Items(NamedTuple):
    """Every text to look for."""

    sets: list[str]
    """Per text its set and split, such as "jsquad/valid-v1.3"."""
    ids: list[str]
    indexes: list[Index]


class _Task(NamedTuple):
    shard: Path
    kept: Path
    rejected: Path
    evaluation_sets: Path
    config: DecontaminateSettings


class _Counts(NamedTuple):
    flows: dict[str, Flow]
    dropped: Counter[str]
    item_share: np.ndarray


def run(config: DecontaminateSettings, deduped: Path, evaluation_sets: Path, *, out: Path) -> Report:
    items = _load_items(config, evaluation_sets)
    tasks = [
        _Task(shard, shard_path(out, i), shard_path(out / "rejected", i), evaluation_sets, config)
        for i, shard in enumerate(list_shards(deduped))
    ]
    flows: dict[str, Flow] = {}
    dropped: Counter[str] = Counter()
    item_share = np.zeros(len(items.ids))
    for counts in map_shards(_decontaminate_shard, tasks, "decontaminate"):
        dropped.update(counts.dropped)
        item_share = np.maximum(item_share, counts.item_share)
        add_flows(flows, counts.flows)
    if not any(flow.out for flow in flows.values()):
        raise KajiyaError(
            f"{deduped}: no document is left without an overlap with {evaluation_sets}."
            " Check that the sets are not the corpus itself, and decontaminate.max_overlap."
        )
    return Report(flows=flows, figures=_figures(config, items, item_share, dropped))


@lru_cache(maxsize=1)  # once in every worker process
def _load_items(config: DecontaminateSettings, folder: Path) -> _Items:
    sets, ids, texts, lengths = [], [], [], []
    for one in load_all(folder):
        n = config.english_ngram_chars if one.language == "en" else config.ngram_chars
        for passage in one.passages():
            sets.append(f"{one.name}/{one.split}-{one.version}")
            ids.append(passage.item)
            texts.append(passage.text)
            lengths.append(n)
    indexes = build_indexes(comparable(texts), np.array(lengths), config.min_chars)
    return _Items(sets, ids, indexes)


def _decontaminate_shard(task: _Task) -> _Counts:
    table = read_shard(task.shard)
    items = _load_items(task.config, task.evaluation_sets)
    parts = [
        overlap(comparable(texts), items.indexes, len(items.ids))
        for texts in _batches(table["text"].to_pylist())
    ]
    item = np.concatenate([np.zeros(0, np.int64), *(part.worst_item for part in parts)])
    share = np.concatenate([np.zeros(0), *(part.worst_share for part in parts)])
    goes = share > task.config.max_overlap
    details = [f"{items.sets[i]}:{items.ids[i]}" if i >= 0 else "" for i in item]
    bounds = np.full(len(item), task.config.max_overlap)
    rejected = as_rejected(table, [_REASON] * len(item), details, share, bounds)
    write_shard(table.filter(pa.array(~goes)), task.kept)
    write_shard(rejected.filter(pa.array(goes)), task.rejected)
    item_share = np.max([np.zeros(len(items.ids)), *(part.item_share for part in parts)], axis=0)
    dropped = Counter(items.sets[i] for i in item[goes])
    return _Counts(_flows(table["source"].to_pylist(), goes), dropped, item_share)


def _batches(texts: list[str]) -> list[list[str]]:
    """The texts in groups that bound the memory of comparing them."""
    batches: list[list[str]] = [[]]
    chars = 0
    for text in texts:
        if chars > _BATCH_CHARS:
            batches.append([])
            chars = 0
        batches[-1].append(text)
        chars += len(text)
    return batches


def _flows(sources: list[str], goes: np.ndarray) -> dict[str, Flow]:
    flows = {source: Flow(came_in=count, out=count) for source, count in Counter(sources).items()}
    for source, count in Counter(np.array(sources, dtype=object)[goes]).items():
        flows[source].out -= count
        flows[source].rejected[_REASON] = count
    return flows


def _figures(
    config: DecontaminateSettings, items: _Items, item_share: np.ndarray, dropped: Counter[str]
) -> dict[str, dict[str, int]]:
    names = np.array(items.sets, dtype=object)
    looked_for = np.sum([index.sizes > 0 for index in items.indexes], axis=0)
    return {
        name: {
            "texts": int((names == name).sum()),
            "texts_too_short_to_look_for": int(((names == name) & (looked_for == 0)).sum()),
            "texts_touched": int(((names == name) & (item_share > 0)).sum()),
            "texts_covered": int(((names == name) & (item_share > config.max_overlap)).sum()),
            "documents_dropped": dropped[name],
        }
        for name in sorted(set(items.sets))
    }
