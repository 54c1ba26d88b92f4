"""From what the first pass spilled to a verdict on every document."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from components.dedupe.candidates import candidate_pairs, first_of_equal, rank_documents
from components.dedupe.clusters import Rule, cluster
from components.dedupe.corpus import Corpus, spilled
from components.dedupe.scan import Scanned
from components.dedupe.settings import DedupeSettings
from components.dedupe.shingle_sets import write_shingle_sets
from components.dedupe.spill import PAIR, SpillFile, SpillWriter, as_records, ascending
from components.dedupe.write import Verdicts

# Of the working memory: what sorting a group and comparing sets take beside the records themselves.
_SORT_SHARE = 8
_SETS_SHARE = 4


class Found(NamedTuple):
    verdicts: Verdicts
    ranks: np.ndarray
    figures: dict[str, int]


def find_copies(
    corpus: Corpus, config: DedupeSettings, scanned: list[Scanned], spill: Path, memory_bytes: int
) -> Found:
    sort_bytes = memory_bytes // _SORT_SHARE
    ranks = rank_documents(np.concatenate([one.lengths for one in scanned]), corpus.first_of_source)
    first = first_of_equal(ascending(spilled(scanned, "texts"), sort_bytes), ranks)
    pairs, paired = _spill_pairs(scanned, ranks, first, spill, sort_bytes)
    sets = write_shingle_sets(corpus.parts(), ranks, paired[ranks], config.ngram_chars, spill)
    rule = Rule(config.threshold, config.clusters == "connected")
    groups = (group["key"] for group in ascending([pairs], sort_bytes))
    found = cluster(groups, first, sets, rule, memory_bytes // _SETS_SHARE)

    documents = np.empty_like(ranks)
    documents[ranks] = np.arange(len(ranks), dtype=np.uint32)
    exact = first != np.arange(len(first))
    verdicts = Verdicts(documents[found.kept[ranks]], found.jaccard[ranks], exact[ranks])
    return Found(
        verdicts, ranks, {"pairs_compared": found.compared, "documents_with_candidates": int(paired.sum())}
    )


def _spill_pairs(
    scanned: list[Scanned], ranks: np.ndarray, first: np.ndarray, spill: Path, sort_bytes: int
) -> tuple[SpillFile, np.ndarray]:
    """Candidate pairs, to be read back by ascending rank; and per rank whether it is in any."""
    paired = np.zeros(len(ranks), bool)
    highest = max(1, len(ranks) - 1) << 32
    writer = SpillWriter(spill / "pairs", PAIR, max(0, highest.bit_length() - 8))
    for group in ascending(spilled(scanned, "bands"), sort_bytes):
        for pairs in candidate_pairs(group, ranks, first):
            different = np.unique(pairs)
            paired[different >> np.uint64(32)] = True
            paired[different & np.uint64(0xFFFFFFFF)] = True
            writer.add(as_records(PAIR, key=different))
    return writer.close(), paired
