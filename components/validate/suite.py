"""The expectations, each with a name, a sentence that the Data Docs and the errors show, and its bounds."""

import os
from typing import Any, NamedTuple

from components.validate.settings import ValidateSettings
from kajiya.records import DOCUMENT

# Before the import: Great Expectations reads it once, and would report usage to its maker.
os.environ["GX_ANALYTICS_ENABLED"] = "false"

from great_expectations import expectations as gxe
from great_expectations.expectations.expectation import Expectation


class Check(NamedTuple):
    """One expectation about one column of one frame (see frames.py), for every row of it."""

    frame: str
    name: str
    """Short name, as errors show it."""
    column: str
    sentence: str
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[str, ...] | None = None
    """Values; without any bound at all the column must be null."""

    @property
    def bound(self) -> str:
        """For a person."""
        if self.allowed is not None:
            return f"one of {len(self.allowed)}" if len(self.allowed) > 1 else "as in docs/formats.md"
        parts = [f"at least {self.minimum:g}"] if self.minimum is not None else []
        parts += [f"at most {self.maximum:g}"] if self.maximum is not None else []
        return " and ".join(parts) or "none refused"

    def expectation(self) -> Expectation:
        """What Great Expectations evaluates."""
        column = f"{self.frame}_{self.column}"
        words: dict[str, Any] = {"meta": {"name": self.name}, "description": self.sentence}
        if self.allowed is not None:
            return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(self.allowed), **words)
        if self.minimum is None and self.maximum is None:
            return gxe.ExpectColumnValuesToBeNull(column=column, **words)
        return gxe.ExpectColumnValuesToBeBetween(
            column=column, min_value=self.minimum, max_value=self.maximum, **words
        )


def form_suite() -> list[Check]:
    """The form of the files; only when it holds can documents be looked at."""
    columns = ", ".join(f"{field.name} {field.type}" for field in DOCUMENT)
    return [
        Check(
            "shards", "columns", "columns", "Every shard has the columns and types of a Document, in order",
            allowed=(columns,),
        )
    ]  # fmt: skip


def content_suite(settings: ValidateSettings, with_drift: bool) -> list[Check]:
    """Expectations over the frames of frames.build_frames."""
    drift = Check(
        "drift", "drift", "psi", f"No feature has drifted by more than {settings.max_psi:g} from the accepted corpus",
        maximum=settings.max_psi,
    )  # fmt: skip
    return [*_whole(settings), *_policy(), *_sources(settings), *([drift] if with_drift else [])]


def _whole(settings: ValidateSettings) -> list[Check]:
    documents, repeats = settings.min_documents, settings.max_duplicate_share
    median = settings.min_median_chars
    return [
        Check("corpus", "document_count", "documents", f"At least {documents} documents", minimum=documents),
        Check("columns", "filled", "missing", "Every document has an id, a source, a text, a license, a generator and a language", maximum=0),
        Check("corpus", "id_unique", "repeated_ids", "No id occurs twice", maximum=0),
        Check("corpus", "duplicates", "repeated_text_share", f"At most {repeats:.2%} of the texts are repeats", maximum=repeats),
        Check("corpus", "median_length", "median_chars", f"Half of the texts have {median} characters or more", minimum=median),
    ]  # fmt: skip


def _policy() -> list[Check]:
    return [
        Check("licenses", "license_allowed", "refused", "policy.yaml clears every license for the corpus"),
        Check("generators", "generator_allowed", "refused", "policy.yaml clears every generator for the corpus"),
        Check("languages", "language_allowed", "refused", "Every language stands in `validate.languages`"),
    ]  # fmt: skip


def _sources(settings: ValidateSettings) -> list[Check]:
    s = settings
    rows = [
        ("id_prefix", "An id begins with its source and a colon", 0),
        ("text_not_empty", "No text is empty or only white space", 0),
        ("text_length", f"Texts have {s.min_chars} to {s.max_chars} characters", 0),
        ("line_ends", "Lines end in \\n alone", 0),
        ("url", "A url, where there is one, can be opened", 0),
        ("japanese_share", f"Japanese texts are {s.min_japanese_share:.0%} Japanese script or more", s.max_not_japanese_share),
        ("language_measured", "The script of a text is that of its language", s.max_wrong_language_share),
        ("unreadable", "Texts hold no control characters, U+FFFD or private-use characters", s.max_unreadable_share),
        ("emails", "E-mail addresses are masked", s.max_personal_data_share),
        ("phones", "Telephone numbers are masked", s.max_personal_data_share),
    ]  # fmt: skip
    return [
        Check("sources", name, name, f"{sentence}, in each source", maximum=bound)
        for name, sentence, bound in rows
    ]
