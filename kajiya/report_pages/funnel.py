"""The corpus as a funnel: a bar per stage, its sources side by side, and what was rejected for which reason."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from kajiya.html_page import number, percent
from kajiya.line_chart import COLOURS
from kajiya.report_pages.records import Made
from kajiya.report_pages.words import Words

STAGES = ("crawl", "clean", "dedupe", "decontaminate", "validate", "tokenize")
"""Those that a document of the corpus passes; tuning counts records of its own."""

WIDTH, LEFT, BAR, STEP = 760, 190, 26, 62
_REASONS = 4


@dataclass
class Level:
    """One kind of stage, over all sources."""

    kind: str
    came_in: dict[str, int] = field(default_factory=dict)
    out: dict[str, int] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)

    @property
    def entered(self) -> int:
        return sum(self.came_in.values())

    @property
    def left(self) -> int:
        return sum(self.out.values())


def levels(stages: Iterable[Made]) -> list[Level]:
    """The stages of the corpus that have run, in their order; stages per source are one level together."""
    found: dict[str, Level] = {}
    for stage in stages:
        if stage.kind not in STAGES or not stage.report.flows:
            continue
        level = found.setdefault(stage.kind, Level(stage.kind))
        for source, flow in stage.report.flows.items():
            level.came_in[source] = level.came_in.get(source, 0) + flow.came_in
            level.out[source] = level.out.get(source, 0) + flow.out
            level.rejected.update(flow.rejected)
    return sorted(found.values(), key=lambda level: STAGES.index(level.kind))


def funnel(found: list[Level], words: Words) -> str:
    """SVG text; empty where no document came in anywhere."""
    most = max((level.entered for level in found), default=0)
    if not most:
        return ""
    sources = list(dict.fromkeys(source for level in found for source in level.came_in))
    colours = {source: COLOURS[number % len(COLOURS)] for number, source in enumerate(sources)}
    legend_top = 18
    top = legend_top + 18 * -(-len(sources) // 4)
    height = top + STEP * len(found) + 4
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(_spoken(found, words), True)}">',
        _hatching(words),
        *_legend(sources, colours, words),
    ]
    scale = (WIDTH - LEFT - 8) / most
    parts += [
        _connector(before.left * scale, after.entered * scale, top + row * STEP)
        for row, (before, after) in enumerate(pairwise(found), 1)
    ]
    for row, level in enumerate(found):
        y = top + row * STEP
        parts += _level(level, colours, scale, y, words)
    return "\n".join([*parts, "</svg>"])


def _hatching(words: Words) -> str:
    return (
        f'<defs><pattern id="rejected-{words.language}" width="6" height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><rect width="6" height="6" fill="#fff"/><line x1="0" y1="0" x2="0" y2="6" '
        'stroke="#8b9299" stroke-width="2.4"/></pattern></defs>'
    )


def _spoken(found: list[Level], words: Words) -> str:
    return "; ".join(
        words(
            "funnel_spoken",
            stage=level.kind,
            came_in=number(level.entered),
            out=number(level.left),
        )
        for level in found
    )


def _legend(sources: list[str], colours: dict[str, str], words: Words) -> list[str]:
    entries = [(source, colours[source]) for source in sources]
    entries.append((words("rejected"), f"url(#rejected-{words.language})"))
    parts = []
    for place, (name, fill) in enumerate(entries):
        x, y = LEFT + 146 * (place % 4), 2 + 18 * (place // 4)
        parts.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{fill}" stroke="#5b6168"/>')
        parts.append(f'<text x="{x + 17}" y="{y + 10}">{escape(_cut(name, 18))}</text>')
    return parts


def _level(level: Level, colours: dict[str, str], scale: float, y: float, words: Words) -> list[str]:
    word = words.known(f"stage_{level.kind}", level.kind)
    parts = [
        f'<text x="0" y="{y + 12}" class="name">{escape(level.kind if word == level.kind else f"{level.kind} {word}")}</text>',
        f'<text x="0" y="{y + 27}">{number(level.entered)} → {number(level.left)}</text>',
    ]
    x = float(LEFT)
    for source, count in level.out.items():
        width = count * scale
        if width:
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colours[source]}">'
                f"<title>{escape(source)}: {number(count)}</title></rect>"
            )
        x += width
    lost = level.entered - level.left
    if lost > 0:
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="{lost * scale:.1f}" height="{BAR}" '
            f'fill="url(#rejected-{words.language})" stroke="#8b9299"><title>{words("rejected")}: {number(lost)}</title></rect>'
        )
        parts.append(
            f'<text x="{LEFT}" y="{y + BAR + 14}" class="small">{escape(_reasons(level, words))}</text>'
        )
    return parts


def _reasons(level: Level, words: Words) -> str:
    lost = level.entered - level.left
    named = level.rejected.most_common(_REASONS)
    told = [f"{reason} {number(count)}" for reason, count in named]
    if rest := lost - sum(count for _, count in named):
        told.append(words("other_reasons", count=number(rest)))
    return words("lost", count=number(lost), share=percent(lost, level.entered), reasons=", ".join(told))


def _connector(before: float, after: float, y: float) -> str:
    """What flows from one bar to the next."""
    top = y - STEP + BAR
    return (
        f'<polygon points="{LEFT},{top} {LEFT + before:.1f},{top} {LEFT + after:.1f},{y} {LEFT},{y}" '
        'fill="#eef1f4"/>'
    )


def _cut(name: str, characters: int) -> str:
    return name if len(name) <= characters else f"{name[: characters - 1]}…"
