"""Single documents: where they went, and how to leave them out."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kajiya.console_table import widen

_MEANING = "An id (c4:0:17), an address (https://...), or at least 8 characters of the text."
_SHOWN = 5


def trace(what: Annotated[str, typer.Argument(metavar="TEXT_OR_URL_OR_ID", help=_MEANING)]) -> None:
    """Follow a document: its source, what each stage did and why, its tokens, the models that learnt it.

    Read from the outputs on this disk; tokens of earlier runs are looked up in DVC's cache.

    Examples:

        kajiya trace c4:0:17
        kajiya trace https://ja.wikipedia.org/wiki/...
        kajiya trace "a sentence that stands in it"
    """
    from kajiya.trace.history import history
    from kajiya.trace.models import uses
    from kajiya.trace.project import Project
    from kajiya.trace.search import find
    from kajiya.trace.view import history_tree

    console = Console()
    widen(console)
    project = Project.at(Path())
    found = find(project, what)
    for name in found[:_SHOWN]:
        known = history(project, name)
        held = [name, *([known.stands_in] if known.stands_in else [])]
        console.print(history_tree(known, uses(project, held)))
    if rest := found[_SHOWN:]:
        listed = ", ".join(rest[:20])
        console.print(
            f"{len(rest)} more documents match: {listed}{' ...' if len(rest) > 20 else ''}", markup=False
        )


def takedown(
    what: Annotated[list[str], typer.Argument(metavar="TEXT_OR_URL_OR_ID...", help=_MEANING)],
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Who asked for it, and why; kept beside the document.")
    ],
    every: Annotated[
        bool, typer.Option("--all", help="Of words that stand in several documents, all are meant.")
    ] = False,
) -> None:
    """Leave documents out of every later run, with all their copies, and name the models that learnt them.

    Writes exclusions.yaml, which the stage clean reads: commit it, then `kajiya run`. The crawled files
    and models made before keep what they have.

    Examples:

        kajiya takedown c4:0:17 --reason "asked by its author, ticket 12"
        kajiya takedown https://example.com/page --reason "copyright"
    """
    from kajiya.trace.project import Project
    from kajiya.trace.takedown import EXCLUSIONS, take_down
    from kajiya.trace.view import learnt_by

    console = Console()
    done = take_down(Project.at(Path()), what, reason, every)
    console.print(f"Left out from now on: {', '.join(done.documents)}", markup=False, soft_wrap=True)
    console.print(f"New in {EXCLUSIONS}: {len(done.new)}. Commit it, then `kajiya run`.", markup=False)
    if not done.copies_known:
        console.print(
            "dedupe has not run here: copies of these documents are unknown and stay.", markup=False
        )
    for line in learnt_by(done.uses) or ["No registered model has learnt them."]:
        console.print(line, markup=False, soft_wrap=True)
