"""The one schema per boundary between stages. docs/formats.md describes the same in prose."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kajiya.errors import KajiyaError

# One text with its provenance. `text` is large_string: a shard may pass 2 GiB of text.
DOCUMENT = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # "<source>:<native id>", unique in the corpus
        pa.field("source", pa.string(), nullable=False),  # key of `sources` in params.yaml
        pa.field("text", pa.large_string(), nullable=False),  # never empty
        pa.field("url", pa.string()),
        pa.field("title", pa.string()),
        pa.field("date", pa.date32()),  # of the content, UTC
        pa.field("license", pa.string(), nullable=False),  # SPDX id, or a name policy can list
        pa.field("generator", pa.string(), nullable=False),  # "human", or the model that wrote it
        pa.field("language", pa.string(), nullable=False),  # ISO 639-1
    ]
)

# A document a stage dropped, with the first rule that dropped it.
REJECTED = pa.schema(
    [
        *DOCUMENT,
        pa.field("reason", pa.string(), nullable=False),  # rule name, as counted in the report
        pa.field("detail", pa.string(), nullable=False),  # what it met: the id kept, the item; may be empty
        pa.field("value", pa.float64()),  # what the rule measured, where it measures
        pa.field("threshold", pa.float64()),  # the bound that the value crossed
    ]
)

# Sentences that decontaminate cut out of a document: characters begin to end (exclusive) of its old text.
CUT = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("set", pa.string(), nullable=False),  # "jsquad/valid-v1.3"
        pa.field("item", pa.string(), nullable=False),  # the item's id in that set
        pa.field("begin", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
    ]
)

# Where a run of tokens came from: token_ids[start:end] of one split.
TOKEN_SPAN = pa.schema(
    [
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
    ]
)


def as_rejected(
    documents: pa.Table,
    reasons: Sequence[str],
    details: Sequence[str] | pa.Array,
    values: npt.ArrayLike | None = None,
    thresholds: npt.ArrayLike | None = None,
) -> pa.Table:
    """The documents as a REJECTED table; each column has one entry per document, NaN standing for null."""
    columns = {
        "reason": pa.array(reasons, pa.string()),
        "detail": details if isinstance(details, pa.Array) else pa.array(details, pa.string()),
        "value": _nullable(values, documents.num_rows),
        "threshold": _nullable(thresholds, documents.num_rows),
    }
    for name, column in columns.items():
        documents = documents.append_column(REJECTED.field(name), column)
    return documents


def _nullable(values: npt.ArrayLike | None, rows: int) -> pa.Array:
    if values is None:
        return pa.nulls(rows, pa.float64())
    return pa.array(np.asarray(values, np.float64), from_pandas=True)


def check_schema(actual: pa.Schema, expected: pa.Schema, where: object) -> None:
    """Raise KajiyaError unless `actual` has the columns and types of `expected`, in order."""
    if actual.names != expected.names or actual.types != expected.types:
        raise KajiyaError(
            f"{where}: columns do not match the schema.\n"
            f"  expected: {_columns(expected)}\n  found:    {_columns(actual)}\n"
            "  The file was written by another version or another tool: rerun the stage before."
        )


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)
