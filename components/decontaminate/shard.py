"""One shard: measure, then drop or cut."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.decontaminate.cut import cut_covered
from components.decontaminate.figures import Counts
from components.decontaminate.settings import DecontaminateSettings
from kajiya.overlap import Overlap, Watched, load_watched, overlap, overlap_of
from kajiya.records import CUT, as_rejected
from kajiya.report import Flow
from kajiya.shards import read_shard, write_shard

_OVERLAP, _TOO_SHORT = "evaluation_overlap", "too_short_after_cut"


class Task(NamedTuple):
    shard: Path
    kept: Path
    rejected: Path
    cuts: Path
    evaluation_sets: Path
    config: DecontaminateSettings


class _Remains(NamedTuple):
    """What became of the documents over the bound."""

    texts: dict[int, str]
    """By row: the new text of those that stay."""
    left_chars: dict[int, int]
    """By row: characters left of those that were cut too short."""
    cuts: list[dict]
    """Rows of CUT."""


def decontaminate_shard(task: Task) -> Counts:
    table, config = read_shard(task.shard), task.config
    watched = load_watched(config, task.evaluation_sets)
    found = overlap(table["text"], watched, config.max_overlap)
    over = np.flatnonzero(found.over)
    remains = _cut(table, over, watched, config) if config.action == "cut" else _Remains({}, {}, [])
    if remains.texts:  # they stay, with less of the items in them
        found.left[:] |= overlap_of(list(remains.texts.values()), watched, config.max_overlap).left
    goes = np.zeros(table.num_rows, np.bool_)
    goes[over] = True
    goes[list(remains.texts)] = False
    write_shard(_kept(table, goes, remains), task.kept)
    rows = np.flatnonzero(goes)
    rejected = _rejected(table.take(pa.array(rows)), rows, found, remains, watched, config)
    write_shard(rejected, task.rejected)
    if config.action == "cut":
        write_shard(pa.Table.from_pylist(remains.cuts, CUT), task.cuts)
    was_cut = np.zeros_like(goes)
    was_cut[list(remains.texts)] = True
    flows = _flows(table["source"], rejected)
    return Counts.of(watched, found, goes, was_cut, flows)


def _cut(table: pa.Table, over: np.ndarray, watched: Watched, config: DecontaminateSettings) -> _Remains:
    remains = _Remains({}, {}, [])
    for row in over.tolist():
        text = table["text"][row].as_py()
        left, cuts = cut_covered(text, watched, config.max_overlap)
        left = left.strip("\n")
        chars = len(left.strip())
        if chars < config.min_left_chars:
            remains.left_chars[row] = chars
            continue
        remains.texts[row] = left
        remains.cuts.extend(
            {
                "id": table["id"][row].as_py(),
                "set": watched.sets[watched.set_of[cut.text]],
                "item": watched.names[cut.text],
                "begin": cut.begin,
                "end": cut.end,
                "text": text[cut.begin : cut.end],
            }
            for cut in cuts
        )
    return remains


def _kept(table: pa.Table, goes: np.ndarray, remains: _Remains) -> pa.Table:
    if remains.texts:
        changed = np.zeros(table.num_rows, np.bool_)
        changed[list(remains.texts)] = True
        texts = pa.array(list(remains.texts.values()), pa.large_string())
        column = pc.replace_with_mask(table["text"].combine_chunks(), pa.array(changed), texts)
        place = table.schema.get_field_index("text")
        table = table.set_column(place, table.schema.field(place), column)
    return table.filter(pa.array(~goes)) if goes.any() else table


def _rejected(
    documents: pa.Table,
    rows: np.ndarray,
    found: Overlap,
    remains: _Remains,
    watched: Watched,
    config: DecontaminateSettings,
) -> pa.Table:
    cut = np.array([row in remains.left_chars for row in rows.tolist()], np.bool_)
    chars = np.array([remains.left_chars.get(row, 0) for row in rows.tolist()], np.float64)
    reasons = [_TOO_SHORT if short else _OVERLAP for short in cut]
    details = [watched.label(text) for text in found.worst_text[rows].tolist()]
    values = np.where(cut, chars, found.worst_share[rows])
    return as_rejected(
        documents, reasons, details, values, np.where(cut, config.min_left_chars, config.max_overlap)
    )


def _flows(sources: pa.ChunkedArray, rejected: pa.Table) -> dict[str, Flow]:
    flows = {}
    for one in pc.value_counts(sources).to_pylist():
        flows[one["values"]] = Flow(came_in=one["counts"], out=one["counts"])
    for source, reason in zip(rejected["source"].to_pylist(), rejected["reason"].to_pylist(), strict=True):
        flows[source].out -= 1
        flows[source].rejected[reason] += 1
    return flows
