"""What the pages say, in Japanese and in English, side by side in words.yaml."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from kajiya.settings import load_yaml

Language = Literal["ja", "en"]
LANGUAGES: tuple[Language, ...] = ("ja", "en")
"""Our users read Japanese first."""

FILE = Path(__file__).parent / "words.yaml"


@dataclass(frozen=True)
class Words:
    """words("key", name=value): what stands in words.yaml, with its {name} filled in."""

    language: Language

    def __call__(self, key: str, **values: Any) -> str:
        return _table()[key][self.language].format(**values)

    def known(self, key: str, otherwise: str) -> str:
        """The word for a name that others gave, such as a stage's; the name itself where there is none."""
        return self(key) if key in _table() else otherwise


@cache
def _table() -> dict[str, dict[str, str]]:
    return load_yaml(FILE)
