"""A model version per variant in the MLflow registry, with all that is known about it.

IN is models/<recipe> with the variants that its recipe names and their evaluation. Each becomes a
version of the registered model `kajiya-<recipe>`: the model's files, a model card, the
reports and scores, curves, and the lineage from the git commit and dvc.lock down to the hash of
every crawled file. A variant's parent is the version it was made from.

The registry is the server or database in MLFLOW_TRACKING_URI, else `mlflow.db` and `mlartifacts/`
in the project's folder. A version is known by the digest of its lineage: registering the same work
again finds it, and a stage that was killed goes on where it stopped. OUT holds `lineage.json` and
`model_card.md` per variant; version numbers depend on the registry and are printed instead.
"""

import shutil
import tempfile
from pathlib import Path

from components.register.card import model_card
from components.register.gate import gate_metrics, verdict_on
from components.register.page import publish_page
from components.register.plots import plot_loss
from components.register.scores import flatten, read_curve, read_json, weights_bytes
from components.register.settings import RegisterSettings
from components.register.versions import Candidate, register_version
from kajiya.errors import KajiyaError
from kajiya.gate_verdict import FILE as GATE_FILE
from kajiya.lineage import Lineage, collect_lineages
from kajiya.lineage_page import lineage_html
from kajiya.registry import PREFIX, connect, shown_uri
from kajiya.report import Report
from kajiya.report_pages.hung import RECORDS
from kajiya.report_pages.keep import keep
from kajiya.report_pages.records import of_lineage
from kajiya.shards import write_file


def run(config: RegisterSettings, models: Path, *, out: Path) -> Report:
    """Register every variant of one recipe. The project's folder is the current one."""
    root = Path.cwd()
    if not models.resolve().is_relative_to(root):
        raise KajiyaError(
            f"{models}: not in {root}, where dvc.lock would tell of it. Run in the project's folder."
        )
    models = models.resolve().relative_to(root)
    lineages = collect_lineages(models, root)
    versions: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="kajiya-register-") as folder:
        candidates = {
            variant: prepare(config, lineage, models, Path(folder) / variant)
            for variant, lineage in lineages.items()
        }
        client = connect()
        for variant, candidate in candidates.items():
            parent = candidate.lineage.parent
            before = versions[parent.variant] if parent else None
            versions[variant] = register_version(client, candidate, before)
            publish_page(client, candidate.lineage, versions[variant], Path(folder) / variant / RECORDS)
            print(f"{PREFIX}{models.name}/{versions[variant]}  {variant}  at {shown_uri()}")
        for variant in candidates:
            for name in ("lineage.json", "model_card.md"):
                write_file(out / variant / name, (Path(folder) / variant / name).read_bytes())
    return Report(figures={variant: _figures(candidates[variant]) for variant in candidates})


def prepare(config: RegisterSettings, lineage: Lineage, models: Path, folder: Path) -> Candidate:
    """Gather and write everything the version shall carry; reads nothing from the registry."""
    model, evaluation = models / lineage.variant, models / "evaluation" / lineage.variant
    results = read_json(evaluation / "results.json")
    results.pop("seed", None)  # a number, but no score
    size = weights_bytes(model)
    judged = judgements_of(lineage, models)
    scores = flatten(results) | (
        flatten(read_json(judged / "scores.json")["sets"], "judged") if judged else {}
    )
    curve = read_curve(model)
    report = lineage_report(lineage, model)
    gate = models / "gates" / lineage.variant
    verdict = verdict_on(lineage.variant, lineage.parent.variant, gate) if lineage.parent else None
    write_file(folder / "model_card.md", model_card(lineage, scores, size, config, verdict))
    if verdict:
        write_file(folder / "gate" / GATE_FILE, (gate / GATE_FILE).read_bytes())
    write_file(folder / "lineage.json", lineage.model_dump_json(indent=2) + "\n")
    write_file(folder / "lineage.html", lineage_html(lineage))
    if lineage.code.patch:
        write_file(folder / "code.patch", lineage.code.patch)
    plot_loss(curve, f"{lineage.recipe} {lineage.variant}", folder / "plots" / "loss.png")
    _copy_records(lineage, evaluation, folder)
    for file in sorted(judged.iterdir()) if judged else ():
        write_file(folder / "judgements" / file.name, file.read_bytes())
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    files |= {f"model/{name}": model / name for name in lineage.model_files}
    return Candidate(
        lineage=lineage,
        files=dict(sorted(files.items())),
        scores={
            **scores,
            **flatten(report.figures, "report"),
            **(gate_metrics(verdict) if verdict else {}),
            "weights_bytes": float(size),
        },
        curve=curve,
        settings=_settings(lineage),
        verdict=verdict,
    )


def judgements_of(lineage: Lineage, models: Path) -> Path | None:
    """The folder of what a judge said of the variant, if the lineage has one."""
    folder = models / "judgements" / lineage.variant
    made = {out.path for stage in lineage.stages for out in stage.outputs}
    return folder if folder.as_posix() in made else None


def lineage_report(lineage: Lineage, model: Path) -> Report:
    """The report of the stage that wrote the model."""
    path = model.as_posix()
    reports = [s.report for s in lineage.stages if s.report and path in {out.path for out in s.outputs}]
    return reports[0] if reports else Report()


def _copy_records(lineage: Lineage, evaluation: Path, folder: Path) -> None:
    """Copies of what the version was made by, so that it can be read without the repository."""
    keep(of_lineage(Path(), lineage), folder / RECORDS)
    (folder / "evaluation").mkdir()
    for file in sorted(path for path in evaluation.iterdir() if path.is_file()):
        shutil.copyfile(file, folder / "evaluation" / file.name)
    for file in (Path("dvc.lock"), Path("params.yaml"), Path(lineage.recipe_file.path)):
        if file.exists():
            shutil.copyfile(file, folder / file.name)


def _settings(lineage: Lineage) -> dict[str, str]:
    """Settings of every stage of the recipe and the corpus, by `<stage>.<key>`, as text."""
    found: dict[str, str] = {}
    for stage in lineage.stages:
        for sections in stage.parameters.values():
            for section, values in sections.items():
                if isinstance(values, dict):
                    found |= {f"{section}.{key}": str(value)[:6000] for key, value in values.items()}
    return dict(sorted(found.items()))


def _figures(candidate: Candidate) -> dict[str, object]:
    """What the stage's report says about a variant: nothing that depends on the registry's state."""
    return {
        "lineage": candidate.lineage.digest(),
        "weights_bytes": int(candidate.scores["weights_bytes"]),
        "scores": {
            name: value for name, value in candidate.scores.items() if name.startswith(("tasks/", "judged/"))
        },
    }
