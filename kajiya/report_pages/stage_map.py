"""The stages that a model comes from as a drawing: from the sources at the top down, narrow enough for paper."""

from html import escape

from kajiya.html_page import number
from kajiya.report_pages.records import Made

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y = 172, 46, 16, 30


def stage_map(stages: tuple[Made, ...], about: str) -> str:
    """SVG text: a row of boxes for every step from the sources; empty without stages."""
    if not stages:
        return ""
    places = _places(stages)
    width = max(x for x, _ in places.values()) + BOX_WIDTH + 2
    height = max(y for _, y in places.values()) + BOX_HEIGHT + 2
    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(about, True)}">']
    for stage in stages:
        parts += [_edge(places[need], places[stage.name]) for need in stage.needs if need in places]
    parts += [_box(stage, places[stage.name]) for stage in stages]
    return "\n".join([*parts, "</svg>"])


def _places(stages: tuple[Made, ...]) -> dict[str, tuple[float, float]]:
    """Left upper corner of each box; the rows are centred."""
    row_of: dict[str, int] = {}
    rows: dict[int, list[str]] = {}
    for stage in stages:
        row_of[stage.name] = max((row_of[need] + 1 for need in stage.needs if need in row_of), default=0)
        rows.setdefault(row_of[stage.name], []).append(stage.name)
    widest = max(len(names) for names in rows.values())
    places = {}
    for row, names in rows.items():
        left = (widest - len(names)) * (BOX_WIDTH + GAP_X) / 2 + 1
        for column, name in enumerate(names):
            places[name] = (left + column * (BOX_WIDTH + GAP_X), 1.0 + row * (BOX_HEIGHT + GAP_Y))
    return places


def _box(stage: Made, place: tuple[float, float]) -> str:
    x, y = place
    flows = list(stage.report.flows.values())
    documents = (
        f"{number(sum(flow.came_in for flow in flows))} → {number(sum(flow.out for flow in flows))}"
        if flows
        else ""
    )
    return (
        f'<g transform="translate({x:g},{y:g})"><title>{escape(f"{stage.name}: {stage.out} {stage.digest}")}</title>'
        f'<rect class="stage" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="5"/>'
        f'<text x="8" y="18" class="name">{escape(_cut(stage.name))}</text>'
        f'<text x="8" y="36" class="small">{escape(stage.digest[:8])} {escape(documents)}</text></g>'
    )


def _cut(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"


def _edge(start: tuple[float, float], end: tuple[float, float]) -> str:
    """From the lower side of one box to the upper side of another."""
    x1, y1 = start[0] + BOX_WIDTH / 2, start[1] + BOX_HEIGHT
    x2, y2 = end[0] + BOX_WIDTH / 2, end[1]
    bend = (y2 - y1) / 2
    return f'<path class="edge" d="M{x1:g},{y1:g} C{x1:g},{y1 + bend:g} {x2:g},{y2 - bend:g} {x2:g},{y2:g}"/>'
