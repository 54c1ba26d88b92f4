"""The counts of a shard, of all shards, and the report's figures per evaluation set."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kajiya.ledger import JsonArray
from kajiya.overlap import Overlap, Watched, share_left
from kajiya.report import Flow, add_flows

_FATES = ("touched", "over_bound", "dropped", "cut")


@dataclass
class Counts:
    """What one shard, or all of them, gave."""

    text_share: JsonArray
    """Per watched text the largest share that one document covers."""
    left: JsonArray
    """Per key of the watched texts whether it stays in the corpus; as packed bits."""
    documents: JsonArray
    """[set, fate] -> documents; the last row counts each document once. Fates: _FATES."""
    flows: dict[str, Flow] = field(default_factory=dict)

    @classmethod
    def none(cls, watched: Watched) -> "Counts":
        left = np.packbits(np.zeros(len(watched.keys.values), np.bool_))
        return cls(
            np.zeros(len(watched.names)), left, np.zeros((len(watched.sets) + 1, len(_FATES)), np.int64)
        )

    @classmethod
    def of(
        cls, watched: Watched, found: Overlap, dropped: np.ndarray, cut: np.ndarray, flows: dict[str, Flow]
    ) -> "Counts":
        everywhere = np.uint64(0xFFFFFFFFFFFFFFFF)
        bits = [*(np.uint64(1) << np.uint64(number) for number in range(len(watched.sets))), everywhere]
        documents = np.array(
            [
                [
                    np.count_nonzero(found.touched & bit),
                    np.count_nonzero(found.over & bit),
                    np.count_nonzero(found.over[dropped] & bit),
                    np.count_nonzero(found.over[cut] & bit),
                ]
                for bit in bits
            ],
            np.int64,
        )
        return cls(found.text_share, np.packbits(found.left), documents, flows)


def add_counts(total: Counts, part: Counts) -> None:
    """Add one shard's counts."""
    np.maximum(total.text_share, part.text_share, out=total.text_share)
    total.left |= part.left
    total.documents += part.documents
    add_flows(total.flows, part.flows)


def figures(watched: Watched, total: Counts, max_overlap: float) -> dict[str, Any]:
    """Per set: items and documents that overlap, and the items whose n-grams stay in the corpus.

    A document over the bound of two sets counts in both; `all_sets` counts it once.
    """
    stays = share_left(watched, np.unpackbits(total.left, count=len(watched.keys.values)).astype(np.bool_))
    by_set: dict[str, Any] = {}
    for number, name in enumerate(watched.sets):
        items = [texts for place, texts in watched.items if place == number]
        by_set[name] = {
            "items": _items(items, watched.sizes, total.text_share, stays, max_overlap),
            "documents": dict(zip(_FATES, total.documents[number].tolist(), strict=True)),
        }
    return {"sets": by_set, "all_sets": dict(zip(_FATES, total.documents[-1].tolist(), strict=True))}


def _items(
    items: list[list[int]], sizes: np.ndarray, share: np.ndarray, stays: np.ndarray, bound: float
) -> dict[str, int]:
    """An item overlaps when one of its texts does."""
    begins = np.cumsum([0, *(len(texts) for texts in items[:-1])])
    texts = np.concatenate(items)

    def count(holds: np.ndarray) -> int:
        return int(np.logical_or.reduceat(holds[texts], begins).sum())

    return {
        "all": len(items),
        "too_short_to_look_for": len(items) - count(sizes > 0),
        "touched": count(share > 0),
        "over_bound": count(share > bound),
        "touched_in_what_stays": count(stays > 0),
        "over_bound_in_what_stays_together": count(stays > bound),
    }
