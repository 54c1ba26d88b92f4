"""Find what the clean stage left of a source: where dvc.yaml says, and what dvc.lock recorded of the run."""

import difflib
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from kajiya.audit.bounds import Bound, digest, read_bounds
from kajiya.audit.measures import measure_shards
from kajiya.dvc_lock import file_hash, read_lock
from kajiya.errors import KajiyaError
from kajiya.report import Report
from kajiya.settings import load_yaml
from kajiya.workplace import beside

STAGE = "clean"


class Source(NamedTuple):
    """A cleaned source on this disk."""

    name: str
    folder: Path
    bounds: list[Bound]
    shards: list[Path]
    """Of the measures."""
    report: Report
    remedy: str
    """What to do when something of it is missing or does not fit."""

    @property
    def stage(self) -> str:
        return f"{STAGE}@{self.name}"


def find_source(target: str, pipeline: Path, params: Path) -> Source:
    """The output of `clean@SOURCE`. Raises KajiyaError where there is none, or one without measures."""
    stage, _, name = target.partition("@")
    known = list(load_yaml(params).get("sources") or {})
    listed = ", ".join(f"{STAGE}@{one}" for one in known) or "none"
    if stage != STAGE or not name:
        raise KajiyaError(
            f"`{target}` cannot be audited: only the clean stage leaves measures. There are: {listed}."
        )
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {STAGE}@{near[0]}?" if near else f"There are: {listed}."
        raise KajiyaError(f"no source `{name}` under `sources` in {params}. {hint}")
    folder = _output(pipeline, name)
    remedy = f"Run the stage: `kajiya run --until {STAGE}@{name}`."
    report = beside(folder, "report")
    if not folder.is_dir() or not report.exists():
        raise KajiyaError(f"{folder}: not written yet. {remedy}")
    bounds = read_bounds(folder, remedy)
    shards = measure_shards(folder, remedy)
    return Source(name, folder, bounds, shards, Report.model_validate_json(report.read_bytes()), remedy)


def _output(pipeline: Path, source: str) -> Path:
    """Where dvc.yaml lets the stage write."""
    try:
        (out,) = load_yaml(pipeline)["stages"][STAGE]["do"]["outs"]
        return Path(out.replace("${key}", source))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise KajiyaError(
            f"{pipeline}: stages.{STAGE}.do.outs: expected one path with ${{key}} in it."
        ) from None


def provenance(source: Source, lock: Path) -> list[tuple[str, str]]:
    """What identifies the output, as far as dvc.lock tells of this very run: words and values."""
    rows = [("bounds (rules.json)", f"sha256 {digest(source.folder)[:16]}")]
    stage = read_lock(lock).get(source.stage) if lock.exists() else None
    report = beside(source.folder, "report")
    recorded = {one.path: one.hash for one in (*stage.outputs, *stage.dependencies)} if stage else {}
    if stage is None or recorded.get(report.as_posix()) != file_hash(report):
        return [*rows, ("settings, hashes", "unknown: dvc.lock does not record this run")]
    settings = {key: value for section in stage.parameters.values() for key, value in section.items()}
    rows.append(("settings", _one_line(settings.get(f"{STAGE}.{source.name}", {}))))
    rows.append(("output", f"{source.folder.as_posix()} {recorded.get(source.folder.as_posix(), '')}"))
    return rows + [
        ("made by" if one.path.startswith("components/") else "made from", f"{one.path} {one.hash}")
        for one in stage.dependencies
        if not one.path.startswith("kajiya/")
    ]


def _one_line(settings: Any) -> str:
    return yaml.safe_dump(settings, default_flow_style=True, allow_unicode=True, width=10_000).strip()
