"""Scores that others have published (published_scores.yaml), for orientation: nothing can be paired with them.

for row in published_scores():
    row.model, row.source.title, row.scores.get("jnli"), row.mean("8")
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from kajiya.settings import Settings, load_settings
from kajiya.suites import SUITES

FILE = Path(__file__).with_suffix(".yaml")


class Source(Settings):
    title: str
    address: str
    harness: str
    data: str | None = None
    """Versions of the evaluation sets, where the source tells them: labels differ between those of JGLUE."""
    date: str | None = None
    """Year and month, where known."""
    license: str | None = None
    """Of the table, where its source names one: the numbers themselves are facts."""


class _Row(Settings):
    model: str
    source: str
    prompts: str | None = None
    scores: dict[str, float] = Field(default_factory=dict)
    means: dict[str, float] = Field(default_factory=dict)
    judged: dict[str, float] = Field(default_factory=dict)
    note: str | None = None


class _File(Settings):
    sources: dict[str, Source]
    models: tuple[_Row, ...]


class PublishedScores(BaseModel):
    """One model in one source; the same model may stand in several, with other scores."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    model: str
    """As the Hugging Face hub calls it."""
    source: Source
    prompts: str | None
    """Prompt version, where the source tells it."""
    scores: dict[str, float]
    """Main metric in points, by task."""
    means: dict[str, float]
    """As the source states them, by suite."""
    judged: dict[str, float]
    """Means by question set, on the scale of the judge that the source names."""
    note: str | None
    """What is odd about the row."""

    def mean(self, suite: str) -> float | None:
        """As stated, or else computed from the tasks where all are there."""
        if suite in self.means:
            return self.means[suite]
        return self.computed_mean(suite)

    def computed_mean(self, suite: str) -> float | None:
        tasks = SUITES[suite]
        if any(task not in self.scores for task in tasks):
            return None
        return round(sum(self.scores[task] for task in tasks) / len(tasks), 2)


def published_scores(file: Path = FILE) -> tuple[PublishedScores, ...]:
    """Every row of the file. Raises KajiyaError naming file and line of a wrong one."""
    content: _File = load_settings(_File, file, [])
    return tuple(
        PublishedScores(**row.model_dump(exclude={"source"}), source=content.sources[row.source])
        for row in content.models
    )
