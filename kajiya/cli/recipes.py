"""`kajiya recipes`: what could be made, what one recipe makes, and which are made."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from kajiya.cli.project import PARAMS, RECIPES
from kajiya.console_table import new_table, print_table, widen

recipes = typer.Typer(invoke_without_command=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A recipe: recipes/NAME.yaml.")]


@recipes.callback()
def listing(context: typer.Context) -> None:
    """List the recipes: parameters, tokens, what each starts from and makes, and whether it is active.

    `kajiya run` makes the active ones: those that params.yaml lists. A value of a recipe is its makers' where
    `kajiya recipes show NAME` says so, and our choice elsewhere.

    Examples:

        kajiya recipes
        kajiya recipes show youri-7b
        kajiya recipes add youri-7b
        kajiya recipes remove smoke
    """
    if context.invoked_subcommand is not None:
        return
    from kajiya.lm.recipe_plan import short_number
    from kajiya.recipes import active_recipes, recipe_names

    active = active_recipes(PARAMS)
    columns = ("recipe", "active", "parameters", "tokens", "starts from", "variants", "description")
    table = new_table(*columns, right=("parameters", "tokens"))
    for name in recipe_names(RECIPES):
        recipe, plan = _read(name)
        table.add_row(
            name,
            "[green]yes[/green]" if name in active else "[dim]no[/dim]",
            short_number(plan.parameters),
            short_number(plan.tokens) if plan.tokens else "all",
            escape(plan.starts_from),
            " ".join(recipe.parents()),
            escape(" ".join(recipe.description.split())),
        )
    print_table(Console(), table)


@recipes.command()
def show(name: Name) -> None:
    """Explain a recipe: what it makes and from what, derived sizes, mixture, what is published, what to bring.

    Examples:

        kajiya recipes show elyza-7b-fast
    """
    from kajiya.activation import still_to_do
    from kajiya.cli.recipe_page import recipe_lines
    from kajiya.recipes import active_recipes

    recipe, plan = _read(name)
    console = Console()
    widen(console)
    missing = list(still_to_do(Path(), name, recipe))
    for line in recipe_lines(name, recipe, plan, name in active_recipes(PARAMS), missing):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@recipes.command()
def add(name: Name) -> None:
    """Make a recipe active: write its variants and its sources into params.yaml, comments kept.

    Also brings the entries of an active recipe into line with its file. What a person must fetch is said.

    Examples:

        kajiya recipes add elyza-7b
    """
    from kajiya.activation import add_recipe, still_to_do

    recipe, _ = _read(name)
    said = add_recipe(PARAMS, name, recipe)
    for line in said:
        typer.echo(f"{PARAMS}: {line}")
    if not said:
        typer.echo(f"{PARAMS} holds all of {name} already.")
    if missing := list(still_to_do(Path(), name, recipe)):
        typer.echo("Before `kajiya run`, bring:")
        for one in missing:
            typer.echo(f"  {one}")


@recipes.command()
def remove(name: Name) -> None:
    """Make a recipe inactive: take its variants out of params.yaml, and sources that only it names.

    Models and versions that were made stay.

    Examples:

        kajiya recipes remove smoke
    """
    from kajiya.activation import remove_recipe

    for line in remove_recipe(PARAMS, name, RECIPES):
        typer.echo(f"{PARAMS}: {line} taken out")


def _read(name: str) -> tuple[Any, Any]:
    """A recipe and what it comes to; a wrong setting is told by file and line."""
    from kajiya.lm.recipe_plan import plan_recipe
    from kajiya.recipe_loading import load_recipe
    from kajiya.recipes import require_recipe
    from kajiya.settings import load_settings
    from kajiya.settings_docs import settings_type

    path = require_recipe(RECIPES, name)
    recipe = load_recipe(path)
    for stage in ("tokenizer", "pretrain", "gate"):
        if getattr(recipe, stage):
            load_settings(settings_type(stage), path, [stage])
    return recipe, plan_recipe(recipe)
