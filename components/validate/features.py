"""What the suite looks at: a few numbers per document in place of its text.

The texts never reach Great Expectations, so memory grows with the number of documents, not with
their length; columns are computed by Polars, one shard at a time.
"""

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from kajiya.engine import progress
from kajiya.errors import KajiyaError
from kajiya.shards import list_shards

# 々, 〆, 〇 and ー are none of the three scripts for Unicode, yet stand in any Japanese text.
JAPANESE = r"[\p{Hiragana}\p{Katakana}\p{Han}々〆〇ー]"

# What the cleaning masks, written anew: a check that shared its patterns would miss what it missed.
EMAIL = r"[A-Za-z0-9._%+-]+[@＠][A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
# Digits in the groupings of Japanese numbers, 10 or 11 in all: dates and ISBNs have others.
_DIGIT, _HYPHEN = "[0-9０-９]", "[-‐‑–−－ー]"
_GROUPINGS = ((2, 4, 4), (3, 3, 4), (4, 2, 4), (5, 1, 4), (3, 4, 4), (4, 3, 3))
_NUMBERS = "|".join(
    [
        *(
            rf"[0０]{_DIGIT}{{{area - 1}}}{_HYPHEN}{_DIGIT}{{{office}}}{_HYPHEN}{_DIGIT}{{{line}}}"
            for area, office, line in _GROUPINGS
        ),
        rf"[(（][0０]{_DIGIT}{{1,4}}[)）] ?{_DIGIT}{{1,4}}{_HYPHEN}{_DIGIT}{{4}}",
        r"0[789]0 [0-9]{4} [0-9]{4}",
        r"\+81[- ]?[0-9]{1,3}[- ][0-9]{2,4}[- ][0-9]{4}",
    ]
)
PHONE = rf"(?:^|[^0-9０-９A-Za-z-])(?:{_NUMBERS})(?:$|[^0-9０-９-])"

PROVENANCE = ["id", "source", "license", "generator", "language", "url"]


def describe_shards(dataset: Path) -> pl.DataFrame:
    """One row per shard: its name, its rows, and its columns with their types in one string."""
    rows = []
    for path in list_shards(dataset):
        try:
            file = pq.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise KajiyaError(f"{path}: not a readable Parquet file ({error}). Rerun its stage.") from error
        with file:
            columns = ", ".join(f"{field.name} {field.type}" for field in file.schema_arrow)
            rows.append({"shard": path.name, "rows": file.metadata.num_rows, "columns": columns})
    return pl.DataFrame(rows)


def describe_documents(dataset: Path) -> pl.DataFrame:
    """One row per document: `row` (its place in the corpus), provenance, and features of its text."""
    shards = list_shards(dataset)
    frames = [features(pl.read_parquet(path)) for path in progress(shards, "validate", len(shards))]
    return pl.concat(frames).with_row_index("row")


def features(documents: pl.DataFrame) -> pl.DataFrame:
    """Provenance and features of each document, in order.

    japanese_share is null for documents in other languages: no expectation about it holds for them.
    """
    text = pl.col("text").str.strip_chars()
    visible = pl.col("text").str.count_matches(r"\S")
    japanese = pl.col("text").str.count_matches(JAPANESE) / visible
    return documents.select(
        *PROVENANCE,
        id_prefix=pl.col("id").str.extract(r"^([^:]+):.", 1),
        characters=text.str.len_chars(),
        text_hash=text.hash(seed=0),
        japanese_share=pl.when((pl.col("language") == "ja") & (visible > 0)).then(japanese),
        personal_data=pl.col("text").str.count_matches(EMAIL) + pl.col("text").str.count_matches(PHONE),
        carriage_returns=pl.col("text").str.count_matches("\r"),
    )


def excerpts(dataset: Path, rows: list[int], length_chars: int = 60) -> dict[int, str]:
    """The beginning of the texts of some rows, on one line; `rows` count over all shards."""
    wanted, first, found = sorted(set(rows)), 0, {}
    for path in list_shards(dataset):
        count = pq.read_metadata(path).num_rows
        here = [row for row in wanted if first <= row < first + count]
        if here:
            texts = pl.read_parquet(path, columns=["text"])["text"]
            for row in here:
                text = " ".join((texts[row - first] or "").split())
                found[row] = text[:length_chars] + ("…" if len(text) > length_chars else "")
        first += count
    return found
