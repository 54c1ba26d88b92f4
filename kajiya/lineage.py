"""Where a model version comes from: code, settings, and the hash of everything down to the sources.

A lineage is a pure function of the commit, the uncommitted changes, dvc.lock and the reports, so
its digest names a version: the same work registered twice is recognised by it.
"""

import hashlib
import platform
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict

from kajiya.dvc_lock import Hashed, LockedStage, check_unchanged, file_hash, read_lock, upstream
from kajiya.errors import KajiyaError
from kajiya.git import CodeState, code_state
from kajiya.recipe_file import Shrunk
from kajiya.recipe_loading import load_recipe
from kajiya.report import Report
from kajiya.shards import list_shards

REPORT = ".report.json"
# The stage whose output is the corpus: what it is made of is counted there.
CORPUS_STAGE = "decontaminate"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Environment(_Record):
    """What the code ran on."""

    python: str
    requirements_lock: str | None
    """SHA-256 of requirements.lock; null when there is none."""


class StageRecord(LockedStage):
    """One stage that the model comes from, as dvc.lock and its report tell it."""

    needs: tuple[str, ...]
    """Stages whose outputs it reads."""
    report: Report | None
    """Counts and scores; null for a stage without a report."""


class Source(_Record):
    """Raw input of one crawl."""

    name: str
    stage: str
    inputs: dict[str, str]
    """SHA-256 by name of each raw file, as the crawl read it."""
    documents: int
    """Documents that the crawl made of it."""


class CorpusPart(_Record):
    """Documents of the corpus that share source, licence, generator and language."""

    source: str
    license: str
    generator: str
    language: str
    documents: int


class Parent(_Record):
    """The version that this one continues from."""

    variant: str
    digest: str
    """Digest of its lineage."""


class Lineage(_Record):
    """Everything a model version was made of and by."""

    recipe: str
    variant: str
    parent: Parent | None
    code: CodeState
    environment: Environment
    recipe_file: Hashed
    shrunk: Shrunk | None = None
    """Of a trial at toy size (`kajiya run --shrink`): the recipe that was shrunk."""
    model_files: dict[str, str]
    """SHA-256 by name of each file of the model."""
    stages: tuple[StageRecord, ...]
    """In an order of work: sources first."""
    sources: tuple[Source, ...]
    corpus: tuple[CorpusPart, ...]

    def digest(self) -> str:
        """SHA-256 that names this version."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def data_digest(self) -> str:
        """SHA-256 over the hashes of the corpus and the raw inputs alone."""
        corpus = [out.hash for stage in self.stages if stage.name == CORPUS_STAGE for out in stage.outputs]
        inputs = [
            f"{s.name}/{name}:{value}" for s in self.sources for name, value in sorted(s.inputs.items())
        ]
        return hashlib.sha256("\n".join([*corpus, *inputs]).encode()).hexdigest()

    def terms(self, key: Literal["licenses", "generators"]) -> dict[str, dict[str, int]]:
        """Records by licence, or by who wrote them: of the corpus, and of each stage whose report counts them."""
        corpus: Counter[str] = Counter()
        for part in self.corpus:
            corpus[part.license if key == "licenses" else part.generator] += part.documents
        counts = {"corpus": dict(sorted(corpus.items()))}
        for stage in self.stages:
            stated = stage.report.figures.get(key) if stage.report else None
            if isinstance(stated, dict):
                counts[stage.name] = stated
        return {name: count for name, count in counts.items() if count}

    def stage(self, name: str) -> StageRecord | None:
        return next((stage for stage in self.stages if stage.name == name), None)


def collect_lineages(models: Path, root: Path) -> dict[str, Lineage]:
    """The lineage of every variant of one recipe, parents first.

    models: folder models/<recipe>, relative to the project's folder `root`. Raises KajiyaError when
    dvc.lock, the recipe or a model is missing, or a model is not the one that dvc.lock records.
    """
    lock = root / "dvc.lock"
    stages = read_lock(lock)
    recipe = models.name
    recipe_file = root / "recipes" / f"{recipe}.yaml"
    if not recipe_file.exists():
        raise KajiyaError(f"{recipe_file}: no such recipe. {models} must be named like a file in recipes/.")
    read = load_recipe(recipe_file)
    shared: dict[str, Any] = {
        "recipe": recipe,
        "shrunk": read.shrunk,
        # A trial runs in a copy of the code, in a folder that git ignores.
        "code": code_state(root, whole=read.shrunk is not None),
        "environment": environment(root),
        "recipe_file": Hashed(path=f"recipes/{recipe}.yaml", hash=file_hash(recipe_file, "sha256")),
    }
    lineages: dict[str, Lineage] = {}
    for variant, parent in read.parents().items():
        model, scores = models / variant, models / "evaluation" / variant
        targets = [model.as_posix(), scores.as_posix()]
        if parent:
            targets.append((models / "gates" / variant).as_posix())
        if variant in read.judged:
            targets.append((models / "judgements" / variant).as_posix())
        records = _stage_records(stages, targets, root)
        if parent:
            _check_parent(records, model.as_posix(), (models / parent).as_posix(), recipe_file)
        lineages[variant] = Lineage(
            **shared,
            variant=variant,
            parent=Parent(variant=parent, digest=lineages[parent].digest()) if parent else None,
            model_files=_file_hashes(root / model),
            stages=records,
            sources=_sources(records),
            corpus=_corpus(records, root),
        )
    return lineages


def _check_parent(records: tuple[StageRecord, ...], model: str, parent: str, recipe: Path) -> None:
    maker = next(record for record in records if any(out.path == model for out in record.outputs))
    if all(dependency.path != parent for dependency in maker.dependencies):
        raise KajiyaError(
            f"{recipe}: says that {model} is made from {parent}, but by dvc.lock {maker.name} did not read that. "
            "Bring params.yaml into line (`kajiya recipes add`), then run the pipeline."
        )


def environment(root: Path) -> Environment:
    lock = root / "requirements.lock"
    return Environment(
        python=platform.python_version(),
        requirements_lock=file_hash(lock, "sha256") if lock.exists() else None,
    )


def _stage_records(stages: dict[str, LockedStage], targets: list[str], root: Path) -> tuple[StageRecord, ...]:
    lock = root / "dvc.lock"
    order = upstream(stages, targets, lock)
    for output in (out for name in order for out in stages[name].outputs if out.path in targets):
        check_unchanged(output, root, lock)
    return tuple(
        StageRecord(**dict(stages[name]), needs=tuple(needs), report=_report(stages[name], root))
        for name, needs in order.items()
    )


def _report(stage: LockedStage, root: Path) -> Report | None:
    for output in stage.outputs:
        if output.path.endswith(REPORT):
            check_unchanged(output, root, root / "dvc.lock")
            return Report.model_validate_json((root / output.path).read_bytes())
    return None


def _sources(records: tuple[StageRecord, ...]) -> tuple[Source, ...]:
    found = []
    for record in records:
        inputs = record.report.figures.get("inputs") if record.report else None
        if record.report and isinstance(inputs, dict):
            documents = sum(flow.out for flow in record.report.flows.values())
            name = record.name.partition("@")[2] or record.name
            found.append(Source(name=name, stage=record.name, inputs=inputs, documents=documents))
    return tuple(found)


def _corpus(records: tuple[StageRecord, ...], root: Path) -> tuple[CorpusPart, ...]:
    stage = next((record for record in records if record.name == CORPUS_STAGE), None)
    if stage is None:
        return ()
    folder = next(root / out.path for out in stage.outputs if not out.path.endswith(REPORT))
    keys = ["source", "license", "generator", "language"]
    counts = pl.scan_parquet(list_shards(folder)).group_by(keys).agg(documents=pl.len()).sort(keys).collect()
    return tuple(CorpusPart(**row) for row in counts.iter_rows(named=True))


def _file_hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_hash(path, "sha256") for path in files}
