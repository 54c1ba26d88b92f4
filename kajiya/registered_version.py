"""One model version as the registry holds it, and how a person names it."""

import re

from pydantic import BaseModel, ConfigDict

from kajiya.errors import KajiyaError

# Counts, errors and intervals of a score stand beside it in the run, and are no scores.
_SCORE = re.compile(
    r"tasks/(?P<task>[^/]+/[^/]+/(?!n$|stderr$|truncated$|merged$)[^/]+)|(?P<text>perplexity/[^/]+)/perplexity"
)


class RegisteredVersion(BaseModel):
    """One model version of the registry."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    name: str
    """Registered model: `kajiya-<recipe>`."""
    version: int
    run_id: str
    variant: str
    parent_version: int | None
    aliases: tuple[str, ...]
    tags: dict[str, str]
    metrics: dict[str, float]
    """Every number of its run by path, the last value of each."""
    experiment_id: str = ""
    created: str = ""
    """When it was registered: UTC, to the minute."""

    @property
    def scores(self) -> dict[str, float]:
        """What evaluation measured: `<task>/<shots>/<metric>`, and perplexity by source."""
        matches = [(_SCORE.fullmatch(name), value) for name, value in sorted(self.metrics.items())]
        return {match["task"] or match["text"]: value for match, value in matches if match}


def parse_version(text: str) -> tuple[str, int]:
    """`kajiya-smoke/3` (or `models:/kajiya-smoke/3`) as name and version."""
    name, _, version = text.removeprefix("models:/").rpartition("/")
    if not name or not version.isdigit():
        raise KajiyaError(f"{text!r}: expected a version such as kajiya-smoke/3. `kajiya status` lists them.")
    return name, int(version)
