"""Accept a corpus: the next one is compared with it."""

from typing import Annotated

import typer

from kajiya.cli.project import ACCEPTED, VALIDATED


def accept(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    drifted: Annotated[
        bool, typer.Option("--drifted", help="Take the corpus whose last run failed by its drift alone.")
    ] = False,
) -> None:
    """Take the corpus validated last as the reference: `validate` measures the drift of the next against it.

    Look at data/validated.pages/corpus.html first. Writes accepted/profile.json, which is to be committed.
    Models are not trained anew for it.

    Examples:

        kajiya accept
        kajiya accept --drifted     the corpus has changed, and was meant to
    """
    from kajiya.acceptance import accept_corpus

    page = VALIDATED.with_name(f"{VALIDATED.name}.pages") / "corpus.html"
    if not yes:
        typer.confirm(
            f"Have you looked at {page}, and is this the corpus to compare the next with?", abort=True
        )
    said = accept_corpus(VALIDATED, ACCEPTED, drifted)
    typer.echo(f"Accepted: {said}. Commit {ACCEPTED / 'profile.json'}.")
