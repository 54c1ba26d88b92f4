"""Run the pipeline, say where it stands, and show what it gave."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from kajiya.cli.project import PARAMS, RECIPES, REPORTS
from kajiya.console_table import new_table, print_table
from kajiya.errors import KajiyaError

if TYPE_CHECKING:
    from flows.run import Ending

Recipe = Annotated[
    str | None, typer.Option("--recipe", "-r", metavar="NAME", help="A recipe: recipes/NAME.yaml.")
]

Shrink = Annotated[
    bool,
    typer.Option(
        "--shrink", help="The recipe at toy size on this CPU, in a project of its own: shrunk/NAME/."
    ),
]


def run(
    recipe: Recipe = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="STAGE", help="Stop after this stage: `dedupe`, `clean@c4`, or `clean` for all."
        ),
    ] = None,
    shrink: Shrink = False,
) -> None:
    """Run what is not up to date, independent stages at the same time.

    Stages, order and paths are read from dvc.yaml. Finished stages are kept: after a failure or
    Ctrl-C, the same command continues. Everything a stage says stands in logs/STAGE.log. At the end
    comes a table, and a page per recipe in reports/.

    With --shrink any recipe, active or not, is tried whole: the same dvc.yaml and code on the embedded
    sample, with a small base made on the spot. What it registers is called kajiya-NAME-shrunk.

    Environment: KAJIYA_JOBS, stages at the same time (default: one per core); KAJIYA_WORKERS,
    processes within a stage; PREFECT_API_URL, a Prefect server to show the run in.

    Exit status: 0 all is well, 1 a stage failed, 2 the command cannot be followed, 130 stopped.

    Examples:

        kajiya run                      all active recipes
        kajiya run --recipe smoke       one recipe and what it stands on
        kajiya run --until dedupe       a part of the chain
        kajiya run --recipe youri-7b --shrink
    """
    from flows.run import run as walk

    console = Console()
    here = Path.cwd()
    if shrink:
        recipe = _enter_shrunk(recipe, refresh=True)
    ending = walk(recipe, until, console)
    for name in _names(recipe):
        page = REPORTS / f"{name}.html"
        if ending.moved or not page.exists():
            _write_page(name)
        _link_page(ending, name, page, console)
        console.print(f"Report: {(Path.cwd() / page).relative_to(here)}", highlight=False)
    raise typer.Exit(ending.status)


def _link_page(ending: "Ending", recipe: str, page: Path, console: Console) -> None:
    """Hang the page on the run in Prefect."""
    if ending.flow_run is None:
        return
    from flows.links import link
    from kajiya.report_pages.links import links

    if problem := link(ending.flow_run, f"kajiya-report-{recipe}", links(recipe, Path.cwd() / page)):
        console.print(f"warning: {problem}", highlight=False, markup=False, soft_wrap=True)


def status(recipe: Recipe = None, shrink: Shrink = False) -> None:
    """Show the state of every stage, and the registered versions with their scores.

    current: as dvc.lock has it; changed: would run, and why; waiting: something before it would run;
    never: no run yet; running: a process is at it now.

    Examples:

        kajiya status
        kajiya status --recipe smoke
        kajiya status --recipe youri-7b --shrink
    """
    from flows.states import stage_states

    console = Console()
    if shrink:
        recipe = _enter_shrunk(recipe, refresh=False)
    table = new_table("stage", "state", "seconds", "why", right=("seconds",))
    for one in stage_states(Path.cwd(), recipe):
        seconds = f"{one.seconds:.1f}" if one.seconds is not None else ""
        table.add_row(one.name, f"[{_STATE_STYLES[one.state]}]{one.state}[/]", seconds, escape(one.reason))
    print_table(console, table)
    console.print()
    _print_versions(console, recipe)


_STATE_STYLES = {
    "current": "green",
    "changed": "yellow",
    "waiting": "yellow",
    "never": "dim",
    "running": "bold cyan",
}


def _print_versions(console: Console, recipe: str | None) -> None:
    from kajiya.registry import how_to_open, list_versions

    versions = list_versions(recipe)
    if not versions:
        console.print("No registered versions yet: [bold]kajiya run[/bold] makes some.")
        return
    table = new_table("version", "variant", "gate", "aliases", "scores")
    for one in versions:
        scores = "  ".join(f"{name} {value:.4g}" for name, value in sorted(one.scores.items()))
        gate = gate_text(one.tags)
        table.add_row(f"{one.name}/{one.version}", one.variant, gate, ", ".join(one.aliases), escape(scores))
    print_table(console, table)
    console.print(f"\nIn MLflow: {how_to_open()}", markup=False, highlight=False, soft_wrap=True)


def gate_text(tags: Mapping[str, str]) -> str:
    """What a version's gate said: `passed, largest drop 5.0 points`."""
    said, drop = tags.get("gate", ""), tags.get("gate_largest_drop")
    if drop is None:
        return said
    return f"{said}, largest drop {float(drop):.1f} points" if float(drop) > 0 else f"{said}, no drop"


def report(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[RECIPE | NAME/VERSION | NAME@ALIAS]",
            help="One recipe, or one registered version; without it, all active recipes.",
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the page to FILE.")] = None,
) -> None:
    """Write a page to reports/: corpus, curves, scores, texts, sizes, times, lineage; Japanese and English.

    One file that opens offline and prints well. Of a recipe it is made from what the stages left here, and `kajiya run`
    writes it at its end. Of a registered version it is made from the registry alone, on any machine that reaches
    it. A part that is missing says why.

    Environment: MLFLOW_TRACKING_URI, the registry (default: mlflow.db here); KAJIYA_HOUR_PRICE, what an hour of the
    machine costs, for stages that ran without it.

    Examples:

        kajiya report
        kajiya report smoke
        kajiya report kajiya-smoke/3
        kajiya report kajiya-smoke@champion --html page.html
    """
    if what is not None and ("/" in what or "@" in what):
        typer.echo(f"Report: {_write_version_page(what, html)}")
        return
    names = _names(what)
    if html and len(names) > 1:
        raise KajiyaError(f"--html names one file, but there are {len(names)} pages to write. Name a recipe.")
    for name in names:
        typer.echo(f"Report: {_write_page(name, html)}")


def _enter_shrunk(recipe: str | None, refresh: bool) -> str:
    """Go into the project of a shrunk recipe; returns what the recipe is called there."""
    from flows.graph import cache_folder
    from kajiya.lm.shrunk_project import FOLDER, make_project, shrunk_name
    from kajiya.recipes import require_recipe

    if recipe is None:
        raise KajiyaError("--shrink needs --recipe NAME: one recipe at a time.")
    require_recipe(RECIPES, recipe)
    folder = make_project(Path.cwd(), recipe, cache_folder(Path.cwd())) if refresh else FOLDER / recipe
    if not folder.exists():
        raise KajiyaError(f"{folder}: not tried yet. `kajiya run --recipe {recipe} --shrink` does.")
    os.chdir(folder)
    return shrunk_name(recipe)


def _names(recipe: str | None) -> list[str]:
    """The recipe asked for, or all active ones."""
    from kajiya.recipes import active_recipes, require_recipe

    if recipe is not None:
        return [require_recipe(RECIPES, recipe).stem]
    return active_recipes(PARAMS)


def _write_page(recipe: str, output: Path | None = None) -> Path:
    from kajiya.report_pages import recipe_page
    from kajiya.shards import write_file

    page = output or REPORTS / f"{recipe}.html"
    write_file(page, recipe_page(Path.cwd(), recipe, page.parent))
    return page


def _write_version_page(name: str, output: Path | None) -> Path:
    """From the version's own artifacts, whatever lies in the current folder."""
    import tempfile

    from kajiya.registry import find_version, load_lineage
    from kajiya.report_pages import version_page
    from kajiya.report_pages.hung import fetch_records
    from kajiya.report_pages.records import of_lineage
    from kajiya.shards import write_file

    version = find_version(name)
    lineage = load_lineage(version.name, version.version)
    page = output or REPORTS / f"{version.name}-{version.version}.html"
    with tempfile.TemporaryDirectory(prefix="kajiya-report-") as folder:
        records = of_lineage(fetch_records(version, Path(folder)), lineage)
        write_file(page, version_page(records, version))
    return page
