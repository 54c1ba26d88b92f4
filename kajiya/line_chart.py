"""A line chart as SVG text: no library, no font files, readable on paper."""

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise

Point = tuple[float, float]

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 12, 40
# Dark enough for paper, apart for eyes that do not tell red from green (after Okabe and Ito); the
# dashes tell them apart without any colour.
COLOURS = ("#0072b2", "#d55e00", "#007a5e", "#b0518b", "#000000", "#8a6d00", "#56707f")
DASHES = ("", "7 4", "2 3", "9 3 2 3")
MAX_POINTS = 400
_KEY_WIDTH, _KEY_HEIGHT = 190, 17


def line_chart(series: dict[str, Sequence[Point]], x_label: str, y_label: str) -> str:
    """One line per series; points that are not finite are left out. Empty text where nothing is left."""
    finite = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
        for name, points in series.items()
    }
    lines = {name: _thin(points) for name, points in finite.items() if points}
    if not lines:
        return ""
    x_ticks = ticks(*_range([x for points in lines.values() for x, _ in points]))
    y_ticks = ticks(*_range([y for points in lines.values() for _, y in points]))

    def place(x: float, y: float) -> Point:
        across = (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{y_label} by {x_label}", True)}">'
    ]
    for tick in y_ticks:
        _, y = place(x_ticks[0], tick)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        x, _ = place(tick, y_ticks[0])
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>')
    placed = {name: [place(*point) for point in points] for name, points in lines.items()}
    corner = _free_corner(list(placed.values()))
    for number, (name, points) in enumerate(placed.items()):
        parts.append(_line(points, number))
        parts.append(_key(name, corner, number))
    return "\n".join([*parts, "</svg>"])


def ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers that enclose low..high."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def _range(values: list[float]) -> Point:
    low, high = min(values), max(values)
    if low == high:  # one point, or a flat line: some room around it
        room = abs(low) * 0.1 or 1.0
        return low - room, high + room
    return low, high


def _thin(points: Sequence[Point]) -> list[Point]:
    """Every n-th point and the last: a page needs no more than it can show."""
    every = math.ceil(len(points) / MAX_POINTS)
    return [*points[:-1:every], points[-1]] if every > 1 else list(points)


def _line(points: list[Point], number: int) -> str:
    colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
    if len(points) == 1:
        x, y = points[0]
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8" stroke-dasharray="{dash}"/>'


def _free_corner(lines: list[list[Point]]) -> Point:
    """Where the names of the lines hide least of them: the upper left corner of their box."""
    height = _KEY_HEIGHT * len(lines)
    right, low = WIDTH - RIGHT - _KEY_WIDTH, HEIGHT - BOTTOM - height - 4.0
    corners = [(right, float(TOP)), (LEFT + 8.0, float(TOP)), (right, low), (LEFT + 8.0, low)]
    points = [point for line in lines for point in _dense(line)]

    def hidden(corner: Point) -> int:
        x, y = corner
        return sum(x <= across <= x + _KEY_WIDTH and y <= down <= y + height for across, down in points)

    return min(corners, key=hidden)


def _dense(line: list[Point]) -> list[Point]:
    """The line in steps of some units: a long stroke counts as what it covers."""
    points = list(line)
    for (x, y), (to_x, to_y) in pairwise(line):
        steps = int(math.hypot(to_x - x, to_y - y) / 6)
        points += [(x + (to_x - x) * part / steps, y + (to_y - y) * part / steps) for part in range(1, steps)]
    return points


def _key(name: str, corner: Point, number: int) -> str:
    x, y = corner[0], corner[1] + 10 + _KEY_HEIGHT * number
    colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
    return (
        f'<line x1="{x:g}" x2="{x + 30:g}" y1="{y - 4:g}" y2="{y - 4:g}" stroke="{colour}" stroke-width="2" '
        f'stroke-dasharray="{dash}"/><text x="{x + 36:g}" y="{y:g}">{escape(name)}</text>'
    )
