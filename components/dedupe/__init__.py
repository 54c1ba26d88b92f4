"""Keep one copy of every text: exact duplicates by hash, near duplicates by MinHash-LSH.

CLEANED is the folder of the cleaned sources, one subfolder each. Texts are compared without white
space over character n-grams. Signatures of all documents are brought together in bands (how many is
derived from the threshold); pairs that meet are verified by the exact Jaccard similarity of their
n-gram sets. Of two copies the one of the earlier source in `priority` stays, then the longer one,
then the one that comes first. What stays may lose lines that stand in many documents (`boilerplate`).

OUT holds the documents by source in the order of `priority`, and within a source in the order they
came, one shard per shard read. `rejected/` gives `exact_duplicate`, `near_duplicate` or `boilerplate`
as `reason`, and for a copy the id of the document that stays as `detail`. `clusters/` lists every copy
beside the one kept, `boilerplate.parquet` the lines taken out.

The text is read three times, a few megabytes at a time; what must meet (hashes, pairs, n-gram sets)
lies on disk in OUT and is sorted within KAJIYA_MEMORY_MB. About 30 bytes a document stay in memory.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from components.dedupe.boilerplate import CommonLines, common_lines
from components.dedupe.budget import working_bytes
from components.dedupe.copies import Found, find_copies
from components.dedupe.corpus import Corpus, check_ids, list_corpus, scan, spilled
from components.dedupe.minhash import Bands, choose_bands
from components.dedupe.removed_lines import LineTotals
from components.dedupe.scan import Scanned
from components.dedupe.settings import BoilerplateSettings, DedupeSettings
from components.dedupe.spill import ascending
from components.dedupe.write import (
    LineRule,
    Verdicts,
    WriteTask,
    Written,
    divide_shard,
    write_clusters,
)
from kajiya.engine import map_shards
from kajiya.report import Flow, Report
from kajiya.shards import shard_path

__all__ = ["BoilerplateSettings", "DedupeSettings", "run"]


def run(config: DedupeSettings, cleaned: Path, *, out: Path) -> Report:
    memory_bytes = working_bytes()
    corpus = list_corpus(cleaned, config.priority)
    spill = out / "spill"  # below OUT while the stage works: a kill leaves nothing of it
    spill.mkdir()
    bands = choose_bands(config.permutations, config.threshold)
    scanned = scan(corpus, config, bands, spill)
    check_ids(cleaned, scanned, spill, memory_bytes // 8)
    found = find_copies(corpus, config, scanned, spill, memory_bytes)
    lines = _lines(config.boilerplate, scanned, found, memory_bytes // 8)
    lines.store(spill)
    totals = LineTotals(len(lines.hashes), spill / "lines")
    written = _write(config, corpus, found.verdicts, out, totals)
    write_clusters(shard_path(out / "clusters", 0), found.verdicts, spill)
    totals.write(out / "boilerplate.parquet", lines)
    shutil.rmtree(spill)
    flows = _flows(corpus, written)
    line_figures = _line_figures(config.boilerplate, corpus, lines, written)
    return Report(flows=flows, figures=_figures(config, bands, found) | line_figures)


def _lines(config: BoilerplateSettings, scanned: list[Scanned], found: Found, sort_bytes: int) -> CommonLines:
    stays = found.verdicts.kept == np.arange(len(found.ranks))
    groups = ascending(spilled(scanned, "lines"), sort_bytes)
    return common_lines(groups, stays, found.ranks, config.max_documents)


def _write(
    config: DedupeSettings, corpus: Corpus, verdicts: Verdicts, out: Path, totals: LineTotals
) -> list[Written]:
    spill, boilerplate = out / "spill", config.boilerplate
    rule = LineRule(spill, boilerplate.keep_first, boilerplate.min_chars_left)
    tasks = [
        WriteTask(
            path,
            begin,
            shard_path(out, number),
            shard_path(out / "rejected", number),
            Verdicts(*(column[begin:end] for column in verdicts)),
            spill,
            config.threshold,
            rule if path.parent.name in boilerplate.sources else None,
            spill / f"{number:05d}.removed",
        )
        for number, (path, begin, end) in enumerate(corpus.parts())
    ]
    written = []
    for task, part in zip(tasks, map_shards(divide_shard, tasks, "write"), strict=True):
        if task.lines:
            totals.fold(task.removed)
        written.append(part)
    return written


def _flows(corpus: Corpus, written: list[Written]) -> dict[str, Flow]:
    flows: dict[str, Flow] = {}
    for (path, begin, end), part in zip(corpus.parts(), written, strict=True):
        flow = flows.setdefault(path.parent.name, Flow())
        flow.came_in += end - begin
        flow.out += part.kept
        flow.rejected.update(part.rejected)
    return flows


def _figures(config: DedupeSettings, bands: Bands, found: Found) -> dict[str, Any]:
    copies = np.bincount(found.verdicts.kept, minlength=1)
    return {
        "bands": bands.count,
        "rows_per_band": bands.rows,
        "probability_to_find_a_pair_at_the_threshold": round(
            bands.candidate_probability(config.threshold), 4
        ),
        "documents_with_copies": int((copies > 1).sum()),
        "largest_group_of_copies": int(copies.max()),
        **found.figures,
    }


def _line_figures(
    config: BoilerplateSettings, corpus: Corpus, lines: CommonLines, written: list[Written]
) -> dict[str, Any]:
    """Per source that is looked at what was taken out."""
    if not config.sources:
        return {}
    sources = {name: {"documents_shortened": 0, "lines_removed": 0} for name in config.sources}
    for path, part in zip(corpus.shards, written, strict=True):
        if path.parent.name in sources:
            sources[path.parent.name]["documents_shortened"] += part.shortened
            sources[path.parent.name]["lines_removed"] += part.lines_removed
    return {"boilerplate_lines": len(lines.hashes), "boilerplate": sources}
