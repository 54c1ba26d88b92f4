"""Scores as dots with whiskers: a row per task, a mark per model, its 95 % interval, and what guessing gives."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from kajiya.line_chart import COLOURS, ticks

WIDTH, LEFT, RIGHT, TOP = 760, 200, 20, 8
LANE = 15
"""Height of one model's lane within a row."""
_KEY_WIDTH = 180


@dataclass(frozen=True)
class Dot:
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class DotRow:
    label: str
    dots: dict[str, Dot]
    """By series; a series may be missing."""
    chance: float | None = None
    published: Sequence[tuple[str, float]] = ()
    """Others' scores, drawn hollow."""


def dot_chart(
    rows: Sequence[DotRow], names: dict[str, str], bounds: tuple[float, float] | None = None
) -> str:
    """SVG text, empty without rows. names: `axis`, `chance`, `published`, `about` in the page's language.

    bounds: least range of the axis, such as 0 to 100.
    """
    series = list(dict.fromkeys(name for row in rows for name in row.dots))
    values = [value for row in rows for value in _values(row)]
    if not values:
        return ""
    lowest, highest = min([*values, *(bounds or ())]), max([*values, *(bounds or ())])
    if lowest == highest:
        lowest, highest = lowest - 1, highest + 1
    marks = ticks(lowest, highest)
    keys = [*series, *(["chance"] if any(row.chance is not None for row in rows) else [])]
    keys += ["published"] if any(row.published for row in rows) else []
    top = TOP + 18 * -(-len(keys) // 3) + 6
    # What others published has a lane of its own, below the marks of the page.
    heights = [LANE * (max(1, len(series)) + bool(row.published)) + 10 for row in rows]
    bottom = top + sum(heights)

    def place(value: float) -> float:
        return LEFT + (value - marks[0]) / (marks[-1] - marks[0]) * (WIDTH - LEFT - RIGHT)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {bottom + 38}" role="img" aria-label="{escape(names["about"], True)}">',
        *_legend(keys, series, names),
    ]
    for mark in marks:
        x = place(mark)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" class="grid"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{mark:g}</text>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{bottom + 32}" text-anchor="middle">{escape(names["axis"])}</text>'
    )
    y = float(top)
    for row, height in zip(rows, heights, strict=True):
        parts.append(f'<line x1="0" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="0" y="{y + height / 2 + 4:.1f}" class="name">{escape(row.label)}</text>')
        if row.chance is not None:
            x = place(row.chance)
            parts.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y + 3:.1f}" y2="{y + height - 3:.1f}" class="chance"/>'
            )
        for model, value in row.published:
            parts.append(_diamond(place(value), y + height - LANE / 2 - 5, f"{model}: {value:g}"))
        for name, dot in row.dots.items():
            lane = y + 5 + LANE * (series.index(name) + 0.5)
            parts += _dot(name, dot, series.index(name), place, lane)
        y += height
    return "\n".join([*parts, "</svg>"])


def _values(row: DotRow) -> list[float]:
    found = [value for dot in row.dots.values() for value in (dot.value, dot.low, dot.high)]
    found += [row.chance, *(value for _, value in row.published)]
    return [value for value in found if value is not None and math.isfinite(value)]


def _legend(keys: list[str], series: list[str], names: dict[str, str]) -> list[str]:
    parts = []
    for place, key in enumerate(keys):
        x, y = LEFT + _KEY_WIDTH * (place % 3), TOP + 8 + 18 * (place // 3)
        if key in series:
            parts.append(_mark(x, y, series.index(key)))
        elif key == "chance":
            parts.append(f'<line x1="{x}" x2="{x}" y1="{y - 7}" y2="{y + 7}" class="chance"/>')
        else:
            parts.append(_diamond(x, y, ""))
        parts.append(f'<text x="{x + 10}" y="{y + 4}">{escape(names.get(key, key))}</text>')
    return parts


def _dot(name: str, dot: Dot, number: int, place: Callable[[float], float], y: float) -> list[str]:
    colour = COLOURS[number % len(COLOURS)]
    parts = []
    told = f"{name}: {dot.value:.1f}"
    if dot.low is not None and dot.high is not None:
        told += f" ({dot.low:.1f} – {dot.high:.1f})"
        low, high = place(dot.low), place(dot.high)
        parts.append(
            f'<path d="M{low:.1f},{y - 4:.1f}V{y + 4:.1f}M{low:.1f},{y:.1f}H{high:.1f}M{high:.1f},{y - 4:.1f}V{y + 4:.1f}" '
            f'stroke="{colour}" stroke-width="1.4" fill="none"/>'
        )
    parts.append(f"<g><title>{escape(told)}</title>{_mark(place(dot.value), y, number)}</g>")
    return parts


def _mark(x: float, y: float, number: int) -> str:
    """Apart in shape as well as in colour."""
    colour = COLOURS[number % len(COLOURS)]
    match number % 4:
        case 0:
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>'
        case 1:
            return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{colour}"/>'
        case 2:
            return f'<path d="M{x:.1f},{y - 5:.1f}l5,9h-10z" fill="{colour}"/>'
        case _:
            return f'<path d="M{x - 4:.1f},{y - 4:.1f}l8,8m0,-8l-8,8" stroke="{colour}" stroke-width="2.4"/>'


def _diamond(x: float, y: float, told: str) -> str:
    title = f"<title>{escape(told)}</title>" if told else ""
    return f'<g>{title}<path d="M{x:.1f},{y - 5:.1f}l5,5l-5,5l-5,-5z" class="published"/></g>'
