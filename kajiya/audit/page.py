"""`data/clean/<source>.pages/audit.html`: what the page says, as plain values for its template."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from kajiya import __version__
from kajiya.audit.bounds import Bound, labels
from kajiya.audit.histogram import Axis, axis_of, bars_of, hidden_bounds, histogram, is_skewed, number
from kajiya.audit.measures import EMPTY, TAKEDOWN
from kajiya.audit.samples import Candidate, Excerpt, in_order, read_excerpts
from kajiya.audit.sketch import Sketch, quantiles
from kajiya.audit.source import Source, provenance
from kajiya.audit.summary import ALL, KEPT, OfBound, Summary, Tally, summarize
from kajiya.audit.what_if import Between, Steps, kept_at, steps, worth_trying
from kajiya.errors import KajiyaError
from kajiya.html_page import render
from kajiya.shards import write_file

SHARES = (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)
"""Quantiles in the table of each measure."""
_COUNTED = {
    "lines": "Boilerplate lines removed",
    "masked": "Personal data masked",
    "characters": "Characters, white space included",
}


def write_audit(source: Source, lock: Path) -> Path:
    """Write the page; returns its path. lock: dvc.lock, which may be absent."""
    summary = summarize(source.shards, source.bounds)
    _check(source, summary)
    shown = [one for bound in summary.bounds for kind in bound.candidates for one in kind]
    excerpts = read_excerpts(source.folder, shown)
    found = [steps(bound.sketch) for bound in summary.bounds]
    page = source.folder.parent / f"{source.folder.name}.pages" / "audit.html"
    rules = list(_rules(source.bounds, summary, found, excerpts))
    html = render(
        "audit/page.html.j2",
        source=source,
        provenance=[*provenance(source, lock), ("page by", f"kajiya {__version__}")],
        summary=summary,
        rejected=_less(summary.came_in, summary.kept),
        funnel=funnel(source.bounds, summary),
        rules=rules,
        counted=counted(source.report.figures),
        data=_embedded({key: value for rule in rules for key, value in rule["data"].items()}),
    )
    write_file(page, html)
    return page


def _check(source: Source, summary: Summary) -> None:
    """Raise KajiyaError unless measures and report are of one run."""
    flows = source.report.flows.values()
    told = (sum(flow.came_in for flow in flows), sum(flow.out for flow in flows))
    measured = (summary.came_in.documents, summary.kept.documents)
    if told != measured:
        raise KajiyaError(
            f"{source.folder}: the report counts {told[0]} documents in and {told[1]} kept, the measures "
            f"{measured[0]} and {measured[1]}: they are of different runs. {source.remedy}"
        )


def funnel(bounds: Sequence[Bound], summary: Summary) -> list[dict[str, Any]]:
    """One row per reason, in the order they are asked, with what each costs."""
    rows = [_row(TAKEDOWN, "", summary.came_in, summary.taken_down)]
    for label, bound, one in zip(labels(bounds), bounds, summary.bounds, strict=True):
        rows.append(
            _row(
                label,
                f"{'≥' if bound.direction == 'min' else '≤'} {number(bound.threshold)}",
                one.reached,
                one.first,
            )
            | {"anchor": bound.name, "fails": one.fails, "alone": one.alone}
        )
    return [*rows, _row(EMPTY, "", summary.kept + summary.empty, summary.empty)]


def _row(label: str, words: str, reached: Tally, first: Tally) -> dict[str, Any]:
    return {"label": label, "words": words, "reached": reached, "first": first, "anchor": None}


def _rules(
    bounds: Sequence[Bound], summary: Summary, found: Sequence[Steps], excerpts: dict[str, Excerpt]
) -> Iterator[dict[str, Any]]:
    """One section per measure; a rule with two bounds has both in one."""
    names = labels(bounds)
    for name in dict.fromkeys(bound.name for bound in bounds):
        indexes = [index for index, bound in enumerate(bounds) if bound.name == name]
        own = [bounds[index] for index in indexes]
        sketch = summary.bounds[indexes[0]].sketch
        drawing = _drawing(name, sketch, own)
        sections = [
            _bound(names[i], bounds[i], summary.bounds[i], found[i])
            | _shown(summary.bounds[i], bounds[i].threshold, excerpts)
            for i in indexes
        ]
        yield {
            "name": name,
            "rule": own[0],
            "words": ", ".join(_words(bound) for bound in own),
            "quantiles": _quantiles(sketch),
            "bounds": sections,
            "data": {
                names[i]: _for_script(bounds[i], found[i], drawing.get("axis")) | {"section": f"rule-{name}"}
                for i in indexes
            },
        } | drawing


def _drawing(name: str, sketch: Sketch, bounds: Sequence[Bound]) -> dict[str, Any]:
    if not len(sketch.key):
        return {"svg": "", "beyond": 0, "outside": []}
    axis = axis_of(sketch, bounds)
    bars = bars_of(sketch, axis)
    svg = Markup(histogram(name, axis, bars, bounds))  # noqa: S704 - it escapes the name, its only text
    outside = [_words(bound) for bound in hidden_bounds(axis, bounds)]
    scales = {"documents": is_skewed(bars), "values": axis.logarithmic}
    return {
        "svg": svg,
        "logarithmic": [what for what, yes in scales.items() if yes],
        "beyond": bars.beyond,
        "outside": outside,
        "axis": axis,
    }


def _quantiles(sketch: Sketch) -> dict[str, list[str]]:
    documents = {"all": sketch.counts[:, ALL], "kept": sketch.counts[:, KEPT]}
    return {
        kind: [number(value) for value in quantiles(sketch.low, counts, SHARES)]
        for kind, counts in documents.items()
    }


def _bound(label: str, bound: Bound, of: OfBound, found: Steps) -> dict[str, Any]:
    """What one bound did, and would do elsewhere."""
    now = kept_at(found, bound, bound.threshold).least
    tried = []
    for threshold in sorted({bound.threshold, *worth_trying(found, bound)}):
        answer = kept_at(found, bound, threshold)
        if threshold == bound.threshold or answer.least != now:
            tried.append(_try(number(threshold), answer, now, here=threshold == bound.threshold))
    free = Tally(int(found.documents.sum()), int(found.chars.sum()))
    without = _try("without it", Between(free, free), now, here=False)
    return {
        "label": label,
        "threshold": number(bound.threshold),
        "words": _words(bound),
        "of": of,
        "tried": [without, *tried] if bound.direction == "min" else [*tried, without],
        "can_try": bool(len(found.low)),
    }


def _try(words: str, answer: Between, now: Tally, here: bool) -> dict[str, Any]:
    return {
        "words": words,
        "here": here,
        "documents": _range(answer.least.documents, answer.most.documents),
        "chars": _range(answer.least.chars, answer.most.chars),
        "gain": ""
        if here
        else _range(answer.least.documents - now.documents, answer.most.documents - now.documents, "+"),
        "gain_chars": ""
        if here
        else _range(answer.least.chars - now.chars, answer.most.chars - now.chars, "+"),
    }


def _range(least: int, most: int, sign: str = "") -> str:
    words = [f"{value:{sign},}" for value in dict.fromkeys((least, most))]
    return " to ".join(words).replace("-", "\N{MINUS SIGN}")


def _shown(of: OfBound, threshold: float, excerpts: dict[str, Excerpt]) -> dict[str, Any]:
    """Documents on both sides, the ones nearest to the threshold in the middle, and rejected ones."""
    near = {one.id for one in of.candidates.failing}
    # What lies where most of the corpus lies says nothing about the threshold.
    middle = quantiles(of.sketch.low, of.sketch.counts[:, KEPT], (0.5,))
    far = abs(middle[0] - threshold) if middle else math.inf
    passing = [one for one in of.candidates.passing if one.distance < far]
    typical = [one for one in of.candidates.typical if one.id not in near]
    return {
        "passing": _samples(in_order(passing, nearest_last=True), excerpts),
        "failing": _samples(in_order(of.candidates.failing, nearest_last=False), excerpts),
        "typical": _samples(typical, excerpts),
    }


def _samples(candidates: Sequence[Candidate], excerpts: dict[str, Excerpt]) -> list[dict[str, Any]]:
    return [{"value": number(one.value), "candidate": one, "excerpt": excerpts[one.id]} for one in candidates]


def counted(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Every group of counts in the stage's report: lines removed, personal data masked, ..."""
    groups = {key: value for key, value in figures.items() if isinstance(value, dict)}
    known = [key for key in _COUNTED if key in groups]
    return [
        {"title": _COUNTED.get(key, key.replace("_", " ").capitalize()), "rows": sorted(groups[key].items())}
        for key in [*known, *sorted(groups.keys() - _COUNTED)]
    ]


def _for_script(bound: Bound, found: Steps, axis: Axis | None) -> dict[str, Any]:
    """What the page's script needs to answer: the steps, and where a value lies in the drawing."""
    return {
        "direction": bound.direction,
        "threshold": bound.threshold,
        "low": found.low.tolist(),
        "high": [None if a == b else b for a, b in zip(found.low.tolist(), found.high.tolist(), strict=True)],
        "documents": found.documents.tolist(),
        "chars": found.chars.tolist(),
        "axis": axis
        and {
            "log": axis.logarithmic,
            "whole": axis.whole,
            "low": axis.low,
            "high": axis.high,
            "begin": axis.x(axis.low),
            "end": axis.x(axis.high),
        },
    }


def _embedded(data: Any) -> Markup:
    """JSON inside a script element: nothing in it can end the element."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False, default=_plain)
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704 - see above


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(type(value).__name__)


def _words(bound: Bound) -> str:
    return f"at {'least' if bound.direction == 'min' else 'most'} {number(bound.threshold)}"


def _less(one: Tally, other: Tally) -> Tally:
    return Tally(one.documents - other.documents, one.chars - other.chars)
