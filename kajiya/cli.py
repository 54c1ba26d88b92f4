"""The command line `kajiya`. No setting is a flag: settings stand in params.yaml and recipes/."""

import signal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from kajiya.console_table import new_table, print_table, widen
from kajiya.errors import KajiyaError

PIPELINE = Path("dvc.yaml")
PARAMS = Path("params.yaml")
RECIPES = Path("recipes")
REPORTS = Path("reports")
USAGE_ERROR = 2


class Commands(TyperGroup):
    """Shows a KajiyaError as what it is: words for a person, no traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KajiyaError as error:
            Console(stderr=True).print(
                f"[bold red]error:[/bold red] {escape(str(error))}", highlight=False, soft_wrap=True
            )
            raise typer.Exit(USAGE_ERROR) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""From raw Japanese sources to a registered, quantized language model.

    The pipeline stands in dvc.yaml; what to make stands in params.yaml (sources, cleaning) and in
    recipes/ (tokenizer, model, tuning, evaluation). No setting is a flag here.

    First steps: `kajiya run` makes everything, `kajiya status` says where it stands,
    `kajiya settings` says what can be set.
    """,
)

Recipe = Annotated[
    str | None, typer.Option("--recipe", "-r", metavar="NAME", help="A recipe: recipes/NAME.yaml.")
]


@app.command()
def run(
    recipe: Recipe = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="STAGE", help="Stop after this stage: `dedupe`, `clean@c4`, or `clean` for all."
        ),
    ] = None,
) -> None:
    """Run what is not up to date, independent stages at the same time.

    Stages, order and paths are read from dvc.yaml. Finished stages are kept: after a failure or
    Ctrl-C, the same command continues. Everything a stage says stands in logs/STAGE.log. At the end
    comes a table, and a page per recipe in reports/.

    Environment: KAJIYA_JOBS, stages at the same time (default: one per core); KAJIYA_WORKERS,
    processes within a stage; PREFECT_API_URL, a Prefect server to show the run in.

    Exit status: 0 all is well, 1 a stage failed, 2 the command cannot be followed, 130 stopped.

    Examples:

        kajiya run                      all active recipes
        kajiya run --recipe smoke       one recipe and what it stands on
        kajiya run --until dedupe       a part of the chain
    """
    from flows.run import run as walk

    console = Console()
    ending = walk(recipe, until, console)
    for name in _names(recipe):
        page = REPORTS / f"{name}.html"
        if ending.moved or not page.exists():
            _write_page(name)
        console.print(f"Report: {page}", highlight=False)
    raise typer.Exit(ending.status)


@app.command()
def status(recipe: Recipe = None) -> None:
    """Show the state of every stage, and the registered versions with their scores.

    current: as dvc.lock has it; changed: would run, and why; waiting: something before it would run;
    never: no run yet; running: a process is at it now.

    Examples:

        kajiya status
        kajiya status --recipe smoke
    """
    from flows.states import stage_states

    console = Console()
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
    table = new_table("version", "variant", "aliases", "scores")
    for one in versions:
        scores = "  ".join(f"{name} {value:.4g}" for name, value in sorted(one.scores.items()))
        table.add_row(f"{one.name}/{one.version}", one.variant, ", ".join(one.aliases), escape(scores))
    print_table(console, table)
    console.print(f"\nIn MLflow: {how_to_open()}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def lineage(
    version: Annotated[
        str, typer.Argument(metavar="NAME/VERSION", help="A registered version: `kajiya status` lists them.")
    ],
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with the drawing to FILE.")
    ] = None,
) -> None:
    """Show what a registered version was made from, down to the sources.

    Examples:

        kajiya lineage kajiya-smoke/3
        kajiya lineage kajiya-smoke/3 --html lineage.html
    """
    from kajiya.lineage_page import lineage_html, lineage_tree
    from kajiya.registry import load_lineage, parse_version
    from kajiya.shards import write_file

    found = load_lineage(*parse_version(version))
    if html is None:
        console = Console()
        widen(console)
        console.print(lineage_tree(found))
        return
    write_file(html, lineage_html(found))
    typer.echo(f"Lineage: {html}")


@app.command()
def recipes(
    show: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show one recipe in full.")] = None,
) -> None:
    """List the recipes: what each makes, and whether `kajiya run` makes it.

    A recipe is active when it stands under `recipes` in params.yaml, with the folder of the model it
    continues from and the folder of the conversations for tuning.

    Examples:

        kajiya recipes
        kajiya recipes smoke
    """
    from kajiya.recipes import list_recipes, recipe_text

    console = Console()
    if show is not None:
        console.print(recipe_text(RECIPES, PARAMS, show), markup=False, soft_wrap=True)
        return
    table = new_table("recipe", "active", "model", "description")
    for one in list_recipes(RECIPES, PARAMS):
        active = "[green]yes[/green]" if one.active else "[dim]no[/dim]"
        table.add_row(one.name, active, escape(one.model), escape(one.description))
    print_table(console, table)


@app.command()
def sample(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder to write; it must not exist or be empty.")
    ],
    serve: Annotated[
        int | None,
        typer.Option(metavar="PORT", min=0, max=65535, help="Then serve it on 127.0.0.1:PORT until Ctrl-C."),
    ] = None,
) -> None:
    """Write the sample world: small sources in the formats of the real ones, with planted defects.

    Its settings are those of the stage `sample` in params.yaml; answer_key.jsonl lists every defect.

    Examples:

        kajiya sample /tmp/world
        kajiya sample /tmp/world --serve 8765
    """
    from kajiya.sample.server import serve as serving
    from kajiya.sample.world import write_world
    from kajiya.settings import load_settings
    from kajiya.settings_docs import settings_type

    settings = load_settings(settings_type("sample"), PARAMS, ["sample"])
    if (out / "answer_key.jsonl").exists():
        typer.echo(f"{out} holds a sample world already; it is left as it is.")
    else:
        if out.is_dir() and any(out.iterdir()):
            raise KajiyaError(f"{out}: not empty, and no sample world. Name a new folder.")
        write_world(settings, out)
        typer.echo(f"Sample world: {out}")
    if serve is not None:
        with serving(out, serve) as address:
            typer.echo(f"Serving {out} at {address} until Ctrl-C.")
            signal.pause()


@app.command()
def report(
    recipe: Annotated[
        str | None, typer.Argument(metavar="[RECIPE]", help="One recipe; without it, all active ones.")
    ] = None,
) -> None:
    """Write the page of each recipe to reports/: documents, losses, scores, sizes, seconds.

    It is one file that opens offline, made from what the stages left; a part that has not run yet
    says so. `kajiya run` writes it at its end.

    Examples:

        kajiya report
        kajiya report smoke
    """
    for name in _names(recipe):
        typer.echo(f"Report: {_write_page(name)}")


def _names(recipe: str | None) -> list[str]:
    """The recipe asked for, or all active ones."""
    from kajiya.recipes import list_recipes, require_recipe

    if recipe is not None:
        return [require_recipe(RECIPES, recipe).stem]
    return [one.name for one in list_recipes(RECIPES, PARAMS) if one.active]


def _write_page(recipe: str) -> Path:
    from kajiya.report_page import write_page

    return write_page(Path.cwd(), recipe, REPORTS)


@app.command()
def settings(
    stage: Annotated[
        str | None, typer.Argument(metavar="[STAGE]", help="One stage; without it, all.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Write docs/settings.md.")] = False,
) -> None:
    """Print every setting: type, default, meaning.

    Settings stand in params.yaml (sources and cleaning) and in recipes/NAME.yaml (the rest).

    Examples:

        kajiya settings dedupe
        kajiya settings | less
    """
    from kajiya import settings_docs
    from kajiya.shards import write_file

    if markdown:
        write_file(Path("docs/settings.md"), settings_docs.markdown(PIPELINE))
        typer.echo("Settings: docs/settings.md")
        return
    known = settings_docs.sections(PIPELINE)
    if stage is not None:
        settings_docs.check_stage(stage, PIPELINE)
    for name in [stage] if stage else list(known):
        file, section = known[name]
        typer.echo(f"{name}: section `{section}` of {file}\n\n{settings_docs.text(name)}\n")
