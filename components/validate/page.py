"""corpus.html: the corpus on one page for a person, failures first; it opens offline."""

from html import escape
from pathlib import Path
from typing import Any

from components.validate.drift import Drift
from components.validate.profile import BINS, TITLES, Profile, next_edge, quantile
from components.validate.verdicts import Verdict
from kajiya.html_page import render
from kajiya.shards import write_file

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 420, 150, 8, 24, 10
_TICKS = {"length_chars": (1, 10, 100, 1000, 10_000, 100_000), "line_chars": (1, 10, 100, 1000, 10_000)}
_OLD, _STEADY = 0.25, 0.1  # the usual reading of PSI


def write_page(
    path: Path, profile: Profile, verdicts: list[Verdict], drifts: list[Drift], accepted: Profile | None
) -> None:
    """Write the page whole or not at all."""
    html = render(
        "page.html.j2",
        package="components.validate",
        profile=profile,
        failed=[one for one in verdicts if not one.passed],
        verdicts=verdicts,
        sources=[_source(name, profile) for name in sorted(profile.sources)],
        values=profile.values,
        charts=[(TITLES[feature], histogram_svg(feature, profile, accepted)) for feature in BINS],
        by_source=[
            (name, histogram_svg("length_chars", _only(profile, name), _only(accepted, name)))
            for name in sorted(profile.sources)
        ],
        drifts=drifts,
        accepted=accepted,
        reading=lambda value: "moved" if value > _OLD else "moving" if value > _STEADY else "steady",
    )
    write_file(path, html)


def histogram_svg(feature: str, now: Profile, then: Profile | None) -> str:
    """Shares of the documents per bin as bars; the accepted corpus, where there is one, as a line."""
    edges = [float(edge) for edge in BINS[feature]]
    bars = _shares(now.histogram(feature), edges)
    line = _shares(then.histogram(feature), edges) if then and then.documents else []
    used = [i for i, share in enumerate(bars) if share or (line and line[i])]
    if not used:
        return ""
    first, last = (used[0], used[-1] + 1) if feature in _TICKS else (0, len(edges))
    highest = max([*bars, *line])
    step = (_WIDTH - 2 * _LEFT) / (last - first)

    def place(i: int, share: float) -> tuple[float, float]:
        return _LEFT + (i - first) * step, _HEIGHT - _BOTTOM - share / highest * (_HEIGHT - _BOTTOM - _TOP)

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(TITLES[feature])}">',
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _LEFT}" y1="{_HEIGHT - _BOTTOM}" y2="{_HEIGHT - _BOTTOM}"/>',
    ]
    for i in range(first, last):
        x, y = place(i, bars[i])
        title = f"{edges[i]:g} to {_end(feature, edges[i]):g}: {bars[i]:.2%}"
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(step - 1, 0.5):.1f}" '
            f'height="{_HEIGHT - _BOTTOM - y:.1f}"><title>{title}</title></rect>'
        )
    if line:
        points = " ".join(
            f"{x + step / 2:.1f},{y:.1f}" for x, y in (place(i, line[i]) for i in range(first, last))
        )
        parts.append(f'<polyline points="{points}"/>')
    for tick in _TICKS.get(feature, (0, 0.25, 0.5, 0.75, 1)):
        at = next((i for i in range(first, last) if edges[i] >= tick), None)
        if at is not None and edges[first] <= tick:
            label = f"{tick:g}" if feature in _TICKS else f"{tick:.0%}"
            parts.append(
                f'<text x="{place(at, 0)[0]:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{label}</text>'
            )
    return "".join([*parts, "</svg>"])


def _end(feature: str, edge: float) -> float:
    return next_edge(edge) if feature in _TICKS else min(1.0, round(edge + 0.05, 2))


def _shares(histogram: dict[float, int], edges: list[float]) -> list[float]:
    total = max(1, sum(histogram.values()))
    return [histogram.get(edge, 0) / total for edge in edges]


def _only(profile: Profile | None, source: str) -> Profile | None:
    if profile is None or source not in profile.sources:
        return None
    one = profile.sources[source]
    return Profile(documents=one.documents, sources={source: one})


def _source(name: str, profile: Profile) -> dict[str, Any]:
    source = profile.sources[name]
    lengths = source.histograms.get("length_chars", {})
    return {
        "name": name,
        "documents": source.documents,
        "characters": source.characters,
        "quantiles": [round(quantile(lengths, share)) for share in (0.1, 0.5, 0.9)],
        "faults": {fault: count for fault, count in sorted(source.faults.items()) if count},
    }
