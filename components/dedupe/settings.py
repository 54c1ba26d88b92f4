"""Settings of `dedupe`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from kajiya.settings import Settings


class BoilerplateSettings(Settings):
    """Lines that stand in many documents."""

    sources: tuple[str, ...] = ()
    """Sources whose lines are looked at. Leave out those where formulas are legitimate: minutes, law."""
    min_line_chars: Annotated[int, Field(ge=1)] = 10
    """Shorter lines are left alone: headings, answers, `はい。`. White space does not count."""
    max_documents: Annotated[int, Field(ge=1)] = 100
    """A line that stands in more of the documents that stay is boilerplate."""
    keep_first: bool = True
    """The best document that holds the line keeps its first occurrence, as of any other text one copy
    stays; false: the line goes everywhere."""
    min_chars_left: Annotated[int, Field(ge=0)] = 50
    """A document that has fewer characters left is rejected (`boilerplate`)."""


class DedupeSettings(Settings):
    """Settings of `dedupe`."""

    priority: Annotated[tuple[str, ...], Field(min_length=1)]
    """Every source of the corpus, best first: of two copies that of the earlier source stays."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Jaccard similarity of the n-gram sets from which on two texts are copies."""
    ngram_chars: Annotated[int, Field(ge=1)] = 5
    """Characters of an n-gram."""
    permutations: Annotated[int, Field(ge=16, le=1024)] = 128
    """Length of a signature: more find more of the pairs near the threshold, and take longer."""
    clusters: Literal["star", "connected"] = "star"
    """star: a document goes when it is a copy of one that stays. connected: one document stays of all
    that hang together by pairs of copies (union-find), though it may be like few of them."""
    boilerplate: BoilerplateSettings = BoilerplateSettings()
    """Lines that stand in many documents; by default of no source."""

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        for name in self.boilerplate.sources:
            if name not in self.priority:
                raise ValueError(
                    f"boilerplate.sources names {name}, priority does not: {', '.join(self.priority)}"
                )
        return self
