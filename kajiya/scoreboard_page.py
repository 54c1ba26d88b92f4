"""A scoreboard as one HTML file that opens offline and prints well, in Japanese and English."""

from collections.abc import Iterator

from markupsafe import Markup

from kajiya.html_page import render
from kajiya.interval_chart import Band, Mark, interval_chart
from kajiya.published_scores import published_scores
from kajiya.published_table import PUBLISHED
from kajiya.scoreboard import Row, Scoreboard
from kajiya.scoreboard_table import difference_text, p_text, published_value, with_interval

VERDICTS = {"better": "上がった / better", "worse": "下がった / worse", "unclear": "不明 / unclear", "": ""}


def scoreboard_html(board: Scoreboard) -> str:
    """The page."""
    return render(
        "scoreboard_page.html.j2",
        board=board,
        letters=list(board.letters()),
        scores_chart=Markup(interval_chart(list(_score_bands(board)), "点 / points (0–100)")),  # noqa: S704 - drawn and escaped by us
        differences_chart=Markup(  # noqa: S704
            interval_chart(list(_difference_bands(board)), "A との差、点 / points above A", zero=True)
        ),
        verdicts=VERDICTS,
        with_interval=with_interval,
        difference_text=difference_text,
        p_text=p_text,
        published_value=published_value,
        sources=list({row.source.title: row.source for row in published_scores()}.values()),
    )


def _score_bands(board: Scoreboard) -> Iterator[Band]:
    for row in _main_rows(board):
        marks = [
            Mark(entry.letter, number, entry.score, entry.interval)
            for number, entry in enumerate(row.entries)
            if entry.score is not None
        ]
        yield Band(row.name, marks, _published_values(board, row))


def _difference_bands(board: Scoreboard) -> Iterator[Band]:
    """Filled: real."""
    for row in _main_rows(board):
        marks = [
            Mark(
                entry.letter,
                number,
                entry.difference.difference,
                entry.difference.interval,
                entry.difference.real,
            )
            for number, entry in enumerate(row.entries)
            if entry.difference is not None and entry.difference.difference is not None
        ]
        yield Band(row.name, marks)


def _main_rows(board: Scoreboard) -> list[Row]:
    return [row for row in (*board.rows, *board.suites) if row.main]


def _published_values(board: Scoreboard, row: Row) -> list[float]:
    """What others have published for the task at these shots, or for the suite."""
    if board.published is None:
        return []
    for place, column in enumerate(board.published.columns):
        if row.name == board.published.label(column):
            values = [one.values[place] for one in board.published.rows if one.mark == PUBLISHED]
            return [value for value in values if value is not None]
    return []
