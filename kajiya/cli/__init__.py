"""The command line `kajiya`. No setting is a flag: settings stand in params.yaml and recipes/."""

from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from kajiya.cli.accept import accept
from kajiya.cli.choices import settings
from kajiya.cli.compare import compare
from kajiya.cli.convert import convert
from kajiya.cli.corpus import audit, sample
from kajiya.cli.documents import takedown, trace
from kajiya.cli.judge import judge
from kajiya.cli.models import lineage
from kajiya.cli.pipeline import report, run, status
from kajiya.cli.recipes import recipes
from kajiya.cli.tokenizers import fertility
from kajiya.cli.use import chat, serve
from kajiya.errors import KajiyaError

USAGE_ERROR = 2


class Commands(TyperGroup):
    """Shows a KajiyaError as what it is: words for a person, no traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KajiyaError as error:
            Console(stderr=True).print(
                f"[bold red]error:[/bold red] {escape(str(error))}", highlight=False, soft_wrap=True
            )
            raise typer.Exit(USAGE_ERROR) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""From raw Japanese sources to a registered, quantized language model.

    The pipeline stands in dvc.yaml; what to make stands in params.yaml (sources, cleaning) and in
    recipes/ (tokenizer, model, tuning, evaluation). No setting is a flag here.

    First steps: `kajiya run` makes everything, `kajiya status` says where it stands,
    `kajiya settings` says what can be set.
    """,
)

# In the order of `kajiya --help`.
for command in (
    run,
    status,
    report,
    audit,
    accept,
    trace,
    takedown,
    lineage,
    compare,
    fertility,
    settings,
    sample,
    chat,
    serve,
):
    app.command()(command)
app.add_typer(convert, name="convert")
app.add_typer(recipes, name="recipes")
app.add_typer(judge, name="judge")
