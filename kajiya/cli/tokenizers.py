"""How well tokenizers fit a text, beside each other."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kajiya.console_table import new_table, print_table
from kajiya.errors import KajiyaError

CORPUS = Path("data/decontaminated")


def fertility(
    tokenizers: Annotated[
        list[Path],
        typer.Argument(
            metavar="TOKENIZER...",
            help="A folder with tokenizer.json or tokenizer.model, or such a file. NAME=PATH gives it a name.",
        ),
    ],
    on: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH", help="Corpus, folder or text file; several times for more. [data/decontaminated]"
        ),
    ] = None,
    characters: Annotated[
        int, typer.Option(min=1000, metavar="N", help="Characters of each source to count on.")
    ] = 1_000_000,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the comparison as a page too.")
    ] = None,
) -> None:
    """Compare tokenizers: characters per token and share of byte tokens, per source and in all.

    More characters per token: the same text takes fewer tokens to train on and to write. Byte tokens spell
    characters that have no piece. SentencePiece models of any kind can stand beside the fast form.

    Examples:

        kajiya fertility models/smoke/tokenizer
        kajiya fertility ours=models/r/tokenizer llama2=base/tokenizer.model --on texts.jsonl.gz --html fertility.html
    """
    from kajiya.lm.fertility import ALL, open_counter
    from kajiya.lm.fertility import fertility as measure
    from kajiya.shards import write_file
    from kajiya.text_sample import sample_texts

    named = _named(tokenizers)
    counters = {name: open_counter(path) for name, path in named.items()}
    texts = sample_texts(on or [CORPUS], characters)
    rows = {name: measure(counter, texts) for name, counter in counters.items()}
    sizes = {source: sum(map(len, part)) for source, part in texts.items()}
    sizes[ALL] = sum(sizes.values())
    if html is not None:
        from kajiya.html_page import render

        pieces = {name: counter.pieces for name, counter in counters.items()}
        write_file(html, render("fertility_page.html.j2", rows=rows, pieces=pieces, sizes=sizes))
    table = new_table("source", "characters", *rows, right=("characters", *rows))
    for source in next(iter(rows.values())):
        cells = [_cell(figures[source]) for figures in rows.values()]
        table.add_row(source, f"{sizes.get(source, sizes.get('all', 0)):,}", *cells)
    table.add_row("pieces", "", *(f"{counter.pieces:,}" for counter in counters.values()))
    console = Console()
    print_table(console, table)
    console.print("Characters per token; in brackets the share of byte tokens.", style="dim")
    if html is not None:
        typer.echo(f"Page: {html}")


def _cell(figures: dict[str, float]) -> str:
    return f"{figures['characters_per_token']:.3f} ({100 * figures['byte_token_share']:.2f} %)"


def _named(words: list[Path]) -> dict[str, Path]:
    """The tokenizers by name: NAME=PATH, or the path itself."""
    named: dict[str, Path] = {}
    for word in words:
        text = str(word)
        name, equals, path = text.partition("=")
        if not equals or word.exists():
            name, path = text, text
        if name in named:
            raise KajiyaError(f"two tokenizers are called {name}: name them apart, as in ours={path}.")
        named[name] = Path(path)
    return named
