"""What all rules have in common."""

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy.typing as npt
from pydantic import Field, model_validator

from components.clean.measures import Batch
from kajiya.settings import Settings

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Size = Annotated[int, Field(ge=2, le=100)]
Values = npt.NDArray[Any]


class Bound(NamedTuple):
    """A document passes with value >= threshold ("min") or value <= threshold ("max")."""

    direction: Literal["min", "max"]
    threshold: float


class BaseRule(Settings):
    """What all rules have in common."""

    source: ClassVar[str] = "own"
    """Where rule and usual bounds come from."""

    @model_validator(mode="after")
    def _bounds_leave_room(self) -> "BaseRule":
        for lower in type(self).model_fields:
            upper = lower.replace("min_", "max_", 1)
            if lower.startswith("min_") and upper in type(self).model_fields:
                least, most = getattr(self, lower), getattr(self, upper)
                if least > most:
                    raise ValueError(
                        f"rule {self.name}: {lower} {least} is above {upper} {most}: no document could pass"
                    )
        return self

    @property
    def name(self) -> str:
        """Unique in a rule set: the rule's, with its parameter where it has one."""
        n = getattr(self, "n", None)
        return f"{self.rule}_{n}" if n else str(self.rule)  # type: ignore[attr-defined]

    @property
    def bounds(self) -> list[Bound]:
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        lower = [Bound("min", float(value)) for name, value in fields.items() if name.startswith("min_")]
        return lower + [
            Bound("max", float(value)) for name, value in fields.items() if name.startswith("max_")
        ]

    @abstractmethod
    def measure(self, batch: Batch) -> Values:
        """One value per document, never NaN."""
