"""What a person sees while stages run: a live table on a terminal, plain lines elsewhere."""

import threading
import time
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

STYLES = {
    "ran": "green",
    "restored": "green",
    "unchanged": "dim",
    "failed": "bold red",
    "stopped": "yellow",
    "not run": "yellow",
}
"""States in which a stage can end, and their colours."""


class View(Protocol):
    def __enter__(self) -> "View": ...
    def __exit__(self, *_: object) -> None: ...
    def begin(self, stage: str) -> None: ...
    def line(self, stage: str, text: str) -> None: ...
    def end(self, stage: str, state: str, seconds: float) -> None: ...
    def say(self, text: str) -> None: ...


def view_on(console: Console, total: int) -> View:
    """The view that suits the console. total: stages to walk."""
    return LiveView(console, total) if console.is_terminal else PlainView(console, total)


class PlainView:
    """One line when a stage begins and one when it ends: for logs and pipes."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._done = 0
        self._guard = threading.Lock()

    def __enter__(self) -> "PlainView":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begin(self, stage: str) -> None:
        self.say(f"  {stage}: begins")

    def line(self, stage: str, text: str) -> None:
        """What a stage says goes to its log alone."""

    def end(self, stage: str, state: str, seconds: float) -> None:
        with self._guard:
            self._done += 1
            took = f" ({seconds:.1f} s)" if seconds else ""
            self.say(f"[{self._done}/{self._total}] {stage}: {state}{took}")

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class LiveView:
    """One row per running stage with what it said last, and a bar over all of them."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._done = 0
        self._rows: dict[str, tuple[float, str]] = {}
        self._guard = threading.Lock()
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=True)

    def __enter__(self) -> "LiveView":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def begin(self, stage: str) -> None:
        with self._guard:
            self._rows[stage] = (time.monotonic(), "")

    def line(self, stage: str, text: str) -> None:
        with self._guard:
            if stage in self._rows:
                self._rows[stage] = (self._rows[stage][0], text)

    def end(self, stage: str, state: str, seconds: float) -> None:
        with self._guard:
            self._rows.pop(stage, None)
            self._done += 1
        if state != "unchanged":
            mark = Text(f"{state:>10} ", style=STYLES[state])
            self._console.print(mark.append(stage, style="default").append(f"  {seconds:.1f} s", style="dim"))

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _render(self) -> RenderableType:
        with self._guard:
            rows, done = dict(self._rows), self._done
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        now = time.monotonic()
        for stage, (began, text) in rows.items():
            table.add_row(Text(stage, style="bold"), f"{now - began:.0f} s", Text(text, style="dim"))
        bar = Table.grid(padding=(0, 2))
        bar.add_row(
            ProgressBar(total=max(self._total, 1), completed=done, width=40),
            f"{done} of {self._total} stages",
        )
        return Group(table, bar)
