"""A scoreboard for the terminal, in the width there is."""

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kajiya.console_table import new_table, print_table
from kajiya.intervals import Interval
from kajiya.published_table import PUBLISHED, PublishedRow, PublishedTable
from kajiya.scoreboard import Entry, Row, Scoreboard

_WIDE = 76
"""Columns of a terminal from which on intervals of scores and p-values fit."""
_STYLES = {"better": "green", "worse": "red", "unclear": "dim"}
_PUBLISHED_WIDTH = 9
_NAME_WIDTH = 30


def print_scoreboard(console: Console, board: Scoreboard) -> None:
    """Versions, scores, differences, what is missing, perplexities, published scores."""
    legend = new_table("", "version", "chat", "harness")
    for letter, one in board.letters():
        chat = "yes" if one.results.get("chat_template") else "no"
        legend.add_row(letter, escape(one.name), chat, escape(str(one.results.get("harness", "?"))))
    print_table(console, legend)
    for line in board.warnings:
        console.print(f"[yellow]warning:[/yellow] {escape(line)}", highlight=False)
    console.print()
    wide = not console.is_terminal or console.width >= _WIDE
    print_table(console, _scores(board, wide=wide))
    if not wide:
        console.print(
            f"Intervals of the scores and p: from {_WIDE} columns on, or --html.",
            style="dim",
            highlight=False,
        )
    for line in board.missing:
        console.print(escape(line), style="dim", highlight=False)
    console.print(
        "\nPoints with 95 % intervals; @3: three examples shown (shots); * the task's main metric. Differences are paired"
        " by item; better or worse: real, p < 0.05 after Holm's correction.",
        style="dim",
        highlight=False,
    )
    if board.perplexities:
        console.print("\nPerplexity, lower is better: shown, never decisive")
        print_table(console, _perplexities(board))
    if board.published:
        console.print(
            "\nBeside published scores: other runs, harnesses and prompts, so nothing is paired with them"
        )
        print_table(console, _published(board.published, console))
        for line in ("°: computed here from the task scores of the source.", *board.published.notes()):
            console.print(escape(line), style="dim", highlight=False)


def _scores(board: Scoreboard, *, wide: bool) -> Table:
    columns = ["", "score", "minus A", *(["p"] if wide else []), ""]
    table = new_table(*columns)
    for name, group in board.groups():
        count = group[0].n
        items = "" if count is None else f"{count:,} items"
        table.add_row(f"[bold]{escape(name)}[/bold]", items, *[""] * (len(columns) - 2))
        longest = max(len(_metric(row)) for row in group)
        for row in group:
            for cells in _lines(row, longest, wide=wide):
                table.add_row(*cells)
    return table


def _metric(row: Row) -> str:
    return f"{row.metric}{'*' if row.main else ''} " if row.metric else ""


def _lines(row: Row, longest: int, *, wide: bool) -> Iterator[list[str]]:
    for number, entry in enumerate(row.entries):
        name = (_metric(row) if number == 0 else "").ljust(longest)
        style = _STYLES.get(entry.verdict, "")
        verdict = f"[{style}]{entry.verdict}[/{style}]" if style else ""
        p = [p_text(entry.p)] if wide else []
        score = with_interval(entry.score, entry.interval if wide else None, digits=row.digits)
        yield [f"  {name}{entry.letter}", score, difference_text(entry, row.digits), *p, verdict]


def with_interval(value: float | None, interval: Interval | None, sign: str = "", digits: int = 1) -> str:
    """`83.9 [81.6, 85.9]`; without a value a dash."""
    if value is None:
        return "–"
    form = f"{sign}.{digits}f"
    bounds = f" [{interval.low:{form}}, {interval.high:{form}}]" if interval else ""
    return f"{value:{form}}{bounds}"


def difference_text(entry: Entry, digits: int = 1) -> str:
    one = entry.difference
    if one is None or one.difference is None:
        return ""
    return with_interval(one.difference, one.interval, "+", digits)


def p_text(p: float | None) -> str:
    if p is None:
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _perplexities(board: Scoreboard) -> Table:
    letters = [letter for letter, _ in board.letters()]
    table = new_table("source", *letters, right=tuple(letters))
    for source, values in board.perplexities.items():
        table.add_row(escape(source), *("–" if value is None else f"{value:.4g}" for value in values))
    return table


def _published(published: PublishedTable, console: Console) -> Table:
    """As many columns as fit beside the models' names, which may wrap; the page has them all."""
    width = console.width if console.is_terminal else 200
    room = width - len(PUBLISHED) - len("prompts") - _NAME_WIDTH
    columns = published.columns[: max(1, room // _PUBLISHED_WIDTH)]
    short = [column.replace("mean of ", "mean ")[: _PUBLISHED_WIDTH - 2] for column in columns]
    table = new_table("", *short, "prompts", "model (source)", right=tuple(short))
    for row in published.rows:
        values = [published_value(row, place) for place in range(len(columns))]
        named = row.model + (f" ({row.source.partition(',')[0]})" if row.source else "")
        named += f" (other items: {row.other_items})" if row.other_items else ""
        style = "dim" if row.mark == PUBLISHED else "bold"
        table.add_row(row.mark, *values, escape(row.prompts), escape(named), style=style)
    return table


def published_value(row: PublishedRow, place: int) -> str:
    """Two digits, as they are published; `°` behind what was computed here."""
    value = row.values[place]
    return "–" if value is None else f"{value:.2f}{'°' if place in row.computed else ''}"
