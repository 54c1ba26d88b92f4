"""Great Expectations over the corpus: nothing is trained on a corpus that fails.

Looks at the form of the shards, at ids, licences, generators and languages against what the
settings allow, at lengths, at the share of Japanese script, at repeated texts and at personal data
that the cleaning should have masked.

OUT holds `summary.json`: every expectation with what was observed. The Data Docs, pages for a
browser, lie beside it in `OUT.pages/index.html`, also when the corpus failed. A failed expectation
ends the run with its name, the observed value and sample rows; nothing is then published as OUT. An
exception inside an expectation is reported as an error of the check.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import polars as pl

from components.validate.examination import Examiner, Verdict
from components.validate.features import describe_documents, describe_shards, excerpts
from components.validate.settings import ValidateSettings
from components.validate.suite import document_suite, shard_suite
from kajiya.errors import KajiyaError
from kajiya.report import Flow, Report
from kajiya.shards import write_file


def run(config: ValidateSettings, corpus: Path, *, out: Path, pages: Path) -> Report:
    """Check the corpus; raise KajiyaError naming what failed."""
    with tempfile.TemporaryDirectory(prefix="kajiya-validate-") as folder:
        examiner = Examiner(Path(folder), config.sample_rows)
        try:
            verdicts, documents = _examine(config, corpus, examiner, pages)
        finally:
            page = examiner.publish(pages)
    write_file(out / "summary.json", _json([verdict.model_dump() for verdict in verdicts]))
    print(f"validate: {len(verdicts)} expectations hold. Data Docs: {page}")
    return summarize(verdicts, documents)


def _examine(
    config: ValidateSettings, corpus: Path, examiner: Examiner, pages: Path
) -> tuple[list[Verdict], pl.DataFrame]:
    shards = describe_shards(corpus).with_row_index("row")
    form = examiner.examine("shards", shards, shard_suite())
    names = dict(enumerate(f"{corpus / name}" for name in shards["shard"]))
    raise_for_failures(form, names, pages)

    documents = describe_documents(corpus)
    content = examiner.examine("documents", documents, document_suite(config))
    content = [_with_repeats(verdict, documents, config.sample_rows) for verdict in content]
    raise_for_failures(content, _describe_rows(content, documents, corpus), pages)
    return [*form, *content], documents


def raise_for_failures(verdicts: list[Verdict], rows: dict[int, str], pages: Path) -> None:
    """Raise KajiyaError with every failed expectation, what was observed, and its sample rows."""
    failed = [verdict for verdict in verdicts if not verdict.passed]
    if not failed:
        return
    lines = [f"the corpus fails {len(failed)} of {len(verdicts)} expectations:"]
    for verdict in failed:
        observed = ", ".join(f"{name} {value}" for name, value in verdict.observed.items())
        lines.append(f"  {verdict.name}: {verdict.expectation}. Observed: {observed}")
        lines += [f"    {rows[row]}" for row in verdict.rows]
    lines.append(
        f"All of it with pictures: {pages / 'index.html'}. Mend the source or its `clean` settings, or, where "
        "the limit is wrong for this corpus, set it under `validate` in params.yaml."
    )
    raise KajiyaError("\n".join(lines))


def summarize(verdicts: list[Verdict], documents: pl.DataFrame) -> Report:
    """Every document of a corpus that passed goes on; the counts say what it is made of."""
    counts = {
        column: dict(sorted(documents[column].value_counts().iter_rows()))
        for column in ("source", "license", "generator", "language")
    }
    return Report(
        flows={source: Flow(came_in=count, out=count) for source, count in counts["source"].items()},
        figures={
            "expectations": len(verdicts),
            "documents": counts,
            "characters": int(documents["characters"].sum()),
            "median_characters": documents["characters"].median(),
            "repeated_texts": documents.height - documents["text_hash"].n_unique(),
            "documents_with_personal_data": documents.filter(pl.col("personal_data") > 0).height,
        },
    )


def _with_repeats(verdict: Verdict, documents: pl.DataFrame, count: int) -> Verdict:
    """An expectation about the whole column names no rows: look up the repeated texts."""
    if verdict.passed or verdict.name != "duplicates":
        return verdict
    repeated = documents.filter(pl.col("text_hash").is_duplicated()).sort("text_hash", "row")
    return verdict.model_copy(update={"rows": repeated["row"].head(count).to_list()})


def _describe_rows(verdicts: list[Verdict], documents: pl.DataFrame, corpus: Path) -> dict[int, str]:
    wanted = sorted({row for verdict in verdicts if not verdict.passed for row in verdict.rows})
    texts = excerpts(corpus, wanted)
    return {row: f"{documents['id'][row]}: {texts[row]}" for row in wanted}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
