"""Curves of a training out of its metrics.jsonl, thinned so that a page and a registry can hold them."""

from collections.abc import Iterable, Sequence
from typing import Any

from kajiya.line_chart import MAX_POINTS, Point, line_chart
from kajiya.report_pages.records import Row
from kajiya.report_pages.words import Words

Chart = tuple[str, str]


def thinned(rows: Sequence[Row], keep: Iterable[str] = ("step", "ranks")) -> list[Row]:
    """Of every measure at most MAX_POINTS values, evenly, the last among them. Thinning again changes nothing."""
    always = set(keep)
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        for key, value in row.items():
            if key not in always and value is not None:
                places.setdefault(key, []).append(place)
    chosen: dict[int, set[str]] = {}
    for key, found in places.items():
        every = -(-len(found) // MAX_POINTS)
        for place in found[::-1][::every]:
            chosen.setdefault(place, set()).add(key)
    return [
        {key: value for key, value in rows[place].items() if key in always or key in keys}
        for place, keys in sorted(chosen.items())
    ]


def training_charts(rows: list[Row], words: Words) -> list[Chart]:
    """Loss, by source, learning rate, gradient norm; without those that nothing was measured of."""
    keys = dict.fromkeys(key for row in rows for key in row)
    by_source = [key for key in keys if key.startswith(("loss/", "validation_loss/"))]
    return _drawn(
        [
            _chart(rows, words("loss"), ["loss", "validation_loss"], words),
            _chart(rows, words("loss_by_source"), by_source, words),
            _chart(rows, words("learning_rate"), ["lr", "learning_rate"], words),
            _chart(rows, words("gradient_norm"), ["grad_norm"], words),
        ]
    )


def speed_charts(rows: list[Row], words: Words) -> list[Chart]:
    rows = [row for row in rows if "step" in row]
    return _drawn(
        [
            _chart(rows, words("tokens_per_second"), ["tokens_per_second"], words),
            _chart(rows, "MFU", ["mfu"], words),
        ]
    )


def last_losses(rows: list[Row], words: Words) -> list[tuple[str, float]]:
    """The last value of each loss."""
    found = {
        key: row[key]
        for row in rows
        for key in sorted(row)
        if key.split("/")[0] in ("loss", "validation_loss") and row[key] is not None
    }
    return [(spoken(key, words), value) for key, value in found.items()]


def spoken(key: str, words: Words) -> str:
    """validation_loss/diet_2025 -> diet_2025 (validation): a source keeps its name."""
    kind, _, source = key.partition("/")
    if not source:
        return words.known(f"measure_{kind}", kind.replace("_", " "))
    return words("of_validation", source=source) if kind == "validation_loss" else source


def _chart(rows: list[Row], title: str, keys: Sequence[str], words: Words) -> Chart:
    series: dict[str, Sequence[Point]] = {
        spoken(key, words): [(row["step"], row[key]) for row in rows if _is_number(row.get(key))]
        for key in keys
        if any(key in row for row in rows)
    }
    return title, line_chart(series, words("step"), title)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _drawn(charts: list[Chart]) -> list[Chart]:
    return [chart for chart in charts if chart[1]]
