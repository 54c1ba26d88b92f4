"""The corpus: the sample world that stands in for real sources."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from kajiya.cli.project import PARAMS
from kajiya.errors import KajiyaError


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
