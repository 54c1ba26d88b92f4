"""A dot-and-interval chart as SVG text: no library, no font files, readable on paper and without colour."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from kajiya.intervals import Interval
from kajiya.line_chart import COLOURS, ticks

WIDTH, LEFT, RIGHT = 640, 170, 20
_ROW, _GAP, _TOP, _BOTTOM = 16, 10, 8, 40
_LABEL_CHARS = 22


@dataclass(frozen=True)
class Mark:
    """One dot with its interval."""

    letter: str
    series: int
    """Chooses the colour."""
    value: float
    interval: Interval | None
    filled: bool = True


@dataclass(frozen=True)
class Band:
    """One line of the chart with several dots below each other."""

    label: str
    marks: Sequence[Mark]
    others: Sequence[float] = ()
    """Values to show as small strokes below the dots: what others have."""


def interval_chart(bands: Sequence[Band], x_label: str, *, zero: bool = False) -> str:
    """Bands from top to bottom. zero: draw a line at 0. Empty text where there is no mark."""
    shown = [band for band in bands if band.marks]
    if not shown:
        return ""
    axis = ticks(*_range(shown, zero=zero))
    height = _TOP + sum(_height(band) for band in shown) + _BOTTOM
    bottom = height - _BOTTOM

    def place(value: float) -> float:
        return LEFT + (value - axis[0]) / (axis[-1] - axis[0]) * (WIDTH - LEFT - RIGHT)

    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(x_label, True)}">']
    for tick in axis:
        x = place(tick)
        strong = ' style="stroke:#1c1e21"' if zero and abs(tick) < 1e-9 else ""
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}" class="grid"{strong}/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{tick:g}</text>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{height - 6}" text-anchor="middle">{escape(x_label)}</text>'
    )
    top = float(_TOP)
    for band in shown:
        middle = top + _height(band) / 2
        parts.append(f'<text x="4" y="{middle + 4:.1f}">{escape(_shortened(band.label))}</text>')
        below = top + _height(band) - _GAP / 2
        parts += [
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{below - 9:.1f}" y2="{below:.1f}" stroke="#8a9097" stroke-width="1.2"/>'
            for x in map(place, band.others)
        ]
        for number, mark in enumerate(band.marks):
            y = top + _GAP / 2 + _ROW * (number + 0.5)
            parts += _mark(mark, place(mark.value), y, [place(x) for x in _bounds(mark)])
        top += _height(band)
    return "\n".join([*parts, "</svg>"])


def _height(band: Band) -> int:
    return _ROW * (len(band.marks) + bool(band.others)) + _GAP


def _shortened(label: str) -> str:
    return label if len(label) <= _LABEL_CHARS else label[: _LABEL_CHARS - 1] + "…"


def _bounds(mark: Mark) -> list[float]:
    return [mark.interval.low, mark.interval.high] if mark.interval else []


def _range(bands: Sequence[Band], *, zero: bool) -> tuple[float, float]:
    values = [0.0] if zero else []
    for band in bands:
        values += band.others
        for mark in band.marks:
            values += [mark.value, *_bounds(mark)]
    low, high = min(values), max(values)
    return (low - 1, high + 1) if high - low < 1e-9 else (low, high)


def _mark(mark: Mark, x: float, y: float, bounds: Sequence[float]) -> Iterator[str]:
    colour = COLOURS[mark.series % len(COLOURS)]
    yield f'<text x="{LEFT - 14}" y="{y + 4:.1f}" text-anchor="end">{escape(mark.letter)}</text>'
    if bounds:
        low, high = bounds
        yield f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}" stroke-width="2"/>'
    fill = colour if mark.filled else "#fff"
    yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="{colour}" stroke-width="2"/>'
