"""What can be chosen: recipes and settings."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from kajiya.cli.project import PARAMS, PIPELINE, RECIPES
from kajiya.console_table import new_table, print_table


def recipes(
    show: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show one recipe in full.")] = None,
) -> None:
    """List the recipes: what each makes, and whether `kajiya run` makes it.

    A recipe is active when it stands under `recipes` in params.yaml, with the folder of the model it
    continues from, and its variants in the lists below.

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
