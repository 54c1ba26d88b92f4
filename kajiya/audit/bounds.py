"""The bounds that documents had to keep within: `rules.json` beside the measures (docs/formats.md)."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter, ValidationError

from kajiya.errors import KajiyaError
from kajiya.settings import Settings


class Bound(Settings):
    """One bound of one rule: a document passes on its side, the threshold itself included."""

    name: Annotated[str, Field(min_length=1)]
    """Column of the measures, and the reason of those that fail."""
    rule: str
    direction: Literal["min", "max"]
    threshold: Annotated[float, Field(allow_inf_nan=False)]
    source: str
    """Where the rule comes from."""
    description: str

    def passes(
        self, values: npt.NDArray[np.float64], threshold: float | None = None
    ) -> npt.NDArray[np.bool_]:
        at = self.threshold if threshold is None else threshold
        return values >= at if self.direction == "min" else values <= at


def read_bounds(folder: Path, remedy: str) -> list[Bound]:
    """The bounds in the order they were asked. Raises KajiyaError, ending in `remedy`, where there are none."""
    path = folder / "rules.json"
    try:
        bounds = TypeAdapter(list[Bound]).validate_json(path.read_bytes())
    except FileNotFoundError:
        raise KajiyaError(
            f"{path}: no such file. This output was written by a version that kept no measures. {remedy}"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise KajiyaError(f"{path}: {where}: {first['msg']}. {remedy}") from None
    twice = [key for key, count in Counter((b.name, b.direction) for b in bounds).items() if count > 1]
    if twice:
        raise KajiyaError(f"{path}: {twice[0][0]} has two bounds of direction {twice[0][1]}. {remedy}")
    return bounds


def digest(folder: Path) -> str:
    """SHA-256 of rules.json: two outputs with the same one were judged by the same bounds."""
    return hashlib.sha256((folder / "rules.json").read_bytes()).hexdigest()


def labels(bounds: Sequence[Bound]) -> list[str]:
    """What a person calls each bound: the rule's name, with the direction where the rule has both."""
    counts = Counter(bound.name for bound in bounds)
    return [b.name if counts[b.name] == 1 else f"{b.name}:{b.direction}" for b in bounds]


def find_bound(bounds: Sequence[Bound], label: str) -> int:
    """Index of the bound a person names. Raises KajiyaError with those there are."""
    known = labels(bounds)
    if label not in known:
        raise KajiyaError(f"no bound `{label}` here. There are: {', '.join(known) or 'none'}.")
    return known.index(label)
