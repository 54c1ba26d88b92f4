"""`kajiya judge`: how far the judge of a recipe can be trusted."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from kajiya.cli.project import RECIPES
from kajiya.console_table import new_table, print_table

# Columns of the table, by the figure that they show.
_FIGURES = {
    "mean_before": "mean before",
    "mean_judge": "mean judge",
    "bias": "bias",
    "mean_absolute_error": "distance",
    "spearman": "Spearman",
    "pearson": "Pearson",
    "quadratic_weighted_kappa": "kappa",
}

judge = typer.Typer(no_args_is_help=True)


@judge.callback()
def _group() -> None:
    """Calibrate the LLM judge of a recipe (docs/judging.md).

    Examples:

        kajiya judge calibrate elyza-7b scored/elyza-13b.json scored/llama-2-7b.json
    """


@judge.command()
def calibrate(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Whose section `judge` to take.")],
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Answers that were scored before, a JSON object a line: Question, output, eval_aspect, ModelAnswer, score.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to write. [reports/calibration/RECIPE]")
    ] = None,
) -> None:
    """Let a recipe's judge score answers that were scored before, and tell how far it agrees with those scores.

    Reported, never trained on. Every reply is kept in FOLDER the moment it comes: run again after a failure,
    nothing is paid twice.

    Environment: KAJIYA_JUDGE_URL, KAJIYA_JUDGE_KEY, KAJIYA_JUDGE_PARALLEL.

    Examples:

        kajiya judge calibrate elyza-7b scored/elyza-13b.json scored/llama-2-7b.json
    """
    from components.judge.calibration import calibrate as measure
    from components.judge.settings import JudgeSettings
    from kajiya.recipes import require_recipe
    from kajiya.settings import load_settings
    from kajiya.workplace import alone

    config = load_settings(JudgeSettings, require_recipe(RECIPES, recipe), ["judge"])
    folder = out or Path("reports") / "calibration" / recipe
    with alone(folder):
        figures = measure(config, files, folder)
    columns = ("file", "judged", "unreadable", *_FIGURES.values())
    table = new_table(*columns, right=columns[1:])
    for name, group in [*figures["files"].items(), ("all", figures["all"])]:
        table.add_row(name, f"{group['judged']}", f"{group['unreadable']}", *_cells(group["agreement"]))
    print_table(Console(), table)
    typer.echo(f"Reported, never trained on. Page: {folder / 'calibration.html'}")


def _cells(found: dict[str, Any] | None) -> list[str]:
    return [_cell(found[name]) if found else "-" for name in _FIGURES]


def _cell(one: dict[str, Any]) -> str:
    if one["value"] is None:
        return "-"
    bounds = f" ({one['interval']['low']:.2f} to {one['interval']['high']:.2f})" if one["interval"] else ""
    return f"{one['value']:.2f}{bounds}"
