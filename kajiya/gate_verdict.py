"""What a gate found: how far a variant fell behind the one it was made from, and whether that may be.

Written by the stage `gate` (gate.json), read where a version is registered or shown. Scores, chances,
differences and limits are points of 100; a difference is after minus before, so below zero something was lost.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from kajiya.errors import KajiyaError

FILE = "gate.json"

Verdict = Literal["passed", "stopped", "unjudged"]
RowVerdict = Literal["held", "lost", "not judged"]
Kind = Literal["quantized", "tuned"]
"""In 4 bits the same model, only smaller; tuned another one."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class Limits(_Record):
    mean_drop_points: float
    task_drop_points: float


class Fall(_Record):
    """A difference with its paired 95 % interval, held against a limit."""

    before: float
    after: float
    difference: float
    low: float
    high: float
    limit: float
    """The largest drop that may be."""
    verdict: RowVerdict
    settled: bool
    """Whether the whole interval lies on one side of the limit. The point estimate decides either way."""
    times_the_items: float | None
    """How many times as many items would settle it, if the difference stays; None: settled, or too near to tell."""


class TaskFall(Fall):
    """One task at one number of shots."""

    task: str
    shots: int
    metric: str
    """Main metric of the task."""
    items: int
    chance: float
    """What answering without an ability gives."""
    p_value: float | None
    test: str
    """By which p_value was computed."""


class MeanFall(Fall):
    """The mean over the tasks that were judged, each at one number of shots: the published one, else the most."""

    tasks: tuple[str, ...]


class BitsPerByte(_Record):
    """Of one text; shown, never decisive."""

    before: float
    after: float


class GateVerdict(_Record):
    verdict: Verdict
    """unjudged: nothing could be judged, and the recipe lets that pass."""
    before: str
    """The variant that it was made from."""
    after: str
    """The variant that was judged."""
    kind: Kind
    limits: Limits
    mean: MeanFall | None
    """None where no task could be judged."""
    tasks: tuple[TaskFall, ...]
    bits_per_byte: dict[str, BitsPerByte]
    """By source of the validation text."""
    chat_template: tuple[bool, bool]
    """Whether the one before, and this one, were asked through a chat template."""

    warnings: tuple[str, ...]
    """What may have moved scores besides the model, such as prompts that were cut."""

    @property
    def judged(self) -> tuple[TaskFall, ...]:
        return tuple(row for row in self.tasks if row.verdict != "not judged")

    @property
    def largest_drop(self) -> float | None:
        """Of a judged task, in points; below zero where all gained, None where none was judged."""
        return max((-row.difference for row in self.judged), default=None)


def read_verdict(folder: Path) -> GateVerdict:
    """The verdict in a gate's folder. Raises KajiyaError where there is none."""
    path = folder / FILE
    try:
        return GateVerdict.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise KajiyaError(f"{path}: no such file. Run the stage `gate` first (`kajiya run`).") from None
    except ValidationError as error:
        raise KajiyaError(f"{path}: no verdict of a gate ({error}). Run its stage again.") from None
