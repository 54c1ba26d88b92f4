"""The expectations, each with a name and a sentence that the Data Docs and the errors show."""

import os
from typing import Any

from components.validate.settings import ValidateSettings
from kajiya.records import DOCUMENT

# Before the import: Great Expectations reads it once, and would report usage to its maker.
os.environ["GX_ANALYTICS_ENABLED"] = "false"

from great_expectations import expectations as gxe
from great_expectations.expectations.expectation import Expectation

REQUIRED = [field.name for field in DOCUMENT if not field.nullable and field.name != "text"]


def shard_suite() -> list[Expectation]:
    """The form of the files; only when it holds can documents be looked at."""
    columns = ", ".join(f"{field.name} {field.type}" for field in DOCUMENT)
    return [
        gxe.ExpectColumnValuesToBeInSet(
            column="columns",
            value_set=[columns],
            **_named("columns", "Every shard has the columns and types of a Document, in order"),
        )
    ]


def document_suite(settings: ValidateSettings) -> list[Expectation]:
    """Expectations over the frame of `features.describe_documents`."""
    return [*_identity(settings), *_policy(settings), *_text(settings), *_cleanliness(settings)]


def _identity(settings: ValidateSettings) -> list[Expectation]:
    return [
        gxe.ExpectTableRowCountToBeBetween(
            min_value=settings.min_documents,
            **_named("document_count", f"At least {settings.min_documents} documents"),
        ),
        *(
            gxe.ExpectColumnValuesToNotBeNull(
                column=column, **_named(f"{column}_present", f"Every document has a {column}")
            )
            for column in REQUIRED
        ),
        gxe.ExpectColumnValuesToBeUnique(column="id", **_named("id_unique", "No id occurs twice")),
        gxe.ExpectColumnPairValuesToBeEqual(
            column_A="id_prefix",
            column_B="source",
            ignore_row_if="neither",
            **_named("id_prefix", "An id begins with its source and a colon"),
        ),
    ]


def _policy(settings: ValidateSettings) -> list[Expectation]:
    allowed = {
        "language": settings.languages,
        "license": settings.licenses,
        "generator": settings.generators,
    }
    return [
        gxe.ExpectColumnValuesToBeInSet(
            column=column,
            value_set=list(values),
            **_named(f"{column}_allowed", f"Every {column} stands in `validate.{column}s`"),
        )
        for column, values in allowed.items()
    ]


def _text(settings: ValidateSettings) -> list[Expectation]:
    return [
        gxe.ExpectColumnValuesToBeBetween(
            column="characters",
            min_value=1,
            **_named("text_not_empty", "No text is empty or only white space"),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="characters",
            min_value=settings.min_chars,
            max_value=settings.max_chars,
            **_named("text_length", f"Texts have {settings.min_chars} to {settings.max_chars} characters"),
        ),
        gxe.ExpectColumnMedianToBeBetween(
            column="characters",
            min_value=settings.min_median_chars,
            **_named(
                "median_length", f"Half of the texts have {settings.min_median_chars} characters or more"
            ),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="japanese_share",
            min_value=settings.min_japanese_share,
            mostly=1 - settings.max_not_japanese_share,
            **_named(
                "japanese_share",
                f"Japanese texts are {settings.min_japanese_share:.0%} Japanese script or more",
            ),
        ),
    ]


def _cleanliness(settings: ValidateSettings) -> list[Expectation]:
    return [
        gxe.ExpectColumnProportionOfUniqueValuesToBeBetween(
            column="text_hash",
            min_value=1 - settings.max_duplicate_share,
            **_named("duplicates", f"At most {settings.max_duplicate_share:.2%} of the texts are repeats"),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="personal_data",
            max_value=0,
            mostly=1 - settings.max_personal_data_share,
            **_named("personal_data", "E-mail addresses and telephone numbers are masked"),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="carriage_returns", max_value=0, **_named("line_ends", "Lines end in \\n alone")
        ),
        gxe.ExpectColumnValuesToMatchRegex(
            column="url", regex=r"^https?://\S+$", **_named("url", "A url, where there is one, can be opened")
        ),
    ]


def _named(name: str, sentence: str) -> dict[str, Any]:
    return {"meta": {"name": name}, "description": sentence}
