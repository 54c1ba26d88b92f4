"""Tables for a person at a terminal, and for logs and pipes."""

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_ENDLESS = 100_000


def new_table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """A table without lines. right: columns of numbers. Only the last column may wrap."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=column != columns[-1],
            overflow="fold",
        )
    return table


def print_table(console: Console, table: Table) -> None:
    """Print a table; its rows stay whole in a log or a pipe, which have no width."""
    widen(console)
    if not console.is_terminal:
        endless = console.options.update(max_width=_ENDLESS)
        console.width = max(console.width, Measurement.get(console, endless, table).maximum)
    console.print(table, crop=False)


def widen(console: Console) -> None:
    """Give a console that is no terminal the width of a long line: rich takes 80, and breaks paths there."""
    if not console.is_terminal:
        console.width = 200
