"""The corpus: the sample world, and why documents of a source were kept or rejected."""

import math
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from kajiya.cli.project import LOCK, PARAMS, PIPELINE
from kajiya.console_table import new_table, print_table
from kajiya.errors import KajiyaError

if TYPE_CHECKING:  # it takes Arrow with it
    from kajiya.audit.source import Source


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


def audit(
    stage: Annotated[str, typer.Argument(metavar="clean@SOURCE", help="A source that was cleaned.")],
    rule: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Ask about this rule; `length:min` where it has two bounds."),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(metavar="VALUE", help="What if its threshold were VALUE?")
    ] = None,
) -> None:
    """Show why documents of a source were kept or rejected, and what other thresholds would do.

    Writes a page that opens offline: the funnel by rule, a histogram of every measured value with the
    threshold in it, documents on both sides, and what if the threshold were another. With --rule and
    --threshold the answer for one threshold is counted and printed, and nothing is written; to change
    one, edit params.yaml.

    Examples:

        kajiya audit clean@c4
        kajiya audit clean@c4 --rule length:min --threshold 200
    """
    from kajiya.audit.source import find_source

    if (rule is None) != (threshold is None):
        raise KajiyaError("--rule and --threshold belong together: `--rule length:min --threshold 200`.")
    if threshold is not None and not math.isfinite(threshold):
        raise KajiyaError(f"--threshold {threshold}: give a number.")
    source = find_source(stage, PIPELINE, PARAMS)
    if rule is not None and threshold is not None:
        _print_answer(source, rule, threshold)
        return
    from kajiya.audit.page import write_audit

    typer.echo(f"Audit: {write_audit(source, LOCK)}")


def _print_answer(source: "Source", rule: str, threshold: float) -> None:
    from kajiya.audit.bounds import find_bound
    from kajiya.audit.histogram import number
    from kajiya.audit.what_if import count_at

    index = find_bound(source.bounds, rule)
    answer = count_at(source.shards, source.bounds, index, threshold)
    bound = source.bounds[index]
    side = "at least" if bound.direction == "min" else "at most"
    table = new_table(rule, "documents kept", "characters", right=("documents kept", "characters"))
    for words, tally in (
        (f"now: {side} {number(bound.threshold)}", answer.now),
        (f"{side} {number(threshold)}", answer.then),
    ):
        table.add_row(words, f"{tally.documents:,}", f"{tally.chars:,}")
    gain = (answer.then.documents - answer.now.documents, answer.then.chars - answer.now.chars)
    table.add_row("more or less", *(f"{one:+,}" for one in gain))
    print_table(Console(), table)
