"""Make a model version in MLflow once and whole, however often the stage is killed and run again.

A run carries the digest of its lineage from its first moment, so a later attempt finds it and adds
what is missing. The version is made last, in one transaction: a version that exists is complete.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.register.gate import gate_tags
from components.register.scores import Point
from kajiya.engine import progress
from kajiya.errors import KajiyaError
from kajiya.gate_verdict import GateVerdict
from kajiya.lineage import Lineage
from kajiya.registry import LINEAGE_TAG, PREFIX, reachable, shown_uri, tracking_uri
from kajiya.report_pages.hung import PAGE, PAGE_TAG, artifact_link

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# What one call of log_batch takes.
METRICS_A_CALL = 1000
PARAMS_A_CALL = 100


@dataclass(frozen=True)
class Candidate:
    """All that a version shall carry."""

    lineage: Lineage
    files: dict[str, Path]
    """Files by their path among the run's artifacts; those of the model begin with `model/`."""
    scores: dict[str, float]
    curve: list[Point]
    settings: dict[str, str]
    verdict: GateVerdict | None
    """Of its gate; None for the base model, which was made from no other."""


def register_version(client: "MlflowClient", candidate: Candidate, parent_version: int | None) -> int:
    """The number of the candidate's version: made, completed, or found."""
    lineage = candidate.lineage
    name = PREFIX + lineage.recipe
    with reachable():
        _ensure_model(client, name)
        if existing := find_version(client, name, lineage.digest()):
            return existing
        tags = version_tags(lineage, parent_version) | gate_tags(candidate.verdict)
        run = _find_run(client, name, lineage) or _start_run(client, name, lineage, tags)
        _log_numbers(client, run, candidate)
        _upload_missing(client, run, candidate)
        client.set_terminated(run.info.run_id, "FINISHED")
        version = client.create_model_version(
            name,
            source=f"{run.info.artifact_uri}/model",
            run_id=run.info.run_id,
            tags=tags | {PAGE_TAG: f"runs:/{run.info.run_id}/{PAGE}"},
            description=_description(lineage, run),
        )
        return int(version.version)


def _description(lineage: Lineage, run: "Run") -> str:
    """Markdown: MLflow's page of the version shows it, with links to what lies beside the weights."""
    where = (run.info.experiment_id, run.info.run_id)
    links = [f"[{file}]({artifact_link(*where, file)})" for file in (PAGE, "model_card.md", "lineage.html")]
    return f"{lineage.recipe} {lineage.variant}: {', '.join(links)}"


def find_version(client: "MlflowClient", name: str, digest: str) -> int | None:
    """The version of this lineage, if there is one; of several, the first."""
    condition = f"name='{name}' and tags.`{LINEAGE_TAG}`='{digest}'"
    found = [int(version.version) for version in client.search_model_versions(condition)]
    return min(found, default=None)


def version_tags(lineage: Lineage, parent_version: int | None) -> dict[str, str]:
    """Tags of the run and of the version."""
    code = lineage.code
    return {
        LINEAGE_TAG: lineage.digest(),
        "recipe": lineage.recipe,
        "variant": lineage.variant,
        "git_commit": code.commit or "unknown",
        "git_dirty": "unknown" if code.dirty is None else str(code.dirty).lower(),
        "data_hash": lineage.data_digest(),
        "parent_version": "none" if parent_version is None else str(parent_version),
        "licenses": ", ".join(
            sorted({one for counts in lineage.terms("licenses").values() for one in counts})
        ),
        "generators": ", ".join(
            sorted({one for counts in lineage.terms("generators").values() for one in counts})
        ),
    }


def _ensure_model(client: "MlflowClient", name: str) -> None:
    if not client.search_registered_models(f"name='{name}'"):
        client.create_registered_model(
            name, description="Made by kajiya; one version per variant and lineage."
        )


def _experiment(client: "MlflowClient", name: str) -> str:
    if experiment := client.get_experiment_by_name(name):
        if experiment.lifecycle_stage != "active":
            raise KajiyaError(
                f"MLflow at {shown_uri()}: experiment {name} is deleted. Restore it "
                f"(`mlflow experiments restore -x {experiment.experiment_id}`) and run again."
            )
        return experiment.experiment_id
    # A server decides itself where artifacts lie; for a bare database it would be the folder mlruns.
    remote = tracking_uri().startswith(("http://", "https://"))
    location = None if remote else (Path.cwd() / "mlartifacts" / name).as_uri()
    return client.create_experiment(name, artifact_location=location)


def _find_run(client: "MlflowClient", name: str, lineage: Lineage) -> "Run | None":
    condition = f"tags.`{LINEAGE_TAG}`='{lineage.digest()}'"
    found = client.search_runs([_experiment(client, name)], condition, order_by=["attributes.start_time ASC"])
    return found[0] if found else None


def _start_run(client: "MlflowClient", name: str, lineage: Lineage, tags: dict[str, str]) -> "Run":
    title = f"{lineage.variant}-{lineage.digest()[:8]}"
    return client.create_run(_experiment(client, name), run_name=title, tags=tags)


def _log_numbers(client: "MlflowClient", run: "Run", candidate: Candidate) -> None:
    from mlflow.entities import Metric, Param  # noqa: PLC0415 (seconds; `--help` does without)

    # The run's own time for every point: logging again after a crash then adds no second value.
    time = run.info.start_time
    metrics = [Metric(name, value, time, 0) for name, value in candidate.scores.items()]
    metrics += [Metric(f"training/{p.name}", p.value, time, p.step) for p in candidate.curve]
    for batch in _batches(metrics, METRICS_A_CALL):
        client.log_batch(run.info.run_id, metrics=batch)
    params = [Param(name, value) for name, value in candidate.settings.items()]
    for batch in _batches(params, PARAMS_A_CALL):
        client.log_batch(run.info.run_id, params=batch)


def _upload_missing(client: "MlflowClient", run: "Run", candidate: Candidate) -> None:
    """Upload the files that are absent or were cut short."""
    present = _artifact_sizes(client, run.info.run_id)
    missing = {
        target: file for target, file in candidate.files.items() if present.get(target) != file.stat().st_size
    }
    for target, file in progress(missing.items(), f"register {candidate.lineage.variant}", len(missing)):
        folder = target.rpartition("/")[0] or None
        client.log_artifact(run.info.run_id, str(file), folder)


def _artifact_sizes(client: "MlflowClient", run_id: str, folder: str | None = None) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for entry in client.list_artifacts(run_id, folder):
        sizes |= (
            _artifact_sizes(client, run_id, entry.path) if entry.is_dir else {entry.path: entry.file_size}
        )
    return sizes


def _batches(items: list[Any], size: int) -> list[list[Any]]:
    return [items[first : first + size] for first in range(0, len(items), size)]
