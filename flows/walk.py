"""One walk through the graph: what was up to date at its start, and what came of each stage."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from flows.graph import Graph, Stage
from flows.process import Processes
from flows.view import View


@dataclass(frozen=True)
class Outcome:
    """How one stage ended in this walk."""

    state: str
    """ran, restored (from DVC's cache), unchanged, failed, stopped (by a person)."""
    seconds: float = 0
    said: str = ""
    """For a stage that failed: its error lines."""


@dataclass
class Walk:
    graph: Graph
    unchanged: set[str]
    """Stages that were up to date when the walk began."""
    processes: Processes
    view: View
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def ready(self, waiting: set[str]) -> list[str]:
        """Stages of `waiting` whose needs have all ended well, in the order of the graph."""
        well = {name for name, one in self.outcomes.items() if one.state in ("ran", "restored", "unchanged")}
        return [name for name, stage in self.graph.items() if name in waiting and stage.needs <= well]

    def is_current(self, stage: Stage) -> bool:
        """Whether DVC need not be asked: up to date at the start, and nothing before it moved since."""
        return stage.name in self.unchanged and all(
            self.outcomes[need].state == "unchanged" for need in stage.needs
        )

    def run(self, stage: Stage, log: Callable[[str], None]) -> Outcome:
        """Run one stage to its end. log: gets each whole line it says. Raises StageFailedError."""
        if self.is_current(stage):
            return Outcome("unchanged")
        began = time.monotonic()
        self.view.begin(stage.name)

        def listen(line: str, whole: bool) -> None:
            self.view.line(stage.name, line)
            if whole:
                log(line)

        state = self.processes.run(stage.name, listen)
        return Outcome(state, time.monotonic() - began)

    def end(self, stage: Stage, outcome: Outcome) -> None:
        self.outcomes[stage.name] = outcome
        self.view.end(stage.name, outcome.state, outcome.seconds)

    def failed(self) -> dict[str, Outcome]:
        return {name: one for name, one in self.outcomes.items() if one.state == "failed"}
