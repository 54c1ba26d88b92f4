"""A text to be written somewhere, and what is wrong with it on purpose."""

import dataclasses
from typing import Any

from kajiya.sample.answer_key import AnswerKey

GOOD = "good"


@dataclasses.dataclass
class Planted:
    """`kind` is "good" or that of the defect, `of` the text it copies; `id` comes with the writing."""

    text: str
    kind: str = GOOD
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    of: "Planted | None" = None
    id: str = ""


def list_planted(texts: list[Planted], key: AnswerKey) -> None:
    """Write the bad ones into the key, once every text has its id."""
    for text in texts:
        if text.kind != GOOD:
            key.add(text.kind, text.id, **text.details, **({"of": text.of.id} if text.of else {}))
