"""`kajiya run`: read the graph, walk it, say what came of it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.markup import escape

from flows.environment import prepare, server_url
from flows.graph import open_repo, read_graph, select, sort_lock, unchanged
from flows.precheck import check_recipes, check_settings
from flows.process import Processes, jobs, log_path
from flows.summary import print_summary
from flows.view import view_on
from flows.walk import Outcome, Walk
from kajiya.notice import notice_seconds

INTERRUPTED = 130
"""Exit status of a run that a person stopped, as shells have it."""


@dataclass(frozen=True)
class Ending:
    status: int
    """Exit status: 0 all is well, 1 a stage failed, 130 a person stopped it."""
    moved: bool
    """Whether any stage did something."""
    flow_run: str | None = None
    """Id of the flow run in Prefect; None where Prefect was not needed, or a person stopped it."""


def run(recipe: str | None, until: str | None, console: Console) -> Ending:
    """Walk dvc.yaml of the current folder: all of it, one recipe, or up to a stage."""
    at_once = jobs()
    notice_seconds()  # a bad value is told now, not when a person stops the run
    root = Path.cwd()
    with open_repo(root) as repo:
        whole = read_graph(repo)
        graph = select(whole, recipe, until)
        check_recipes(root, recipe)
        current = unchanged(repo, graph)
        check_settings(graph, current)
        with view_on(console, len(graph)) as view:
            walk = Walk(graph, current, Processes(root), view)
            stopped, flow_run = _walk(walk, at_once, root)
        sort_lock(repo, whole)
    print_summary(console, graph, walk.outcomes, root)
    moved = any(outcome.state != "unchanged" for outcome in walk.outcomes.values())
    if stopped:
        console.print("Stopped. Finished stages are kept: [bold]kajiya run[/bold] continues.")
        return Ending(INTERRUPTED, moved)
    return Ending(_say_failures(console, walk), moved, flow_run)


def _walk(walk: Walk, at_once: int, root: Path) -> tuple[bool, str | None]:
    """Walk; returns whether a person stopped it, and the flow run."""
    prepare(root)
    if walk.unchanged >= set(walk.graph) and not server_url():
        # Nothing to run and nobody to tell: starting Prefect would take longer than all the rest.
        walk.outcomes.update(dict.fromkeys(walk.graph, Outcome("unchanged")))
        return False, None
    if not server_url():
        walk.view.say("Starting Prefect for this run (PREFECT_API_URL would name a server to show it in) ...")
    from flows.pipeline import run_flow  # noqa: PLC0415  (reads the environment when imported)

    try:
        with _sigterm_as_interrupt():
            return False, run_flow(walk, at_once)
    except KeyboardInterrupt:
        return True, None
    finally:
        walk.processes.close()


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does: children first, then the summary. A second one does not hurry it."""
    came = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        if not came:
            came = True
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say_failures(console: Console, walk: Walk) -> int:
    failed = walk.failed()
    for name, outcome in failed.items():
        console.print(f"[bold red]{escape(outcome.said)}[/bold red]", highlight=False, soft_wrap=True)
        console.print(f"  All it said: {log_path(name)}", highlight=False, soft_wrap=True)
    if failed:
        console.print("When mended, [bold]kajiya run[/bold] continues from here: finished stages are kept.")
    return 1 if failed else 0
