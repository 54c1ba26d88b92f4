"""gate.html: the verdict on one page for a person, in Japanese and English; it opens offline."""

from markupsafe import Markup

from components.gate.words import items_needed
from kajiya.gate_verdict import Fall, GateVerdict
from kajiya.html_page import render

_WIDTH, _HEIGHT, _EDGE = 176, 18, 6
_FAR = 30  # points: a limit beyond is drawn at the edge, and the scale is left to the differences


def page(verdict: GateVerdict) -> str:
    rows: list[Fall] = [*verdict.tasks, *([verdict.mean] if verdict.mean else [])]
    lowest = min([*(min(row.low, -min(row.limit, _FAR)) for row in rows), 0.0])
    highest = max([*(row.high for row in rows), 0.0])
    return render(
        "page.html.j2",
        package="components.gate",
        verdict=verdict,
        items_needed=items_needed,
        drawing=lambda row: _drawing(row, lowest, highest),
    )


def _drawing(row: Fall, lowest: float, highest: float) -> Markup:
    """Difference and interval on one scale for all rows, with nothing lost and the limit as lines."""
    scale = (_WIDTH - 2 * _EDGE) / ((highest - lowest) or 1)

    def x(points: float) -> str:
        return f"{_EDGE + (max(points, lowest) - lowest) * scale:.1f}"

    middle = _HEIGHT / 2
    return Markup(  # noqa: S704 - of numbers alone
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{row.difference:+.1f}">'
        f'<line class="zero" x1="{x(0)}" x2="{x(0)}" y1="1" y2="{_HEIGHT - 1}"/>'
        f'<line class="limit" x1="{x(-row.limit)}" x2="{x(-row.limit)}" y1="1" y2="{_HEIGHT - 1}"/>'
        f'<line class="range" x1="{x(row.low)}" x2="{x(row.high)}" y1="{middle}" y2="{middle}"/>'
        f'<circle cx="{x(row.difference)}" cy="{middle}" r="3.5"/></svg>'
    )
