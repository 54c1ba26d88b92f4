"""Clean a table of Documents: the stage's work on values, without files."""

from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.clean.lines import LineKind, line_bits, line_kind, triggers
from components.clean.measures import Batch
from components.clean.normalize import normalized
from components.clean.privacy import MASKS, masked_line
from components.clean.rewrite import Edits, rewritten
from components.clean.rules import Judgement, judged
from components.clean.rulesets import RuleSet
from components.clean.scan import PERSONAL, suspicious_lines
from components.clean.utf8 import decode
from kajiya.ngrams import Points
from kajiya.records import DOCUMENT, as_rejected


class Cleaned(NamedTuple):
    """Documents in the order they came; what every rule measured on each; what was counted: `masked.email`, ..."""

    kept: pa.Table
    rejected: pa.Table
    measures: pa.Table
    figures: Counter[str]


def clean_documents(
    documents: pa.Table, rules: RuleSet, mask_personal_data: bool, excluded: dict[str, str]
) -> Cleaned:
    """excluded: ids of documents that somebody asked to leave out, with the reason."""
    original = _text(documents)
    decoded = decode(original)
    texts, figures = without_boilerplate(normalized(decoded), rules.lines, mask_personal_data)
    batch = Batch(texts, decoded.damage)
    judgement = judged(rules.documents, batch)
    reasons, details = _reasons(documents["id"], judgement, excluded)
    keeps = pc.is_null(reasons)
    figures["characters.in"] = int(decoded.texts.offsets[-1])
    figures["characters.out"] = int(np.diff(texts.offsets)[keeps.to_numpy(zero_copy_only=False)].sum())
    cleaned = _with_text(documents, batch.utf8)
    measures = _measures(documents["id"], keeps, reasons, batch.chars, judgement)
    rejects = _rejects(cleaned, original, pc.invert(keeps), reasons, details, judgement)
    return Cleaned(cleaned.filter(keeps), rejects, measures, figures)


def without_boilerplate(
    texts: Points, kinds: tuple[LineKind, ...], mask_personal_data: bool
) -> tuple[Points, Counter[str]]:
    """Normalised texts without lines of these kinds and without personal data, and what was taken out."""
    figures: Counter[str] = Counter({f"lines.{kind}": 0 for kind in kinds})
    wanted = line_bits(kinds)
    if mask_personal_data:
        wanted |= PERSONAL
        figures.update({f"masked.{kind}": 0 for kind in MASKS})
    edits = Edits([], [], [])
    found = suspicious_lines(texts, triggers(kinds), wanted)
    for begin, end, bits in zip(*(column.tolist() for column in found), strict=True):
        line = texts.points[begin:end].tobytes().decode("utf-32-le")
        new = line
        if kind := line_kind(line, bits, kinds):
            new = ""
            figures[f"lines.{kind}"] += 1
        else:
            new, masked = masked_line(line, bits)
            figures.update({f"masked.{kind}": count for kind, count in masked.items()})
        if new != line:
            edits.begins.append(begin)
            edits.ends.append(end)
            edits.texts.append(new)
    return rewritten(texts, edits), figures


def _reasons(
    ids: pa.ChunkedArray, judgement: Judgement, excluded: dict[str, str]
) -> tuple[pa.Array, pa.Array]:
    """Why each document goes (null: it stays), and the detail beside it."""
    names = np.array([*judgement.names, "empty", None], object)
    reasons = names[judgement.failed]
    details = np.full(len(reasons), "", object)
    if excluded:
        for row in np.flatnonzero(pc.is_in(ids, pa.array(list(excluded), ids.type))):
            reasons[row], details[row] = "takedown", excluded[ids[row].as_py()]
    return pa.array(reasons, pa.string()), pa.array(details, pa.string())


def _measures(
    ids: pa.ChunkedArray, keeps: pa.Array, reasons: pa.Array, chars: np.ndarray, judgement: Judgement
) -> pa.Table:
    columns = {
        "id": ids.combine_chunks(),
        "kept": keeps,
        "reason": reasons,
        "chars": pa.array(chars, pa.int64()),
    }
    columns |= {name: pa.array(values, pa.float64()) for name, values in judgement.values.items()}
    return pa.table(columns)


def _rejects(
    cleaned: pa.Table,
    original: pa.Array,
    goes: pa.Array,
    reasons: pa.Array,
    details: pa.Array,
    judgement: Judgement,
) -> pa.Table:
    rejected, reasons, details = cleaned.filter(goes), reasons.filter(goes), details.filter(goes)
    # What was nothing but boilerplate keeps its original text; what was taken down keeps none.
    texts = pc.if_else(pc.equal(pc.binary_length(_text(rejected)), 0), original.filter(goes), _text(rejected))
    taken = pc.equal(reasons, "takedown")
    texts = pc.if_else(taken, pa.scalar("", pa.large_string()), texts)
    which = np.flatnonzero(goes)
    values, thresholds = judgement.value[which], judgement.threshold[which]
    values[taken.to_numpy(zero_copy_only=False)] = np.nan
    thresholds[taken.to_numpy(zero_copy_only=False)] = np.nan
    return as_rejected(_with_text(rejected, texts), reasons.to_pylist(), details, values, thresholds)


def _text(documents: pa.Table) -> pa.Array:
    return documents["text"].combine_chunks()


def _with_text(documents: pa.Table, texts: pa.Array) -> pa.Table:
    field = DOCUMENT.field("text")
    return documents.set_column(documents.schema.get_field_index("text"), field, texts)
