"""Clean a table of Documents: the stage's work on values, without files."""

from collections import Counter
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from components.clean.lines import counted, removed
from components.clean.measures import Batch
from components.clean.normalize import normalized, tidied
from components.clean.privacy import mask
from components.clean.rules import first_failures
from components.clean.rulesets import RuleSet
from kajiya.records import DOCUMENT, as_rejected


class Cleaned(NamedTuple):
    """Documents in the order they came, and what was counted: `lines.<kind>`, `masked.<kind>`, ..."""

    kept: pa.Table
    rejected: pa.Table
    figures: Counter[str]


def clean_documents(
    documents: pa.Table, rules: RuleSet, mask_personal_data: bool, excluded: dict[str, str]
) -> Cleaned:
    documents, taken = _split(documents, excluded)
    originals = pl.Series(documents["text"].to_pylist(), dtype=pl.String)
    texts, figures = _without_boilerplate(originals, rules)
    if mask_personal_data:
        masked = mask(texts)
        texts = masked.texts
        figures.update({"masked.email": masked.emails, "masked.phone": masked.phones})
    batch = Batch(originals.to_list(), texts.to_list())
    failed, value = first_failures(rules.documents, batch)
    passes = (failed < 0) & (texts != "").to_numpy()
    figures["characters.in"] = int(originals.str.len_chars().sum())
    figures["characters.out"] = int(texts.filter(pl.Series(passes)).str.len_chars().sum())
    kept = _with_text(documents, batch.texts).filter(pa.array(passes))
    rejected = _rejects(documents, batch, rules, failed, value).filter(pa.array(~passes))
    return Cleaned(kept, pa.concat_tables([taken, rejected]), figures)


def _split(documents: pa.Table, excluded: dict[str, str]) -> tuple[pa.Table, pa.Table]:
    """The documents to clean, and those that somebody asked to leave out, as rejects without their text."""
    ids = documents["id"].to_pylist()
    out = pa.array([name in excluded for name in ids], pa.bool_())
    taken = documents.filter(out)
    details = [excluded[name] for name in ids if name in excluded]
    rejected = as_rejected(_with_text(taken, [""] * len(details)), ["takedown"] * len(details), details)
    return documents.filter(pc.invert(out)), rejected


def _without_boilerplate(originals: pl.Series, rules: RuleSet) -> tuple[pl.Series, Counter[str]]:
    frame = originals.to_frame("text").select(normalized(pl.col("text")))
    figures: Counter[str] = Counter()
    for kind in rules.lines:
        figures[f"lines.{kind}"] = int(frame.select(counted(pl.col("text"), kind)).sum().item() or 0)
        frame = frame.select(removed(pl.col("text"), kind))
    return frame.select(tidied(pl.col("text")))["text"], figures


def _rejects(
    documents: pa.Table, batch: Batch, rules: RuleSet, failed: np.ndarray, value: np.ndarray
) -> pa.Table:
    """Every document as a reject; meaningful where it was rejected."""
    # No document is empty, not even here: what was nothing but boilerplate keeps its original text.
    texts = [text or original for text, original in zip(batch.texts, batch.originals, strict=True)]
    names = [rule.rule for rule in rules.documents]
    reasons = [names[index] if index >= 0 else "empty" for index in failed]
    measured = np.where(failed >= 0, value, np.nan)
    return as_rejected(_with_text(documents, texts), reasons, [""] * len(reasons), measured)


def _with_text(documents: pa.Table, texts: list[str]) -> pa.Table:
    field = DOCUMENT.field("text")
    return documents.set_column(documents.schema.get_field_index("text"), field, pa.array(texts, field.type))
