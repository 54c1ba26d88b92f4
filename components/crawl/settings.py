"""Settings of a source, one class per connector; `connector` picks the class."""

import datetime
import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from kajiya.settings import Settings

BASE_URL = r"^(sample|https?://.+)$"
LANGUAGE = r"[a-z]{2,3}"
STORE = r"^(sample|input|(https?|s3|gs|abfs|file)://.+)$"


class WikipediaSettings(Settings):
    """A Wikipedia dump."""

    connector: Literal["wikipedia"]
    wiki: str = Field(pattern=r"^[a-z_]+wiki$")
    """Database name of the wiki, e.g. jawiki."""
    date: str = Field(pattern=r"^\d{8}$")
    """Date of the dump, YYYYMMDD. dumps.wikimedia.org keeps the last few; mirrors keep more."""
    base_url: str = Field(default="https://dumps.wikimedia.org", pattern=BASE_URL)
    """Where the dump lies; `sample` serves IN on loopback."""
    license: str = "CC-BY-SA-4.0"
    """Licence written into each document."""


class C4Settings(Settings):
    """Shards of mC4, the multilingual C4."""

    connector: Literal["c4"]
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    """Commit of allenai/c4 on the Hugging Face hub, 40 hex digits: a branch name would move."""
    config: str = Field(default="ja", pattern=r"^[A-Za-z-]+$")
    """Language, as in the names of the files: c4-ja.tfrecord-..."""
    shard_count: int = Field(default=1024, ge=1)
    """Shards that the language has: the number after `-of-`."""
    from_shard: int = Field(default=0, ge=0)
    """First shard to fetch, from 0."""
    until_shard: int = Field(default=1023, ge=0)
    """Last shard to fetch, inclusive."""
    base_url: str = Field(default="https://huggingface.co", pattern=STORE)
    """The hub, a mirror of it, a store such as `s3://bucket` (its keys come from the environment) or
    `file:///folder`; `input` reads IN as it lies, `sample` serves IN on loopback."""
    folder: str = Field(
        default="datasets/allenai/c4/resolve/{revision}/multilingual",
        pattern=r"^[^{}]*(\{revision\}[^{}]*)*$",
    )
    """Where the shards lie below base_url; `{revision}` stands for the revision."""
    from_date: datetime.date | None = None
    """First day of the pages to keep, by their time of crawling; others are rejected as `outside_dates`."""
    until_date: datetime.date | None = None
    """Last day of the pages to keep, inclusive."""
    license: str = "ODC-By-1.0"
    """Licence written into each document."""

    @model_validator(mode="after")
    def _range_is_inside(self) -> "C4Settings":
        if not self.from_shard <= self.until_shard < self.shard_count:
            raise ValueError(
                f"from_shard {self.from_shard} <= until_shard {self.until_shard} < shard_count {self.shard_count} "
                "does not hold"
            )
        if self.from_date and self.until_date and self.from_date > self.until_date:
            raise ValueError(f"from_date {self.from_date} is after until_date {self.until_date}")
        return self


class DietSettings(Settings):
    """Minutes of the National Diet."""

    connector: Literal["diet"]
    from_date: datetime.date
    """First day of the window, YYYY-MM-DD."""
    until_date: datetime.date
    """Last day of the window, inclusive. Minutes appear about a month after the meeting: choose a day
    well before that, or the same window will hold more meetings later."""
    houses: tuple[Literal["衆議院", "参議院", "両院", "両院協議会"], ...] = ()
    """Houses to fetch; empty for all. The API ignores a wrong name without a word, so it is checked here."""
    settled_after_days: int = Field(default=60, ge=0)
    """A window that was read earlier than so many days after its end is asked again by the next run on
    another day: its minutes may not have been there yet."""
    checked_since: datetime.date | None = None
    """Windows that were last read before this day are asked again, for late corrections. Raise it to look
    for some; otherwise a settled window is never asked twice."""
    pause_seconds: float = Field(default=3, ge=0)
    """Pause after each answer: NDL asks for several seconds, and for one request at a time."""
    base_url: str = Field(default="https://kokkai.ndl.go.jp", pattern=BASE_URL)
    """Where `/api/meeting` answers; `sample` serves IN on loopback."""
    license: str = "ndl-terms"
    """Licence written into each document."""

    @model_validator(mode="after")
    def _window_is_closed(self) -> "DietSettings":
        if self.from_date > self.until_date:
            raise ValueError(f"from_date {self.from_date} is after until_date {self.until_date}")
        return self


class Columns(Settings):
    """Names of the columns (Parquet) or keys (JSON Lines) that hold a document's fields."""

    text: str = "text"
    """The text itself."""
    url: str | None = None
    """Where a person can read it; of a web archive the record's address, if no other is named."""
    title: str | None = None
    """Its title."""
    date: str | None = None
    """Its date, YYYY-MM-DD or a timestamp that begins so; of a web archive the record's, if no other is named."""
    license: str | None = None
    """Its licence, where it differs from document to document."""
    generator: str | None = None
    """`human` or the model that wrote it, where it differs."""
    language: str | None = None
    """ISO 639-1 code, where it differs; a record with another word is rejected as `bad_language`."""


class FilesSettings(Settings):
    """Files on this disk, in a store or at pinned addresses: JSON Lines (plain, .gz, .zst), Parquet, plain
    text, web archives (WARC, WET: their fields are text, url, title, date, language)."""

    connector: Literal["files"]
    paths: tuple[str, ...] = ()
    """Glob patterns below IN, e.g. `*.jsonl.gz` or `**/*.parquet`, or in a store of your own, e.g.
    `s3://bucket/folder/*.parquet` (keys from the environment). A store is not pinned: the report tells the
    hash of each file read."""
    urls: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = Field(default_factory=dict)
    """Addresses to fetch (https:// or of a store), each with the SHA-256 of its file: an address alone pins nothing."""
    columns: Columns = Columns()
    """Which column holds what."""
    license: str | None = Field(default=None, min_length=1)
    """Licence of every document; or name the column that holds it in columns.license."""
    generator: str | None = Field(default=None, min_length=1)
    """`human`, or the model that wrote every document; or columns.generator."""
    language: str | None = None
    """ISO 639-1 code of every document, e.g. `ja` (ISO 639-3 where that has none); or columns.language."""
    encoding: Literal["detect", "utf-8", "cp932", "euc_jp", "iso2022_jp"] = "detect"
    """Of plain text files. Detected file by file; a file that more than one encoding fits is an error."""
    text_unit: Literal["file", "line"] = "file"
    """What is one document in a plain text file."""

    @field_validator("language")
    @classmethod
    def _language_is_a_code(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(LANGUAGE, value):
            raise ValueError("give the ISO 639-1 code of the language, e.g. ja or en")
        return value

    @model_validator(mode="after")
    def _provenance_is_stated(self) -> "FilesSettings":
        for name in ("license", "generator", "language"):
            constant, column = getattr(self, name), getattr(self.columns, name)
            if (constant is None) == (column is None):
                raise ValueError(
                    f"state the {name} once: either `{name}: ...` for every document, or `columns: {{{name}: ...}}`"
                )
        if not self.paths and not self.urls:
            raise ValueError("nothing to read: give `paths` (patterns below IN) or `urls`")
        return self


CrawlSettings = Annotated[
    WikipediaSettings | C4Settings | DietSettings | FilesSettings, Field(discriminator="connector")
]
