"""reports/<recipe>.html: what a recipe's run gave, on one page that opens offline and prints well.

Made from files alone: dvc.lock says which stages there are, each output and its two reports say the
rest. A part that is missing says so on the page.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kajiya.dvc_lock import LockedStage, read_lock, upstream
from kajiya.errors import KajiyaError
from kajiya.html_page import render
from kajiya.report import Report
from kajiya.report_training import training_part
from kajiya.settings import load_yaml
from kajiya.shards import write_file
from kajiya.stage import beside

LOCK = Path("dvc.lock")
CHANCE = {"jcommonsenseqa": 1 / 5, "jnli": 1 / 3, "marc_ja": 1 / 2}
"""What guessing scores, where all choices are equally likely."""

_ASIDE = {"stderr", "truncated", "merged", "intervals", "bytes", "characters", "tokens"}
"""Measures that stand in results.json and would crowd the page."""


@dataclass(frozen=True)
class Made:
    """One stage that ran, with what lies beside its output."""

    name: str
    out: Path
    report: Report
    seconds: float | None
    """Of its last run; None where it ran on another machine."""
    peak_memory_bytes: int | None

    @property
    def variant(self) -> str:
        return self.out.name


def write_page(root: Path, recipe: str, folder: Path) -> Path:
    """Write the page of one recipe; returns its path."""
    made = read_made(root, recipe)
    page = folder / f"{recipe}.html"
    html = render(
        "report_page.html.j2",
        recipe=recipe,
        description=load_yaml(root / "recipes" / f"{recipe}.yaml").get("description", ""),
        corpus=corpus_rows(made),
        trainings=[
            part for one in made if (part := training_part(one.name, root / one.out, one.report)) is not None
        ],
        scores=score_table(made, root),
        perplexities=perplexity_table(made, root),
        quantizations=quantization_rows(made),
        stages=made,
        **_registered(recipe),
    )
    write_file(root / page, html)
    return page


def read_made(root: Path, recipe: str) -> list[Made]:
    """The stages of a recipe, and those it stands on, that have run, in their order of work."""
    if not (root / LOCK).exists():
        return []
    stages = read_lock(root / LOCK)
    outputs = [stage.outputs[0].path for stage in stages.values() if _reads_recipe(stage, recipe)]
    # Before any stage of the recipe has run, the corpus stages alone are shown.
    outputs = outputs or [
        stage.outputs[0].path for stage in stages.values() if not _reads_recipe(stage, None)
    ]
    names = upstream(stages, outputs, root / LOCK)
    return [made for name in names if (made := _made(root, stages[name])) is not None]


def _reads_recipe(stage: LockedStage, recipe: str | None) -> bool:
    """Whether a stage reads the file of this recipe (None: of any), as settings or as input."""
    paths = [*stage.parameters, *(dependency.path for dependency in stage.dependencies)]
    return any(Path(path).parent.name == "recipes" and recipe in (None, Path(path).stem) for path in paths)


def _made(root: Path, stage: LockedStage) -> Made | None:
    for output in stage.outputs:
        out = Path(output.path)
        path = beside(root / out, "report")
        if path.exists():
            run = _read_json(beside(root / out, "run")) or {}
            report = Report.model_validate_json(path.read_bytes())
            return Made(stage.name, out, report, run.get("seconds"), run.get("peak_memory_bytes"))
    return None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except json.JSONDecodeError as error:
        raise KajiyaError(
            f"{path}:{error.lineno}: not valid JSON ({error.msg}). Run its stage again."
        ) from None


def corpus_rows(made: list[Made]) -> list[dict[str, Any]]:
    """Per stage that carries documents: its total, and its sources with the reasons of rejection."""
    rows = []
    for one in made:
        if not one.report.flows:
            continue
        sources: list[dict[str, Any]] = [
            {
                "source": source,
                "came_in": flow.came_in,
                "out": flow.out,
                "rejected": [(reason, count) for reason, count in flow.rejected.most_common() if count],
            }
            for source, flow in one.report.flows.items()
        ]
        came_in = sum(source["came_in"] for source in sources)
        out = sum(source["out"] for source in sources)
        rows.append(
            {"stage": one.name, "came_in": came_in, "out": out, "sources": sources, "path": str(one.out)}
        )
    return rows


def score_table(made: list[Made], root: Path) -> dict[str, Any]:
    """One row per task, shots and metric; one column per variant, and the untrained model's."""
    results = _results(made, root)
    columns = {variant: _flatten(result.get("tasks", {})) for variant, result in results.items()}
    untrained = [_flatten(result["untrained"]) for result in results.values() if result.get("untrained")]
    if untrained:
        columns["untrained"] = untrained[0]
    return _table(columns, 3)


def perplexity_table(made: list[Made], root: Path) -> dict[str, Any]:
    """One row per source and measure; one column per variant."""
    results = _results(made, root)
    return _table({variant: _flatten(result.get("perplexity", {})) for variant, result in results.items()}, 2)


def _results(made: list[Made], root: Path) -> dict[str, dict[str, Any]]:
    found = {one.variant: _read_json(root / one.out / "results.json") for one in made}
    return {
        variant: result for variant, result in found.items() if isinstance(result, dict) and "tasks" in result
    }


def _table(columns: dict[str, dict[tuple[str, ...], float]], width: int) -> dict[str, Any]:
    """Rows by their path; a path is filled up, or its end joined, to `width` parts."""
    paths = dict.fromkeys(path for column in columns.values() for path in column if not _ASIDE & set(path))
    rows = [
        {
            "path": [*path[: width - 1], *[""] * (width - len(path)), "/".join(path[width - 1 :])][:width],
            "values": [column.get(path) for column in columns.values()],
            "chance": CHANCE.get(path[0]) if path[-1].startswith("acc") else None,
        }
        for path in paths
    ]
    return {"columns": list(columns), "rows": rows}


def _flatten(content: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], float]:
    if isinstance(content, dict):
        return {
            key: one for name, value in content.items() for key, one in _flatten(value, (*path, name)).items()
        }
    if isinstance(content, int | float) and not isinstance(content, bool):
        return {path: float(content)}
    return {}


def quantization_rows(made: list[Made]) -> list[dict[str, Any]]:
    """Sizes and errors of every stage that reports bytes before and after."""
    return [
        {"variant": one.variant, **one.report.figures} for one in made if "bytes_before" in one.report.figures
    ]


def _registered(recipe: str) -> dict[str, Any]:
    """The versions in the registry, or why it cannot be read."""
    from kajiya.registry import how_to_open, list_versions  # noqa: PLC0415  (MLflow takes seconds)

    try:
        return {"versions": list_versions(recipe), "registry_error": "", "mlflow": how_to_open()}
    except KajiyaError as error:
        return {"versions": [], "registry_error": str(error), "mlflow": how_to_open()}
