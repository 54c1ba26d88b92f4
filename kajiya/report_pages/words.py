"""What the pages say, in Japanese and in English, side by side in words.yaml."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from markupsafe import Markup, escape

from kajiya.settings import load_yaml

Language = Literal["ja", "en"]
LANGUAGES: tuple[Language, ...] = ("ja", "en")
"""Our users read Japanese first."""

FILE = Path(__file__).parent / "words.yaml"
_JAPANESE = re.compile(r"[ぁ-んァ-ヶ一-龠]")
_LETTERS = re.compile(r"[A-Za-zぁ-んァ-ヶ一-龠]")


@dataclass(frozen=True)
class Words:
    """words("key", name=value): what stands in words.yaml, with its {name} filled in."""

    language: Language

    def __call__(self, key: str, **values: Any) -> str:
        template = _table()[key][self.language]
        if any(isinstance(value, Markup) for value in values.values()):
            return Markup(escape(template)).format(**values)  # noqa: S704 - escapes every other value
        return template.format(**values)

    def known(self, key: str, otherwise: str) -> str:
        """The word for a name that others gave, such as a stage's; the name itself where there is none."""
        return self(key) if key in _table() else otherwise

    def free(self, text: str) -> str:
        """A sentence that a stage or a person wrote, marked where it is not in the page's language."""
        written = "ja" if _JAPANESE.search(text) else "en"
        if written == self.language or not _LETTERS.search(text):
            return text
        return Markup('<span class="free" lang="{}">{}</span>').format(written, text)

    def listed(self, parts: Iterable[str]) -> str:
        """One after the other; the marks of `free` stay."""
        return Markup(escape(self("comma"))).join(parts)  # noqa: S704 - escapes the parts that are no markup


@cache
def _table() -> dict[str, dict[str, str]]:
    return load_yaml(FILE)
