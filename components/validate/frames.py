"""The small tables that the expectations look at: a row per corpus, source, licence, ... or feature.

Great Expectations never sees a document, so its memory and time do not grow with the corpus.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from components.validate.drift import Drift
from components.validate.profile import Profile, Source, quantile
from components.validate.settings import ValidateSettings
from kajiya.errors import KajiyaError
from kajiya.policy import Kind, Policy, Refusal
from kajiya.records import DOCUMENT
from kajiya.shards import list_shards

# Counted, none allowed; of the other faults it is the share of the documents that counts.
_COUNTED = ("id_prefix", "text_not_empty", "text_length", "line_ends", "url")


def describe_shards(dataset: Path) -> pl.DataFrame:
    """One row per shard: its name, its rows, and its columns with their types in one string."""
    rows = []
    for path in list_shards(dataset):
        try:
            with path.open("rb") as handle, pq.ParquetFile(handle) as file:
                columns = ", ".join(f"{field.name} {field.type}" for field in file.schema_arrow)
                rows.append({"row": path.name, "rows": file.metadata.num_rows, "columns": columns})
        except (pa.ArrowInvalid, OSError) as error:
            raise KajiyaError(f"{path}: not a readable Parquet file ({error}). Rerun its stage.") from error
    return pl.DataFrame(rows)


def build_frames(
    profile: Profile, refusals: dict[str, list[Refusal]], config: ValidateSettings, drifts: Sequence[Drift]
) -> dict[str, pl.DataFrame]:
    """Each with a column `row` that names its rows."""
    corpus = {
        "row": "corpus",
        "documents": profile.documents,
        "repeated_ids": profile.repeated_ids,
        "repeated_text_share": profile.repeated_texts / max(1, profile.documents),
        "median_chars": quantile(profile.histogram("length_chars"), 0.5),
    }
    required = [field.name for field in DOCUMENT if not field.nullable]
    frames = {
        "corpus": pl.DataFrame([corpus]),
        "columns": pl.DataFrame([{"row": name, "missing": profile.nulls.get(name, 0)} for name in required]),
        "languages": _values(
            profile.values.get("language", {}),
            {
                name: f"not in validate.languages:{name}"
                for name in profile.values.get("language", {})
                if name not in config.languages
            },
        ),
        "sources": pl.DataFrame(
            [{"row": name, **_source(source)} for name, source in sorted(profile.sources.items())]
        ),
        "drift": pl.DataFrame([{"row": one.feature, "psi": one.psi} for one in drifts]),
    }
    for kind in ("license", "generator"):
        refused = {one.name: one.reason for one in refusals[kind]}
        frames[f"{kind}s"] = _values(profile.values.get(kind, {}), refused)
    return {name: frame for name, frame in frames.items() if frame.height}


def find_refusals(profile: Profile, policy: Policy) -> dict[str, list[Refusal]]:
    """Licences and generators of the corpus that the policy does not clear for it."""
    kinds: tuple[Kind, ...] = ("license", "generator")
    return {
        kind: [
            refusal
            for name in sorted(profile.values.get(kind, {}))
            if (refusal := policy.refusal(kind, name, "corpus"))
        ]
        for kind in kinds
    }


def _values(counts: dict[str, int], refused: dict[str, str]) -> pl.DataFrame:
    rows = [
        {"row": name, "documents": count, "refused": refused.get(name)}
        for name, count in sorted(counts.items())
    ]
    return pl.DataFrame(rows, schema={"row": pl.String, "documents": pl.Int64, "refused": pl.String})


def _source(source: Source) -> dict[str, float | None]:
    row: dict[str, float | None] = {}
    for fault, count in source.faults.items():
        whole = source.japanese if fault == "japanese_share" else source.documents
        row[fault] = float(count) if fault in _COUNTED else count / whole if whole else 0.0
    return row
