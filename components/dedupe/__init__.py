"""Keep one copy of every text: exact duplicates by hash, near duplicates by MinHash-LSH.

CLEANED is the folder of the cleaned sources, one subfolder each. Texts are compared without white
space over character n-grams. Signatures of all documents are brought together in bands (how many is
derived from the threshold); pairs that meet are verified by the exact Jaccard similarity of their
n-gram sets. Of two copies the one of the earlier source in `priority` stays, then the longer one,
then the one with the lower id.

OUT holds the documents by source in the order of `priority`, and within a source in the order they
came, one shard per shard read. `rejected/` gives `exact_duplicate` or `near_duplicate` as `reason`
and the id of the document that stays as `detail`.

Memory: 600 bytes a document, and 8 bytes a character of those that have a candidate.
"""

from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from components.dedupe.clusters import Buckets, Sets, buckets, first_of_equal, near_duplicates
from components.dedupe.minhash import Bands, choose_bands
from components.dedupe.shards import (
    Catalogue,
    WriteTask,
    count_rows,
    scan,
    shingle_sets,
    sources_in_order,
    write_deduped,
)
from kajiya.engine import map_shards
from kajiya.errors import KajiyaError
from kajiya.report import Flow, Report
from kajiya.settings import Settings
from kajiya.shards import list_shards, shard_path


class DedupeSettings(Settings):
    """Settings of `dedupe`."""

    priority: Annotated[tuple[str, ...], Field(min_length=1)]
    """Every source of the corpus, best first: of two copies that of the earlier source stays."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Jaccard similarity of the n-gram sets from which on two texts are copies."""
    ngram_chars: Annotated[int, Field(ge=1)] = 5
    """Characters of an n-gram."""
    permutations: Annotated[int, Field(ge=16, le=1024)] = 128
    """Length of a signature: more find more of the pairs near the threshold, and take longer."""


def run(config: DedupeSettings, cleaned: Path, *, out: Path) -> Report:
    folders = sources_in_order(cleaned, config.priority)
    documents = scan(folders, config.ngram_chars, config.permutations)
    _check_ids(documents.ids, cleaned)
    shards = _Shards.of(folders)
    ranked = _by_rank(documents)

    first = first_of_equal(documents.hashes[ranked])
    bands = choose_bands(config.permutations, config.threshold)
    minima = documents.signatures[ranked]
    groups = buckets(minima, first, bands)
    sets = _shingles_by_rank(config, shards, ranked, groups)
    stays = near_duplicates(minima, first, groups, sets, config.threshold)

    kept, exact = np.empty_like(stays), np.empty(len(stays), bool)
    kept[ranked] = ranked[stays]
    exact[ranked] = first != np.arange(len(first))
    flows = _write(shards, pc.take(documents.ids, pa.array(kept)), exact, out)
    return Report(flows=flows, figures=_figures(config, bands, kept))


class _Shards(NamedTuple):
    """All shards in the order of priority."""

    paths: list[Path]
    begins: np.ndarray
    """Position of the first document of each shard, and the number of documents at the end."""

    @classmethod
    def of(cls, folders: list[Path]) -> "_Shards":
        paths = [shard for folder in folders for shard in list_shards(folder)]
        return cls(paths, np.cumsum([0, *(count_rows(path) for path in paths)]))


def _check_ids(ids: pa.Array, cleaned: Path) -> None:
    counts = pc.value_counts(ids)
    repeated = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        name = repeated.field("values")[0].as_py()
        raise KajiyaError(
            f"{cleaned}: two documents have the id {name}. An id must be unique in the corpus:"
            " crawl the sources again, each into a folder of its own name."
        )


def _by_rank(documents: Catalogue) -> np.ndarray:
    """Positions of the documents, best copy first."""
    table = pa.table({"source": documents.source, "length": documents.lengths, "id": documents.ids})
    keys = [("source", "ascending"), ("length", "descending"), ("id", "ascending")]
    return np.asarray(pc.sort_indices(table, keys)).astype(np.int64)


def _shingles_by_rank(config: DedupeSettings, shards: _Shards, ranked: np.ndarray, groups: Buckets) -> Sets:
    """N-gram sets numbered by rank; empty for documents that have no candidate."""
    wanted = np.unique(groups.members)
    in_input_order = np.argsort(ranked[wanted])
    found = shingle_sets(shards.paths, shards.begins, ranked[wanted][in_input_order], config.ngram_chars)
    begins, ends = np.zeros(len(ranked), np.int64), np.zeros(len(ranked), np.int64)
    begins[wanted[in_input_order]] = found.offsets[:-1]
    ends[wanted[in_input_order]] = found.offsets[1:]
    return Sets(found.points, begins, ends)


def _write(shards: _Shards, kept_ids: pa.Array, exact: np.ndarray, out: Path) -> dict[str, Flow]:
    tasks = [
        WriteTask(
            path, shard_path(out, index), shard_path(out / "rejected", index), kept_ids[a:b], exact[a:b]
        )
        for index, (path, a, b) in enumerate(
            zip(shards.paths, shards.begins, shards.begins[1:], strict=False)
        )
    ]
    flows: dict[str, Flow] = {}
    for task, written in zip(tasks, map_shards(write_deduped, tasks, "write"), strict=True):
        flow = flows.setdefault(task.shard.parent.name, Flow())
        flow.came_in += len(task.exact)
        flow.out += written.kept
        flow.rejected.update({"exact_duplicate": written.exact, "near_duplicate": written.near})
    return flows


def _figures(config: DedupeSettings, bands: Bands, kept: np.ndarray) -> dict[str, float]:
    copies = np.bincount(kept, minlength=1)
    return {
        "bands": bands.count,
        "rows_per_band": bands.rows,
        "probability_to_find_a_pair_at_the_threshold": round(
            bands.candidate_probability(config.threshold), 4
        ),
        "documents_with_copies": int((copies > 1).sum()),
        "largest_group_of_copies": int(copies.max()),
    }
