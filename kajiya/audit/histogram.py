"""A histogram of one measure with its thresholds, as SVG text: readable without colour, and on paper."""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kajiya.audit.bounds import Bound
from kajiya.audit.sketch import Sketch, quantiles
from kajiya.audit.summary import ALL, KEPT
from kajiya.line_chart import ticks

WIDTH, HEIGHT = 680, 230
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 26, 26
BARS = 60
_TAIL = 0.001
"""Share of the documents at either end that the picture need not show in their place."""
_SKEW = 30
"""From this ratio on, the largest bar to a middling one or the tail to the threshold, an axis is logarithmic."""


class Axis(NamedTuple):
    """The horizontal axis. Places are values, or their decimal logarithms."""

    logarithmic: bool
    whole: bool
    """All values are whole numbers: a threshold is drawn between two of them."""
    anchor: float
    """Place of the first threshold, where one bar ends and another begins."""
    width: float
    """Of a bar."""
    first: int
    """Bars from the anchor to the left end, negative."""
    last: int
    zero: bool
    """A bar of its own at the left end, for the zeros that have no logarithm."""

    @property
    def low(self) -> float:
        return self.anchor + (self.first - (2 if self.zero else 0)) * self.width

    @property
    def high(self) -> float:
        return self.anchor + self.last * self.width

    def place(self, value: float) -> float:
        if not self.logarithmic:
            return value
        return math.log10(value) if value > 0 else self.low + self.width / 2

    def x(self, place: float) -> float:
        inside = min(max(place, self.low), self.high)
        return LEFT + (inside - self.low) / (self.high - self.low) * (WIDTH - LEFT - RIGHT)

    def line(self, threshold: float, direction: str) -> float:
        """Place of a threshold's line."""
        if not self.whole or self.logarithmic:
            return self.place(threshold)
        return math.ceil(threshold) - 0.5 if direction == "min" else math.floor(threshold) + 0.5


class Bars(NamedTuple):
    begin: npt.NDArray[np.float64]
    """Place of each bar's left edge."""
    documents: npt.NDArray[np.int64]
    kept: npt.NDArray[np.int64]
    beyond: int
    """Documents outside of the axis, drawn in its outermost bars."""


def axis_of(sketch: Sketch, bounds: Sequence[Bound]) -> Axis:
    """bounds: of one rule; the sketch was cut at the first one's threshold."""
    low, documents = sketch.low, sketch.counts[:, ALL]
    threshold = bounds[0].threshold
    left, right = quantiles(low, documents, (_TAIL, 1 - _TAIL))
    ends = np.concatenate([low, sketch.high, [bound.threshold for bound in bounds]])
    whole = bool((np.floor(ends) == ends).all())
    positive = low > 0
    logarithmic = _is_log(low, documents, threshold)
    zero = logarithmic and bool((~positive).any())
    if logarithmic:
        left = math.log10(quantiles(low[positive], documents[positive], (_TAIL,))[0])
        right = math.log10(right)
    axis = Axis(logarithmic, whole and not logarithmic, 0.0, 1.0, 0, 0, zero)
    places, room = [left, right], (right - left) / 2
    for position, bound in enumerate(bounds):
        place = axis.line(bound.threshold, bound.direction)
        # A far second bound would leave the picture empty: it is told of in words.
        if position == 0 or left - room < place < right + room:
            places.append(place)
    anchor = axis.line(threshold, bounds[0].direction)
    left, right = min(places), max(places)
    width = (right - left) / BARS or 1.0
    if axis.whole:
        width = max(1.0, math.ceil(width))
    first = math.floor((left - anchor) / width - 0.01)
    last = math.ceil((right - anchor) / width + 0.01)
    return axis._replace(anchor=anchor, width=width, first=first, last=last)


def _is_log(low: npt.NDArray[np.float64], documents: npt.NDArray[np.int64], threshold: float) -> bool:
    if threshold <= 0 or low[0] < 0 or low[-1] <= 0:
        return False
    middle, most = quantiles(low, documents, (0.5, 1 - _TAIL))
    return most > _SKEW * max(threshold, middle) or (middle > 0 and max(most, threshold) > _SKEW * middle)


def bars_of(sketch: Sketch, axis: Axis) -> Bars:
    """Documents per bar; a document on the threshold stands on the side where it is judged to be."""
    places = np.array([axis.place(value) for value in sketch.low])
    distance = (places - axis.anchor) / axis.width
    index = np.where(
        sketch.above, np.maximum(np.floor(distance + 1e-9), 0), np.minimum(np.ceil(distance - 1e-9) - 1, -1)
    ).astype(np.int64)
    inside = np.clip(index, axis.first, axis.last - 1)
    first = axis.first
    if axis.zero:
        zeros = sketch.low <= 0
        first = axis.first - 2
        index[zeros] = first
        inside[zeros] = first
    documents, kept = (
        np.bincount(inside - first, sketch.counts[:, kind], axis.last - first).astype(np.int64)
        for kind in (ALL, KEPT)
    )
    begin = axis.anchor + np.arange(first, axis.last, dtype=np.float64) * axis.width
    return Bars(begin, documents, kept, int(sketch.counts[index != inside, ALL].sum()))


def is_skewed(bars: Bars) -> bool:
    """Whether the documents are drawn on a logarithmic scale: else most bars could not be seen."""
    filled = bars.documents[bars.documents > 0]
    return bool(filled.max() > _SKEW * np.median(filled))


def histogram(name: str, axis: Axis, bars: Bars, bounds: Sequence[Bound]) -> str:
    """The drawing. Hatched: all documents; solid, in front: those kept."""
    top = int(bars.documents.max())
    logarithmic = is_skewed(bars)

    def y(count: float) -> float:
        share = math.log10(2 * count) / math.log10(2 * top) if logarithmic else count / top
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    label = escape(f"Documents by {name}", quote=True)
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">']
    for count in _count_ticks(top, logarithmic):
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(count):.1f}" y2="{y(count):.1f}" class="grid"/>'
        )
        parts.append(f'<text x="{LEFT - 6}" y="{y(count) + 4:.1f}" text-anchor="end">{_short(count)}</text>')
    for begin, documents, kept in zip(bars.begin, bars.documents, bars.kept, strict=True):
        left, right = axis.x(float(begin)), axis.x(float(begin) + axis.width)
        for count, css in ((documents, "all"), (kept, "kept")):
            if count:
                height = HEIGHT - BOTTOM - y(count)
                parts.append(
                    f'<rect x="{left:.1f}" y="{y(count):.1f}" width="{max(right - left - 0.6, 0.6):.1f}" '
                    f'height="{height:.1f}" class="{css}"/>'
                )
    for place, words in _value_ticks(axis):
        parts.append(f'<text x="{axis.x(place):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{words}</text>')
    parts += [_threshold(axis, bound) for bound in bounds if _shown(axis, bound)]
    parts.append(f'<line class="try" x1="0" x2="0" y1="{TOP}" y2="{HEIGHT - BOTTOM}" visibility="hidden"/>')
    return "\n".join([*parts, "</svg>"])


def hidden_bounds(axis: Axis, bounds: Sequence[Bound]) -> list[Bound]:
    """Bounds that lie outside of the picture."""
    return [bound for bound in bounds if not _shown(axis, bound)]


def _shown(axis: Axis, bound: Bound) -> bool:
    return axis.low <= axis.line(bound.threshold, bound.direction) <= axis.high


def _threshold(axis: Axis, bound: Bound) -> str:
    x = axis.x(axis.line(bound.threshold, bound.direction))
    least = bound.direction == "min"
    words = f"at least {number(bound.threshold)} →" if least else f"← at most {number(bound.threshold)}"
    # The words stand on the side that passes, unless they would leave the picture there.
    starts = x < WIDTH - 140 if least else x < LEFT + 120
    anchor, shift = ("start", 4) if starts else ("end", -4)
    return (
        f'<line class="threshold" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 12}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text class="threshold" x="{x + shift:.1f}" y="{TOP - 6}" text-anchor="{anchor}">{words}</text>'
    )


def _count_ticks(top: int, logarithmic: bool) -> list[float]:
    if not logarithmic:
        return [tick for tick in ticks(0, top) if tick <= top and tick == int(tick)]
    powers = [10.0**power for power in range(int(math.log10(top)) + 1)]
    return powers[:: math.ceil(len(powers) / 6)]


def _value_ticks(axis: Axis) -> list[tuple[float, str]]:
    zero = [(axis.low + axis.width / 2, "0")] if axis.zero else []
    left = axis.low + (2 * axis.width if axis.zero else 0)
    if not axis.logarithmic:
        return [(t, number(round(t, 10))) for t in ticks(left, axis.high) if left <= t <= axis.high]
    factors = (1, 2, 5) if axis.high - left < 2.5 else (1,)
    values = [
        factor * 10.0**power
        for power in range(math.floor(left), math.ceil(axis.high) + 1)
        for factor in factors
        if left <= math.log10(factor * 10.0**power) <= axis.high
    ]
    values = values[:: math.ceil(len(values) / 10)]
    return zero + [(math.log10(value), _short(value)) for value in values]


def _short(value: float) -> str:
    """20000 -> 20k, 5000000 -> 5M."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= unit:
            return f"{value / (1e3 if letter == 'k' else unit):g}{letter}"
    return f"{value:g}"


def number(value: float) -> str:
    """1234567.0 -> 1,234,567; 0.123456 -> 0.1235."""
    return (
        f"{int(value):,}"
        if value == int(value)
        else f"{value:,.4g}"
        if abs(value) < 1000
        else f"{value:,.1f}"
    )
