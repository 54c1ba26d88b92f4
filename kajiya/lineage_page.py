"""A lineage for people: a tree for the terminal, and a drawing in one HTML file that opens offline."""

from typing import Any, Literal

from jinja2 import Environment
from rich.text import Text
from rich.tree import Tree

from kajiya.lineage import Lineage, StageRecord

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y = 190, 58, 60, 16


def lineage_tree(lineage: Lineage) -> Tree:
    """From the version down to the raw files; a stage that two others need is told of once."""
    tree = Tree(Text(f"kajiya-{lineage.recipe} {lineage.variant}", style="bold"))
    tree.add(Text(f"lineage {lineage.digest()[:12]}"))
    tree.add(Text(_code_line(lineage)))
    if lineage.parent:
        tree.add(Text(f"made from {lineage.parent.variant}, lineage {lineage.parent.digest[:12]}"))
    for line in terms_lines(lineage):
        tree.add(Text(line))
    needed = {name for stage in lineage.stages for name in stage.needs}
    shown: set[str] = set()
    for stage in reversed(lineage.stages):
        if stage.name not in needed:
            _grow(tree, lineage, stage, shown)
    return tree


def _grow(branch: Tree, lineage: Lineage, stage: StageRecord, shown: set[str]) -> None:
    if stage.name in shown:
        branch.add(Text(f"{stage.name} (above)", style="dim"))
        return
    shown.add(stage.name)
    node = branch.add(Text.assemble((stage.name, "bold cyan"), "  ", stage_line(stage)))
    written = {out.path for one in lineage.stages for out in one.outputs}
    for data in stage.dependencies:
        if not _is_code(data.path) and not _is_inside(data.path, written):
            node.add(Text(f"{data.path}  {data.hash[:12]}"))
    for source in (source for source in lineage.sources if source.stage == stage.name):
        for name, sha256 in sorted(source.inputs.items()):
            node.add(Text(f"{name}  sha256 {sha256[:12]}", style="green"))
    for name in stage.needs:
        if needed := lineage.stage(name):
            _grow(node, lineage, needed, shown)


def stage_line(stage: StageRecord) -> str:
    """Hash of the output, and documents in and out."""
    outputs = [out for out in stage.outputs if not out.path.endswith(".report.json")]
    parts = [f"{out.path} {out.hash[:12]}" for out in outputs]
    flows = stage.report.flows.values() if stage.report else ()
    if flows:
        parts.append(f"{sum(f.came_in for f in flows):,} documents in, {sum(f.out for f in flows):,} out")
    return ", ".join(parts)


def terms_lines(lineage: Lineage) -> list[str]:
    """Records by licence and by who wrote them, for the corpus and for the data of the tuning."""
    labels: dict[Literal["licenses", "generators"], str] = {
        "licenses": "licences",
        "generators": "written by",
    }
    return [
        f"{name}, {label}: " + ", ".join(f"{value} {count:,}" for value, count in counts.items())
        for key, label in labels.items()
        for name, counts in lineage.terms(key).items()
    ]


def lineage_html(lineage: Lineage) -> str:
    """A page without any outside address: the graph as SVG, and every hash and setting below it."""
    places = _places(lineage)
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(PAGE)
    return template.render(
        lineage=lineage,
        code=_code_line(lineage),
        terms=terms_lines(lineage),
        boxes=[_box(stage, places[stage.name]) for stage in lineage.stages],
        edges=[_edge(places[need], places[stage.name]) for stage in lineage.stages for need in stage.needs],
        width=max(x for x, _ in places.values()) + BOX_WIDTH + GAP_Y,
        height=max(y for _, y in places.values()) + BOX_HEIGHT + GAP_Y,
        line=stage_line,
        inputs={source.stage: sorted(source.inputs.items()) for source in lineage.sources},
    )


def _places(lineage: Lineage) -> dict[str, tuple[int, int]]:
    """Left upper corner of each stage's box: one column per step from the sources."""
    column: dict[str, int] = {}
    rows: dict[int, int] = {}
    places = {}
    for stage in lineage.stages:
        column[stage.name] = max((column[need] + 1 for need in stage.needs), default=0)
        row = rows[column[stage.name]] = rows.get(column[stage.name], -1) + 1
        x = GAP_Y + column[stage.name] * (BOX_WIDTH + GAP_X)
        places[stage.name] = (x, GAP_Y + row * (BOX_HEIGHT + GAP_Y))
    return places


def _box(stage: StageRecord, place: tuple[int, int]) -> dict[str, Any]:
    flows = list(stage.report.flows.values()) if stage.report else []
    documents = f"{sum(f.came_in for f in flows):,} → {sum(f.out for f in flows):,}" if flows else ""
    outputs = [out for out in stage.outputs if not out.path.endswith(".report.json")]
    return {
        "x": place[0],
        "y": place[1],
        "name": stage.name,
        "hash": outputs[0].hash[:12] if outputs else "",
        "documents": documents,
    }


def _edge(start: tuple[int, int], end: tuple[int, int]) -> str:
    """An SVG path from the right side of one box to the left side of another."""
    x1, y1 = start[0] + BOX_WIDTH, start[1] + BOX_HEIGHT // 2
    x2, y2 = end[0], end[1] + BOX_HEIGHT // 2
    bend = max(GAP_X // 2, (x2 - x1) // 2)
    return f"M{x1},{y1} C{x1 + bend},{y1} {x2 - bend},{y2} {x2},{y2}"


def _code_line(lineage: Lineage) -> str:
    code = lineage.code
    if code.commit is None:
        return code.problem or "commit unknown"
    changes = f", dirty: {len(code.patch.splitlines())} lines of patch, {len(code.untracked)} unknown files"
    return f"commit {code.commit}{changes if code.dirty else ', clean'}"


def _is_code(path: str) -> bool:
    return path.split("/", maxsplit=1)[0] in {"kajiya", "components", "flows"}


def _is_inside(path: str, written: set[str]) -> bool:
    return any(path == out or path.startswith(f"{out}/") or out.startswith(f"{path}/") for out in written)


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<title>kajiya-{{ lineage.recipe }} {{ lineage.variant }}: lineage</title>
<style>
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; color: #222; }
.graph { overflow-x: auto; border: 1px solid #ddd; }
rect { fill: #f4f7fb; stroke: #4a6fa5; rx: 6; }
path { fill: none; stroke: #9ab; stroke-width: 1.5; }
svg text { font: 12px system-ui, sans-serif; } svg .hash { font: 11px monospace; fill: #567; }
code, pre { font: 12px monospace; } pre { background: #f6f6f6; padding: .5rem; overflow-x: auto; }
td { padding: 0 1rem 0 0; vertical-align: top; }
</style></head><body>
<h1>kajiya-{{ lineage.recipe }} {{ lineage.variant }}</h1>
<p>lineage <code>{{ lineage.digest() }}</code><br>{{ code }}<br>
{% if lineage.parent %}made from {{ lineage.parent.variant }}, lineage <code>{{ lineage.parent.digest }}</code><br>{% endif %}
Python {{ lineage.environment.python }}, requirements.lock <code>{{ lineage.environment.requirements_lock }}</code><br>
{% for line in terms %}{{ line }}<br>{% endfor %}</p>
<div class="graph"><svg xmlns="http://www.w3.org/2000/svg" width="{{ width }}" height="{{ height }}">
{% for edge in edges %}<path d="{{ edge }}"/>
{% endfor %}
{% for box in boxes %}<a href="#{{ box.name }}"><g transform="translate({{ box.x }},{{ box.y }})">
<rect width="190" height="58"/><text x="10" y="20" font-weight="bold">{{ box.name }}</text>
<text x="10" y="36" class="hash">{{ box.hash }}</text><text x="10" y="51">{{ box.documents }}</text></g></a>
{% endfor %}</svg></div>
<h2>Stages, sources first</h2>
{% for stage in lineage.stages %}
<details id="{{ stage.name }}"><summary><b>{{ stage.name }}</b> {{ line(stage) }}</summary>
<pre>{{ stage.command }}</pre>
<table>
{% for name, sha256 in inputs.get(stage.name, []) %}<tr><td>raw file</td><td>{{ name }}</td><td><code>sha256 {{ sha256 }}</code></td></tr>
{% endfor %}
{% for data in stage.dependencies %}<tr><td>in</td><td>{{ data.path }}</td><td><code>{{ data.hash }}</code></td></tr>
{% endfor %}
{% for data in stage.outputs %}<tr><td>out</td><td>{{ data.path }}</td><td><code>{{ data.hash }}</code></td></tr>
{% endfor %}
</table>
<pre>{{ stage.parameters | tojson(2) }}</pre></details>
{% endfor %}
<h2>Files of the model (SHA-256)</h2>
<table>{% for name, sha256 in lineage.model_files.items() %}<tr><td>{{ name }}</td><td><code>{{ sha256 }}</code></td></tr>
{% endfor %}</table>
{% if lineage.code.untracked %}<h2>Files unknown to git</h2><pre>{{ lineage.code.untracked | join("\n") }}</pre>{% endif %}
{% if lineage.code.patch %}<h2>Uncommitted changes</h2><pre>{{ lineage.code.patch }}</pre>{% endif %}
</body></html>
"""
