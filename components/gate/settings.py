"""How much a variant may lose."""

from typing import Literal

from pydantic import Field

from kajiya.gate_verdict import Kind, Limits
from kajiya.settings import Settings


class QuantizedLimits(Settings):
    """For variants in 4 bits: they shall be the same model, only smaller."""

    mean_drop_points: float = Field(default=2, ge=0, allow_inf_nan=False)
    """Most that the mean over the judged tasks may fall, in points of 100."""
    task_drop_points: float = Field(default=5, ge=0, allow_inf_nan=False)
    """Most that any judged task may fall."""


class TunedLimits(Settings):
    """For variants that were tuned: they shall be another model, and lose here what they win there."""

    mean_drop_points: float = Field(default=5, ge=0, allow_inf_nan=False)
    """Most that the mean over the judged tasks may fall, in points of 100."""
    task_drop_points: float = Field(default=25, ge=0, allow_inf_nan=False)
    """Most that any judged task may fall."""


class VariantLimits(Settings):
    """For one variant; what is left out is as for its kind."""

    mean_drop_points: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Most that the mean over the judged tasks may fall, in points of 100."""
    task_drop_points: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Most that any judged task may fall."""
    unjudged: Literal["stop", "pass"] | None = None
    """What happens where no task can be judged."""


class GateSettings(Settings):
    quantized: QuantizedLimits = QuantizedLimits()
    """Limits of variants in 4 bits."""
    tuned: TunedLimits = TunedLimits()
    """Limits of variants made by tuning."""
    variants: dict[str, VariantLimits] = Field(default_factory=dict)
    """Limits of single variants, by name."""
    unjudged: Literal["stop", "pass"] = "stop"
    """What happens where the model before is above chance in no task, so that none can be judged."""
    seed: int = 20260101
    """Draws the resamples of the intervals."""

    def limits_of(self, variant: str, kind: Kind) -> Limits:
        usual: QuantizedLimits | TunedLimits = getattr(self, kind)
        own = self.variants.get(variant, VariantLimits()).model_dump(exclude_none=True, exclude={"unjudged"})
        return Limits(**usual.model_dump() | own)

    def unjudged_of(self, variant: str) -> Literal["stop", "pass"]:
        return self.variants.get(variant, VariantLimits()).unjudged or self.unjudged
