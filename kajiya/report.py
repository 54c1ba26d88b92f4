"""What a stage did, in counts and scores: a DVC metric a person can read."""

from collections import Counter
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from kajiya.errors import KajiyaError


class Flow(BaseModel):
    """Documents of one source through one stage: came_in = out + sum(rejected)."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    came_in: int = 0
    """Documents read."""
    out: int = 0
    """Documents written."""
    rejected: Counter[str] = Field(default_factory=Counter)
    """Documents dropped, by reason."""

    def check(self, source: str) -> None:
        """Raise KajiyaError unless every document that came in is accounted for."""
        if self.came_in != self.out + self.rejected.total():
            raise KajiyaError(
                f"{source}: {self.came_in} documents came in, but {self.out} went out and "
                f"{self.rejected.total()} were rejected. Documents were lost or doubled: this is a "
                "defect of the stage; its output was not published."
            )


def add_flows(total: dict[str, Flow], part: dict[str, Flow]) -> None:
    """Add the counts of one shard to those of the stage."""
    for source, flow in part.items():
        whole = total.setdefault(source, Flow())
        whole.came_in += flow.came_in
        whole.out += flow.out
        whole.rejected.update(flow.rejected)


class Report(BaseModel):
    """Everything here must be the same for the same inputs and settings: no seconds, no dates."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    flows: dict[str, Flow] = Field(default_factory=dict)
    """Documents per source; empty for stages that carry no documents."""
    figures: dict[str, Any] = Field(default_factory=dict)
    """Counts, sizes (bytes) and scores by name."""

    def check(self) -> None:
        for source, flow in self.flows.items():
            flow.check(source)
