"""A corpus in histograms: what the suite looks at, and what the next corpus is compared with."""

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kajiya.errors import KajiyaError

_SHARES = np.round(np.arange(0, 1.0001, 0.05), 2)  # the last bin is 1 alone
_LENGTHS = np.concatenate([[0], np.unique(np.floor(2.0 ** np.arange(0, 24.25, 0.25)))])

# Lower edges of the bins.
BINS = {
    "length_chars": _LENGTHS,
    "line_chars": _LENGTHS,
    **{f"{kind}_share": _SHARES for kind in ("hiragana", "katakana", "kanji", "latin", "digit", "symbol")},
}
TITLES = {
    "length_chars": "characters of a document",
    "line_chars": "mean characters of a line",
    "hiragana_share": "hiragana among the visible characters",
    "katakana_share": "katakana",
    "kanji_share": "kanji",
    "latin_share": "Latin letters",
    "digit_share": "digits",
    "symbol_share": "punctuation and symbols",
}


class Source(BaseModel):
    """One source in numbers."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    documents: int = 0
    characters: int = 0
    japanese: int = 0
    """Documents said to be Japanese."""
    faults: dict[str, int] = Field(default_factory=dict)
    """Documents that have each fault."""
    histograms: dict[str, dict[float, int]] = Field(default_factory=dict)
    """Per feature: lower edge of a bin -> documents."""

    examples: dict[str, list[str]] = Field(default_factory=dict, exclude=True)
    """Per fault the first documents that have it."""

    def add(self, other: "Source", examples: int) -> None:
        """Add the same source of the next shard; keep so many examples of a fault."""
        for fault, found in other.examples.items():
            kept = self.examples.setdefault(fault, [])
            kept.extend(found[: examples - len(kept)])
        self.documents += other.documents
        self.characters += other.characters
        self.japanese += other.japanese
        _add(self.faults, other.faults)
        for feature, histogram in other.histograms.items():
            _add(self.histograms.setdefault(feature, {}), histogram)


class Profile(BaseModel):
    """A corpus, or one shard of it, in numbers."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    documents: int = 0
    characters: int = 0
    sources: dict[str, Source] = Field(default_factory=dict)
    values: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Documents by language, measured_language, license, generator."""
    copies: dict[int, int] = Field(default_factory=dict)
    """How often a text stands in the corpus -> how many texts do."""
    repeated_ids: int = 0
    nulls: dict[str, int] = Field(default_factory=dict)
    """Missing values by column, where there are any."""
    first: dict[str, dict[str, str]] = Field(default_factory=dict, exclude=True)
    """Per column and value the first document that has it."""

    def add(self, other: "Profile", examples: int) -> None:
        """Add the next shard; keep so many examples of a fault."""
        self.documents += other.documents
        self.characters += other.characters
        for name, source in other.sources.items():
            self.sources.setdefault(name, Source()).add(source, examples)
        for column, counts in other.values.items():
            _add(self.values.setdefault(column, {}), counts)
        _add(self.nulls, other.nulls)
        for column, first in other.first.items():
            self.first[column] = first | self.first.get(column, {})

    @property
    def repeated_texts(self) -> int:
        """Documents whose text stands in an earlier one."""
        return sum((times - 1) * texts for times, texts in self.copies.items())

    def histogram(self, feature: str) -> dict[float, int]:
        """Over all sources."""
        total: dict[float, int] = {}
        for source in self.sources.values():
            _add(total, source.histograms.get(feature, {}))
        return total


def load_profile(path: Path) -> Profile:
    """A profile that validate wrote. Raises KajiyaError naming the file."""
    try:
        return Profile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise KajiyaError(
            f"{path}: not a profile of this version ({error.error_count()} errors, the first: "
            f"{error.errors()[0]['msg']}). Take it from a run of this version: `kajiya accept`."
        ) from None


def quantile(histogram: dict[float, int], share: float) -> float:
    """Value below which `share` of the documents lie, evenly spread within a bin; 0 for none."""
    edges = sorted(histogram)
    wanted, before = share * sum(histogram.values()), 0
    for edge in edges:
        count = histogram[edge]
        if count and before + count >= wanted:
            return edge + (next_edge(edge) - edge) * (wanted - before) / count
        before += count
    return 0.0


def next_edge(edge: float) -> float:
    """Where a bin of lengths ends."""
    place = int(np.searchsorted(_LENGTHS, edge, "right"))
    return float(_LENGTHS[place]) if place < len(_LENGTHS) else edge


def _add(total: dict, part: dict) -> None:
    for key, count in part.items():
        total[key] = total.get(key, 0) + count
