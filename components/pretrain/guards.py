"""Judge each step before its update: not finite, or a spike of the loss. Pure functions on a small state.

The state is part of every checkpoint, and what it decides depends on the losses before alone: a run killed
anywhere and started again comes to the same decisions.
"""

import math
from dataclasses import dataclass, field
from statistics import median
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from kajiya.errors import KajiyaError
from kajiya.settings import Settings

NOT_FINITE, LOSS_SPIKE = "not finite", "loss spike"

_RAISE_BOUND = "Raise it to go on from the last checkpoint. "

# The MAD of a normal distribution times this is its standard deviation (Hampel 1974).
_MAD_TO_DEVIATION = 1.4826


class GuardSettings(Settings):
    """What to do about a step that goes wrong. skip: its update is not applied, weights and moments stay.
    rewind: back to a checkpoint before it, and on without the samples around it. stop: end with an error."""

    free: ClassVar[frozenset[str]] = frozenset({"max_skips", "max_rewinds"})

    not_finite: Literal["skip", "rewind", "stop"] = "skip"
    """When the loss or the gradient norm is infinite or not a number."""
    loss_spike: Literal["skip", "rewind", "stop", "off"] = "rewind"
    """When the loss lies above the median of the last steps by more than the two bounds below. Rewinding and
    leaving out the data around is what PaLM did (Chowdhery et al. 2022, section 5.1)."""
    spike_window_steps: int = Field(default=128, ge=8)
    """Steps that the median is of; before so many losses are known there is no spike."""
    spike_deviations: float = Field(default=10.0, gt=0)
    """Robust standard deviations (1.4826 x the median absolute deviation) above the median. Our choice: far
    beyond the scatter of single batches."""
    spike_rise: float = Field(default=0.5, ge=0)
    """And at least this much above it, in nats: a loss that hardly scatters shall not alarm at a ripple."""
    left_out_steps: int = Field(default=8, ge=1)
    """Steps whose samples a rewind leaves out: the one that alarmed and those before it. PaLM left out 200 to
    500 batches, of which most were good."""
    max_skips: int = Field(default=10, ge=0)
    """Skipped updates in the whole training; one more stops it. May be raised in the midst of a training."""
    max_rewinds: int = Field(default=3, ge=0)
    """Rewinds in the whole training; one more stops it. May be raised in the midst of a training."""


@dataclass
class Alarm:
    step: int
    kind: str
    action: str
    detail: str


class RewindNeeded(Exception):  # noqa: N818 - a turn of the training, no failure
    def __init__(self, alarm: Alarm) -> None:
        super().__init__(alarm.detail)
        self.alarm = alarm


@dataclass
class Guard:
    """Of one training; every rank holds the same."""

    settings: GuardSettings
    losses: list[float] = field(default_factory=list)
    """Of the last steps whose update was applied."""
    skipped: dict[int, str] = field(default_factory=dict)
    """Steps whose update was not applied, with the reason."""
    rewinds: list[dict[str, Any]] = field(default_factory=list)
    """Every rewind so far: step (that alarmed), reason, first and last (steps left out)."""

    def judge(self, step: int, loss: float, norm: float) -> Alarm | None:
        """What is wrong with step `step`, by its mean loss and global gradient norm; None: apply the update."""
        settings = self.settings
        if not (math.isfinite(loss) and math.isfinite(norm)):
            kind, action = NOT_FINITE, settings.not_finite
            detail = f"loss {loss} and gradient norm {norm} at step {step}"
        elif settings.loss_spike != "off" and (bound := self._bound()) is not None and loss > bound:
            kind, action = LOSS_SPIKE, settings.loss_spike
            detail = (
                f"loss {loss:.4f} at step {step}, above {bound:.4f}: the bound from the median of the "
                f"{settings.spike_window_steps} steps before"
            )
        else:
            return None
        return self._bounded(Alarm(step, kind, action, detail))

    def applied(self, loss: float) -> None:
        self.losses = [*self.losses, loss][-self.settings.spike_window_steps :]

    def skip(self, alarm: Alarm) -> None:
        self.skipped[alarm.step] = alarm.kind

    def rewind(self, alarm: Alarm) -> dict[str, Any]:
        """Note a rewind; what comes back belongs into the journal that outlives a crash."""
        first = max(1, alarm.step - self.settings.left_out_steps + 1)
        entry = {"step": alarm.step, "reason": alarm.kind, "first": first, "last": alarm.step}
        self.rewinds.append(entry)
        return entry

    def leaves_out(self, step: int) -> str | None:
        """Why `step` is planned but left out; None: it is trained on."""
        for entry in self.rewinds:
            if entry["first"] <= step <= entry["last"]:
                return str(entry["reason"])
        return None

    def states(self) -> dict[int, str]:
        """Steps that were not trained on as planned, in the words of the sample log."""
        told = {step: f"skipped: {reason}" for step, reason in self.skipped.items()}
        for entry in self.rewinds:
            told |= dict.fromkeys(range(entry["first"], entry["last"] + 1), f"left out: {entry['reason']}")
        return told

    def to_json(self) -> dict[str, Any]:
        skipped = [[step, reason] for step, reason in sorted(self.skipped.items())]
        return {"losses": self.losses, "skipped": skipped, "rewinds": self.rewinds}

    @classmethod
    def from_json(cls, settings: GuardSettings, content: dict[str, Any]) -> Self:
        skipped = {int(step): str(reason) for step, reason in content["skipped"]}
        return cls(settings, list(content["losses"]), skipped, list(content["rewinds"]))

    def _bound(self) -> float | None:
        if len(self.losses) < self.settings.spike_window_steps:
            return None
        middle = median(self.losses)
        deviation = _MAD_TO_DEVIATION * median(abs(loss - middle) for loss in self.losses)
        return middle + max(self.settings.spike_rise, self.settings.spike_deviations * deviation)

    def _bounded(self, alarm: Alarm) -> Alarm:
        settings = self.settings
        used_up = {
            "skip": len(self.skipped) >= settings.max_skips,
            "rewind": len(self.rewinds) >= settings.max_rewinds,
            "stop": True,
        }[alarm.action]
        if not used_up:
            return alarm
        already = {
            "skip": f"{len(self.skipped)} updates were skipped already (pretrain.guards.max_skips). {_RAISE_BOUND}",
            "rewind": f"It was rewound {len(self.rewinds)} times already (pretrain.guards.max_rewinds). {_RAISE_BOUND}",
            "stop": "",
        }[alarm.action]
        raise KajiyaError(
            f"pretrain: {alarm.detail}. {already}The checkpoints before it are kept. Where the training diverged, "
            "look at the data of this step (samples in the work folder), or train anew with a lower "
            "pretrain.optimizer.peak_learning_rate or a longer warmup: neither goes with these checkpoints, so remove "
            "the work folder then."
        )


def usable(manifest: dict[str, Any], journal: list[dict[str, Any]]) -> bool:
    """Whether a checkpoint was made with every rewind that concerns its steps: else it holds what is left out."""
    known = manifest["guard"]["rewinds"]
    return all(entry in known or entry["first"] > manifest["step"] for entry in journal)
