"""What can be set."""

from pathlib import Path
from typing import Annotated

import typer

from kajiya.cli.project import PIPELINE


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
