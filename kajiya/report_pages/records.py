"""What a page is made from: reports, curves, scores and texts of one recipe, at their paths in the project.

A registered version keeps copies of these small files at the same paths, in its artifact folder `reports/`. So the same
code makes the page of a recipe from the working tree, and the page of a version from the registry alone.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kajiya.dvc_lock import LockedStage, read_lock, upstream
from kajiya.errors import KajiyaError
from kajiya.lineage import Lineage
from kajiya.recipe_file import LISTS, NO_BASE
from kajiya.report import Report
from kajiya.run_record import read_run
from kajiya.settings import load_yaml
from kajiya.stage import beside

LOCK = Path("dvc.lock")
MODEL_STAGES = ("pretrain", *LISTS)
"""Stages that make a variant."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Made:
    """One stage that ran, with what lies beside its output."""

    name: str
    out: Path
    digest: str
    """Hash of the output, as DVC took it."""
    needs: tuple[str, ...]
    """Stages whose outputs it reads."""
    reads: frozenset[str]
    """Paths of all that it reads."""
    parameters: dict[str, dict[str, Any]]
    report: Report
    run: Row
    """What the run that made the output took; empty where it ran on another machine, or was restored from a cache."""

    @property
    def kind(self) -> str:
        """The stage's name without its item: `clean` of clean@c4."""
        return self.name.partition("@")[0]

    @property
    def variant(self) -> str:
        return self.out.name

    @property
    def pages(self) -> Path | None:
        """The untracked folder beside the output, with the run's speeds and story; None where it is another run's."""
        return pages_of(self.out) if self.run else None


@dataclass(frozen=True)
class Records:
    root: Path
    """The project's folder, or the folder with the copies that a version keeps."""
    recipe: str
    stages: tuple[Made, ...]
    """In an order of work."""
    lineage: Lineage | None = None
    """Of a version."""

    @cached_property
    def models(self) -> dict[str, Made]:
        """The stage that made each variant, by its name: parents first."""
        return {stage.variant: stage for stage in self.stages if stage.kind in MODEL_STAGES}

    def parent(self, variant: str) -> str | None:
        makers = {stage.name: name for name, stage in self.models.items()}
        return next((makers[need] for need in self.models[variant].needs if need in makers), None)

    @property
    def from_scratch(self) -> bool:
        """Whether the weights began at random, rather than as another's."""
        pretrain = self.stage("pretrain")
        return pretrain is not None and NO_BASE in pretrain.reads

    @cached_property
    def remembered(self) -> dict[str, Any]:
        """What is dear to find, for the other language."""
        return {}

    @property
    def subject(self) -> str | None:
        """The variant that the page is about; None for a page of all."""
        return self.lineage.variant if self.lineage else None

    @property
    def shown(self) -> dict[str, Made]:
        """The variants that a page tells of one by one."""
        return {name: made for name, made in self.models.items() if self.subject in (None, name)}

    @cached_property
    def absent(self) -> tuple[str, ...]:
        """Variants of the recipe that have not been made here; of a version's page, which has one line, none."""
        if self.lineage:
            return ()
        variants = self.recipe_file().get("variants")
        named = dict.fromkeys(("base", *(variants if isinstance(variants, dict) else ())))
        return tuple(name for name in named if name not in self.models)

    def of(self, variant: str, kind: str, file: str = "") -> Path:
        """Below the folder of all models of the recipe: `evaluation/<variant>/results.json`."""
        return self.models[variant].out.parent / kind / variant / file

    def stage(self, kind: str) -> Made | None:
        return next((stage for stage in self.stages if stage.kind == kind), None)

    def results(self, variant: str) -> Row:
        """Of the evaluation; empty where there was none."""
        found = self.read(self.of(variant, "evaluation", "results.json"))
        return found if isinstance(found, dict) else {}

    def recipe_file(self) -> Row:
        path = self.root / "recipes" / f"{self.recipe}.yaml"
        return load_yaml(path) if path.exists() else {}

    def read(self, path: Path) -> Any:
        return _read_json(self.root / path)

    def lines(self, path: Path) -> list[Row]:
        return read_lines(self.root / path)

    def of_run(self, made: Made, file: str) -> list[Row]:
        """Of a file that the run which made the output left in its pages."""
        return self.lines(made.pages / file) if made.pages else []


def _read_json(path: Path) -> Any:
    """None where there is no such file."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except json.JSONDecodeError as error:
        raise KajiyaError(
            f"{path}:{error.lineno}: not valid JSON ({error.msg}). Run its stage again."
        ) from None


def pages_of(out: Path) -> Path:
    """The untracked folder beside a stage's output."""
    return out.parent / f"{out.name}.pages"


def read_lines(path: Path) -> list[Row]:
    """Objects of a file of JSON lines; a line that a kill cut off is left out."""
    if not path.exists():
        return []
    rows = []
    # Of bytes: str.splitlines would also break at U+2028 and its like, which JSON leaves as they are.
    for line in path.read_bytes().splitlines():
        try:
            row = json.loads(line)
        except ValueError:  # also half a character
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def of_tree(root: Path, recipe: str) -> Records:
    """All variants of a recipe, and what they stand on, as far as they have been made."""
    if not (root / LOCK).exists():
        return Records(root, recipe, ())
    stages = read_lock(root / LOCK)
    outputs = [stage.outputs[0].path for stage in stages.values() if _reads_recipe(stage, recipe)]
    # Before any stage of the recipe has run, the corpus stages alone are shown.
    outputs = outputs or [
        stage.outputs[0].path for stage in stages.values() if not _reads_recipe(stage, None)
    ]
    needs = upstream(stages, outputs, root / LOCK)
    made = (_made(root, stages[name], tuple(need)) for name, need in needs.items())
    return Records(root, recipe, tuple(one for one in made if one is not None))


def of_lineage(root: Path, lineage: Lineage) -> Records:
    """One version and what it stands on. root: the project, or the version's `reports/`."""
    made = (_made(root, stage, stage.needs, stage.report) for stage in lineage.stages)
    return Records(root, lineage.recipe, tuple(one for one in made if one is not None), lineage)


def _reads_recipe(stage: LockedStage, recipe: str | None) -> bool:
    """Whether a stage reads the file of this recipe (None: of any), as settings or as input."""
    paths = [*stage.parameters, *(dependency.path for dependency in stage.dependencies)]
    return any(Path(path).parent.name == "recipes" and recipe in (None, Path(path).stem) for path in paths)


def _made(root: Path, stage: LockedStage, needs: tuple[str, ...], known: Report | None = None) -> Made | None:
    for output in stage.outputs:
        out = Path(output.path)
        path = beside(root / out, "report")
        report = known or (Report.model_validate_json(path.read_bytes()) if path.exists() else None)
        if report is not None and not output.path.endswith(".report.json"):
            reads = frozenset(dependency.path for dependency in stage.dependencies)
            return Made(
                stage.name, out, output.hash, needs, reads, stage.parameters, report, read_run(root / out)
            )
    return None
