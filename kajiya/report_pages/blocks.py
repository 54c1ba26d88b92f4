"""What a section of a page is built of; the template knows how each looks, and nothing of models."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape


@dataclass(frozen=True)
class Text:
    """A paragraph; `words between backticks` are set as code."""

    text: str
    soft: bool = False
    """A side note, or a part that is absent."""
    kind: str = "text"


@dataclass(frozen=True)
class Bullets:
    items: Sequence[str]
    kind: str = "bullets"


@dataclass(frozen=True)
class Bar:
    """A cell that draws its share (0 to 1) of the longest in its column."""

    share: float


@dataclass(frozen=True)
class Link:
    """A cell that leads somewhere."""

    text: str
    address: str


Cell = str | Bar | Link


@dataclass(frozen=True)
class Table:
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: frozenset[int] = frozenset()
    """Columns, from 0, that are set flush right."""
    totals: frozenset[int] = frozenset()
    """Rows, from 0, that sum up others."""
    small: bool = False
    kind: str = "table"


@dataclass(frozen=True)
class Facts:
    """Names and values, one pair a line."""

    pairs: Sequence[tuple[str, str]]
    kind: str = "facts"


@dataclass(frozen=True)
class Figures:
    """Drawings side by side, each with its caption: SVG text, safe to print as it is."""

    charts: Sequence[tuple[str, str]]
    wide: bool = False
    kind: str = "figures"


@dataclass(frozen=True)
class Heading:
    """Below the section's own."""

    text: str
    kind: str = "heading"


@dataclass(frozen=True)
class Written:
    """A text that a model wrote, after its prompt."""

    prompt: str
    text: str
    note: str
    answer: bool = False
    """It answers the prompt, rather than going on with it."""
    kind: str = "written"


Block = Text | Bullets | Table | Facts | Figures | Heading | Written


@dataclass(frozen=True)
class Section:
    key: str
    """Names it in links: `scores`."""
    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)

    def address(self, language: str) -> str:
        return f"{language}-{self.key}"


def inline(text: str) -> Markup:
    """`code` between backticks; all else escaped, but for what is marked as another language's already."""
    # Between two backticks no tag may begin or end.
    return Markup(re.sub(r"`([^`<>\n]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before
