"""What each stage did to a document, with its reasons."""

from typing import Any, NamedTuple

from kajiya.errors import KajiyaError
from kajiya.trace.project import Project, output_of, rows

_FACTS = ["id", "source", "url", "title", "date", "license", "generator", "language", "text"]
_VERDICT = ["reason", "detail", "value", "threshold"]


class Step(NamedTuple):
    """One stage's part in a document's life."""

    stage: str
    outcome: str
    """`kept`, `rejected`, ..."""
    facts: dict[str, str]


class History(NamedTuple):
    """A document from its source to the corpus."""

    id: str
    steps: list[Step]
    stands_for: list[str] | None
    """Documents that were dropped as copies of this one. None: dedupe ran, and its output is not on this
    disk, so nothing is known."""
    stands_in: str | None
    """The document that stayed in place of this one."""


def history(project: Project, document: str) -> History:
    """What became of a document that `find` gave."""
    source = document.partition(":")[0]
    crawl = _crawled(project, f"crawl@{source}", document)
    clean = _cleaned(project, f"clean@{source}", document)
    dedupe = _step(project, "dedupe", document)
    steps = [crawl, clean, dedupe, _decontaminated(project, document)]
    stays = dedupe.facts.get("copy of") if dedupe else None
    return History(document, [one for one in steps if one], copies_of(project, document), stays)


def copies_of(project: Project, document: str) -> list[str] | None:
    """Documents that deduplication dropped in favour of this one: none where it never ran, None where
    it did and its output is not on this disk."""
    folder = project.folder("dedupe")
    if folder is None:
        return None if "dedupe" in project.stages else []
    dropped = rows(folder / "rejected", [document], ["id", "reason", "detail"], key="detail")
    return [row["id"] for row in dropped if row["reason"] in {"exact_duplicate", "near_duplicate"}]


def family(project: Project, document: str) -> list[str]:
    """The document, the one that stayed in its place, and all copies of either: one text to a person.

    Raises KajiyaError where dedupe ran and its output is not on this disk.
    """
    found = history(project, document)
    stays = found.stands_in or document
    copies = copies_of(project, stays)
    if copies is None:
        folder = output_of(project.stages["dedupe"]).path
        raise KajiyaError(
            f"{document}: which copies it has is unknown: {folder}, the output of dedupe, is not on this disk. "
            f"Bring it back (`dvc checkout {folder}`, or `dvc pull {folder}` from the remote), or run dedupe again."
        )
    return list(dict.fromkeys([document, stays, *copies]))


def _crawled(project: Project, stage: str, document: str) -> Step | None:
    step, row = _look(project, stage, document, _FACTS)
    if step is None or row is None:
        return step
    facts = {name: str(row[name]) for name in _FACTS[2:-1] if row.get(name) is not None}
    pinned = project.stages[stage].parameters.values()
    settings = {
        name: value for file in pinned for section in file.values() for name, value in section.items()
    }
    pins = {"revision": "revision", "wiki": "wiki", "date": "dump"}
    fixed = {pins[name]: str(value) for name, value in settings.items() if name in pins and value is not None}
    return step._replace(facts=facts | fixed | {"characters": f"{len(row['text']):,}"} | step.facts)


def _cleaned(project: Project, stage: str, document: str) -> Step | None:
    step, row = _look(project, stage, document, ["id", "text"])
    if step is None or row is None:
        return step
    facts = step.facts | {"characters": f"{len(row['text']):,}"}
    folder = project.folder(stage)
    for measured in rows(folder / "measures", [document]) if folder else ():
        skipped = {"id", "kept", "reason", "chars"}
        facts |= {name: f"{value:.4g}" for name, value in measured.items() if name not in skipped}
    return step._replace(facts=facts)


def _decontaminated(project: Project, document: str) -> Step | None:
    step, _ = _look(project, "decontaminate", document, ["id"])
    folder = project.folder("decontaminate")
    if step is None or folder is None:
        return step
    cuts = [f"{row['set']} {row['item']}" for row in rows(folder / "cuts", [document])]
    return step._replace(facts=step.facts | {"cut out": ", ".join(cuts)}) if cuts else step


def _step(project: Project, stage: str, document: str) -> Step | None:
    return _look(project, stage, document, ["id"])[0]


def _look(
    project: Project, stage: str, document: str, columns: list[str]
) -> tuple[Step | None, dict[str, Any] | None]:
    """Whether the stage kept or rejected the document, and its row; None where it never saw it."""
    folder = project.folder(stage)
    if folder is None:
        return (Step(stage, "not on this disk", {}) if stage in project.stages else None), None
    if row := next(rows(folder, [document], columns), None):
        return Step(stage, "kept", {}), row
    if row := next(rows(folder / "rejected", [document], [*columns, *_VERDICT]), None):
        return Step(stage, "rejected", _verdict(row)), row
    return None, None


def _verdict(row: dict[str, Any]) -> dict[str, str]:
    reason = row["reason"]
    detail = "copy of" if reason in {"exact_duplicate", "near_duplicate"} else "because of"
    facts = {"reason": reason, detail: row.get("detail") or ""}
    facts |= {name: f"{row[name]:.4g}" for name in ("value", "threshold") if row.get(name) is not None}
    return {name: value for name, value in facts.items() if value}
