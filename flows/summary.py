"""The table at the end of a run: what each stage did, and where to look."""

import json
from pathlib import Path

from rich.console import Console
from rich.text import Text

from flows.graph import Graph, Stage
from flows.process import log_path
from flows.view import STYLES
from flows.walk import Outcome
from kajiya.console_table import new_table, print_table
from kajiya.report import Report
from kajiya.stage import beside


def print_summary(console: Console, graph: Graph, outcomes: dict[str, Outcome], root: Path) -> None:
    """One row per stage. seconds: of this run; documents: from the stage's report."""
    numbers = ("seconds", "documents in", "out")
    table = new_table("stage", "state", *numbers, "where to look", right=numbers)
    for name, stage in graph.items():
        outcome = outcomes.get(name, Outcome("not run"))
        came_in, out = _documents(stage, root)
        table.add_row(
            name,
            Text(outcome.state, style=STYLES[outcome.state]),
            f"{outcome.seconds:.1f}" if outcome.seconds else "",
            came_in,
            out,
            _where(stage, outcome),
        )
    print_table(console, table)


def _where(stage: Stage, outcome: Outcome) -> str:
    if outcome.state in ("failed", "stopped"):
        return str(log_path(stage.name))
    return str(stage.out) if stage.out and outcome.state != "not run" else ""


def _documents(stage: Stage, root: Path) -> tuple[str, str]:
    """Documents in and out over all sources, where the stage carries documents and has run."""
    if stage.out is None:
        return "", ""
    path = beside(root / stage.out, "report")
    try:
        report = Report.model_validate(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return "", ""
    if not report.flows:
        return "", ""
    flows = report.flows.values()
    return f"{sum(flow.came_in for flow in flows):,}", f"{sum(flow.out for flow in flows):,}"
