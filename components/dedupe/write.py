"""Third pass over the text: divide every shard into what stays and what goes."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.dedupe.boilerplate import CommonLines, shorten
from components.dedupe.identifiers import take_ids
from components.dedupe.removed_lines import RemovedLines
from components.dedupe.stream import BatchWriter, read_batches
from kajiya.records import DOCUMENT, REJECTED, as_rejected

CLUSTER = pa.schema(
    [
        pa.field("kept_id", pa.string(), nullable=False),
        pa.field("copy_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # exact, near
        pa.field("jaccard", pa.float64(), nullable=False),  # of the copy and the one kept
    ]
)
_CLUSTER_ROWS = 1 << 17
_DECIMALS = 6  # float32 holds no more


class Verdicts(NamedTuple):
    """What becomes of consecutive documents."""

    kept: np.ndarray
    """uint32: number of the document that stays in its place, maybe itself."""
    jaccard: np.ndarray
    exact: np.ndarray
    """Whether it goes as an exact duplicate."""


class LineRule(NamedTuple):
    """What is done about lines that stand in many documents."""

    folder: Path
    """Where the common lines are stored."""
    keep_first: bool
    min_chars_left: int


class WriteTask(NamedTuple):
    shard: Path
    first_document: int
    kept: Path
    rejected: Path
    verdicts: Verdicts
    ids: Path
    """Folder of the ids of all documents."""
    threshold: float
    lines: LineRule | None
    removed: Path
    """To write what was taken out of which lines, where there is a rule."""


@dataclass
class Written:
    """Counts of a shard."""

    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    """Documents by reason."""
    shortened: int = 0
    """Documents that lost a line and stay."""
    lines_removed: int = 0


def divide_shard(task: WriteTask) -> Written:
    written = Written()
    removed = RemovedLines()
    common = CommonLines.stored(task.lines.folder) if task.lines else None
    begin = 0
    with BatchWriter(task.kept, DOCUMENT) as kept, BatchWriter(task.rejected, REJECTED) as rejected:
        for table in read_batches(task.shard):
            end = begin + table.num_rows
            documents = np.arange(begin, end, dtype=np.uint32) + np.uint32(task.first_document)
            verdicts = Verdicts(*(column[begin:end] for column in task.verdicts))
            begin = end
            stays = verdicts.kept == documents
            gone = _copies(task, table.filter(pa.array(~stays)), Verdicts(*(v[~stays] for v in verdicts)))
            staying = table.filter(pa.array(stays)) if len(gone) else table
            emptied = gone.slice(0, 0)
            if task.lines and common:
                staying, emptied, shortened = _without_common_lines(
                    task.lines, common, staying, documents[stays], removed
                )
                written.shortened += shortened
            kept.add(staying)
            written.kept += len(staying)
            for part in (gone, emptied):
                rejected.add(part)
                written.rejected.update(part["reason"].to_pylist())
    if task.lines:
        written.lines_removed = removed.counts.total()
        removed.write(task.removed)
    return written


def _copies(task: WriteTask, gone: pa.Table, verdicts: Verdicts) -> pa.Table:
    reasons = np.where(verdicts.exact, "exact_duplicate", "near_duplicate").astype(object)
    measured = np.where(verdicts.exact, np.nan, _rounded(verdicts.jaccard))
    bound = np.where(verdicts.exact, np.nan, task.threshold)
    return as_rejected(gone, reasons, take_ids(task.ids, verdicts.kept), measured, bound)


def _rounded(jaccard: np.ndarray) -> np.ndarray:
    return np.round(jaccard.astype(np.float64), _DECIMALS)


def _without_common_lines(
    rule: LineRule, common: CommonLines, table: pa.Table, documents: np.ndarray, removed: RemovedLines
) -> tuple[pa.Table, pa.Table, int]:
    """What stays with its lines taken out, what is left too short by it, as it came, and how many lost a line."""
    column = table["text"].combine_chunks()
    texts, emptied, left = {}, [], []
    for index, shortened in shorten(column, documents, common, rule.keep_first):
        chars = len("".join(shortened.text.split()))
        if chars < rule.min_chars_left:
            emptied.append(index)
            left.append(chars)
            continue
        texts[index] = shortened.text
        for number, line in shortened.removed:
            removed.add(number, line)
    bounds = np.full(len(emptied), rule.min_chars_left)
    rejected = as_rejected(
        table.take(pa.array(emptied, pa.int64())),
        ["boilerplate"] * len(emptied),
        [""] * len(emptied),
        left,
        bounds,
    )
    if texts:
        new = pa.array([texts.get(i) for i in range(len(table))], pa.large_string())
        table = table.set_column(
            DOCUMENT.names.index("text"), DOCUMENT.field("text"), pc.coalesce(new, column)
        )
    stays = np.ones(len(table), bool)
    stays[emptied] = False
    return table.filter(pa.array(stays)), rejected, len(texts)


def write_clusters(path: Path, verdicts: Verdicts, ids: Path) -> None:
    """One row per document that goes, by the one kept and then by the copy, in the order of the corpus."""
    copies = np.flatnonzero(verdicts.kept != np.arange(len(verdicts.kept)))
    copies = copies[np.argsort(verdicts.kept[copies], kind="stable")]
    with BatchWriter(path, CLUSTER) as writer:
        for begin in range(0, len(copies), _CLUSTER_ROWS):
            part = copies[begin : begin + _CLUSTER_ROWS]
            columns = {
                "kept_id": take_ids(ids, verdicts.kept[part]),
                "copy_id": take_ids(ids, part),
                "kind": pa.array(np.where(verdicts.exact[part], "exact", "near")),
                "jaccard": pa.array(_rounded(verdicts.jaccard[part])),
            }
            writer.add(pa.table(columns, schema=CLUSTER))
