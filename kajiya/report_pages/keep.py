"""The small files that a version keeps, so that its page can be made again where nothing else is left."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from kajiya.comparison import Comparison
from kajiya.report_pages.against import FILE as COMPARISON
from kajiya.report_pages.against import comparison_with_parent
from kajiya.report_pages.curves import thinned
from kajiya.report_pages.records import Records
from kajiya.report_pages.texts import FILE as TEXTS
from kajiya.shards import write_file
from kajiya.stage import beside


def keep(records: Records, folder: Path) -> None:
    """Copy what the page of a version is made from into `folder`, at the paths it has in the project.

    Curves are thinned, and of the parent's predictions only the comparison is kept. What varies from run to run
    (times, speeds, restarts) is kept too: it stands beside the lineage, and does not enter its digest.
    """
    for path in _whole_files(records):
        source = records.root / path
        if source.is_file():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / path)
    for path in _curves(records):
        if rows := thinned(records.lines(path)):
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            write_file(folder / path, lines)
    for variant in records.models:
        found = comparison_with_parent(records, variant)
        if found is not None:
            content = found.model_dump(mode="json") if isinstance(found, Comparison) else {"refused": found}
            path = folder / records.of(variant, "evaluation", COMPARISON)
            write_file(path, json.dumps(content, ensure_ascii=False, indent=2) + "\n")


def _whole_files(records: Records) -> Iterator[Path]:
    yield Path("recipes") / f"{records.recipe}.yaml"
    for made in records.stages:
        yield beside(made.out, "report")
        if made.run:
            yield beside(made.out, "run")
    for variant, made in records.models.items():
        if made.pages:
            yield made.pages / "history.jsonl"
        for file in ("results.json", TEXTS):
            yield records.of(variant, "evaluation", file)
        yield records.of(variant, "gates", "gate.json")
        yield records.of(variant, "judgements", "scores.json")


def _curves(records: Records) -> Iterator[Path]:
    for made in records.models.values():
        yield made.out / "metrics.jsonl"
        if made.pages:
            yield made.pages / "throughput.jsonl"
