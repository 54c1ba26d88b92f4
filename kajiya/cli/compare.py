"""Versions beside each other."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from kajiya.errors import KajiyaError

if TYPE_CHECKING:
    from kajiya.evaluation_results import Evaluation

MOST = 26  # letters name them


def compare(
    versions: Annotated[
        list[str],
        typer.Argument(
            metavar="A B...",
            help="Registered versions (kajiya-smoke/3, kajiya-smoke@champion) or evaluation folders. The first is"
            " what the others are compared with.",
        ),
    ],
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the comparison as a page too, in Japanese and English."),
    ] = None,
    published: Annotated[
        bool,
        typer.Option("--published/--no-published", help="Show published scores of the same tasks and shots."),
    ] = True,
    unpaired: Annotated[
        bool,
        typer.Option(
            "--unpaired",
            help="Go on where a version was not asked as the first: its scores stand without differences.",
        ),
    ] = False,
) -> None:
    """Compare versions task by task: scores, paired differences with intervals, and whether they are real.

    Both models answered the same items, so each item tells by itself which of the two did better: a difference of
    one point that two separate scores could not tell from chance may be certain, and a larger one may not. Versions
    that were asked otherwise (data, prompts, shots, chat template, items) are refused. docs/comparing.md tells how
    to read the table.

    Examples:

        kajiya compare kajiya-smoke/2 kajiya-smoke/3
        kajiya compare kajiya-smoke@champion kajiya-smoke/7 kajiya-smoke/8 --html compared.html
        kajiya compare models/smoke/evaluation/base models/smoke/evaluation/instruct --unpaired
    """
    from kajiya.scoreboard import make_scoreboard
    from kajiya.scoreboard_page import scoreboard_html
    from kajiya.scoreboard_table import print_scoreboard
    from kajiya.shards import write_file

    if not 2 <= len(versions) <= MOST:
        raise KajiyaError(
            f"{len(versions)} to compare: name two to {MOST} versions, for example"
            " `kajiya compare kajiya-smoke/2 kajiya-smoke/3`. `kajiya status` lists them."
        )
    opened = [_open(one) for one in versions]
    names = [one.name for one in opened]
    double = next((name for name in names if names.count(name) > 1), None)
    if double:
        raise KajiyaError(f"{double} stands there twice. Name two that differ; `kajiya status` lists them.")
    board = make_scoreboard(opened, published=published, unpaired=unpaired)
    print_scoreboard(Console(), board)
    if html is not None:
        write_file(html, scoreboard_html(board))
        typer.echo(f"Comparison: {html}")


def _open(text: str) -> "Evaluation":
    """An evaluation folder, or the evaluation of a registered version."""
    from kajiya.evaluation_results import load_evaluation

    folder = Path(text)
    if folder.is_dir():
        beside = folder.resolve().parent.parent / "judgements" / folder.resolve().name  # as a recipe has them
        return load_evaluation(folder, folder.as_posix(), beside if beside.is_dir() else None)
    if not _means_version(text):
        raise KajiyaError(
            f"{text}: no such folder, and no version such as kajiya-smoke/3 or kajiya-smoke@champion."
            " `kajiya status` lists the versions."
        )
    from kajiya.registry import fetch_evaluation, find_version

    found = find_version(text)
    variant = f" ({found.variant})" if found.variant else ""
    evaluation, judged = fetch_evaluation(found)
    return load_evaluation(evaluation, f"{found.name}/{found.version}{variant}", judged)


def _means_version(text: str) -> bool:
    name, slash, number = text.removeprefix("models:/").rpartition("/")
    return bool(slash and name and number.isdigit()) or "@" in text
