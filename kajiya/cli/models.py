"""What registered versions were made from."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kajiya.console_table import widen


def lineage(
    version: Annotated[
        str, typer.Argument(metavar="NAME/VERSION", help="A registered version: `kajiya status` lists them.")
    ],
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with the drawing to FILE.")
    ] = None,
) -> None:
    """Show what a registered version was made from, down to the sources.

    Read from the version itself, so it works without the files it was made from.

    Examples:

        kajiya lineage kajiya-smoke/3
        kajiya lineage kajiya-smoke/3 --html lineage.html
    """
    from kajiya.lineage_page import lineage_html, lineage_tree
    from kajiya.registered_version import parse_version
    from kajiya.registry import load_lineage
    from kajiya.shards import write_file

    found = load_lineage(*parse_version(version))
    if html is None:
        console = Console()
        widen(console)
        console.print(lineage_tree(found))
        return
    write_file(html, lineage_html(found))
    typer.echo(f"Lineage: {html}")
