"""Put small tables through a suite with Great Expectations, and read what came of it."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl

from components.validate.suite import Check
from components.validate.verdicts import Verdict
from kajiya.errors import KajiyaError

# isort would put this first; the suite's module must switch the usage statistics off before it.
import great_expectations as gx  # isort: skip


class Examiner:
    """A Great Expectations project in a folder of its own, thrown away after its Data Docs are taken."""

    def __init__(self, folder: Path, sample_rows: int) -> None:
        self._context = gx.get_context(mode="file", project_root_dir=folder)
        self._context.variables.progress_bars = {"globally": False}
        self._pages = folder / "gx" / "uncommitted" / "data_docs" / "local_site"
        self._sample_rows = sample_rows

    def examine(self, name: str, frames: dict[str, pl.DataFrame], checks: list[Check]) -> list[Verdict]:
        """One verdict per check, in the order of `checks`.

        frames: each with a column `row`. They go through as one table with the columns side by side, a
        null where a row has no such column: each expectation looks past nulls, and a round through Great
        Expectations costs most of a second. Raises KajiyaError when an expectation could not be evaluated
        at all: that says nothing about the corpus, so it must not look like a failed expectation.
        """
        frame = pl.concat([_prefixed(part, frames[part]) for part in frames], how="diagonal")
        suite = [check.expectation() for check in checks]
        source = self._context.data_sources.add_pandas(name)
        batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
        definition = self._context.validation_definitions.add(
            gx.ValidationDefinition(
                name=name,
                data=batch,
                suite=self._context.suites.add(gx.ExpectationSuite(name, expectations=suite)),
            )
        )
        result = definition.run(
            batch_parameters={"dataframe": frame.to_pandas()},
            result_format={
                "result_format": "SUMMARY",  # COMPLETE would hold every offending value in memory
                "unexpected_index_column_names": ["row"],
                "partial_unexpected_count": self._sample_rows,
                "return_unexpected_index_query": False,
            },
        )
        outcomes = [one.to_json_dict() for one in result.results]
        _raise_for_exceptions(outcomes)
        found = {outcome["expectation_config"]["meta"]["name"]: outcome for outcome in outcomes}
        return [_verdict(check, frames[check.frame], found[check.name]) for check in checks]

    def publish(self, pages: Path) -> Path:
        """Put the Data Docs into `pages`, also after a failure. Returns the page to open."""
        self._context.build_data_docs()
        shutil.rmtree(pages, ignore_errors=True)
        shutil.copytree(self._pages, pages)
        return pages / "index.html"


def exceptions(outcome: dict[str, Any]) -> list[str]:
    """Messages of exceptions inside an expectation; Great Expectations reports one as "failed".

    `exception_info` is one record, or one per metric, keyed by the metric.
    """
    info = outcome["exception_info"]
    records = [info] if "raised_exception" in info else list(info.values())
    return [str(record["exception_message"]) for record in records if record["raised_exception"]]


def _raise_for_exceptions(outcomes: list[dict[str, Any]]) -> None:
    lines = [
        f"  {outcome['expectation_config']['meta']['name']}: {'; '.join(messages)}"
        for outcome in outcomes
        if (messages := exceptions(outcome))
    ]
    if lines:
        raise KajiyaError(
            "an expectation could not be evaluated. This is an error of the check, not a verdict on the "
            "corpus:\n" + "\n".join(sorted(lines)) + "\nMend the expectation in components/validate/suite.py."
        )


def _prefixed(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.rename({column: f"{name}_{column}" for column in frame.columns if column != "row"})


def _verdict(check: Check, frame: pl.DataFrame, outcome: dict[str, Any]) -> Verdict:
    result = outcome["result"]
    samples = result.get("partial_unexpected_index_list") or []
    return Verdict(
        name=check.name,
        expectation=check.sentence,
        bound=check.bound,
        passed=outcome["success"],
        observed=_observed(check, frame, result),
        rows=[str(sample["row"]) for sample in samples],
    )


def _observed(check: Check, frame: pl.DataFrame, result: dict[str, Any]) -> dict[str, Any]:
    """The value nearest to or farthest beyond the bound, or what was not as expected."""
    if check.minimum is not None or check.maximum is not None:
        worst = frame.sort(check.column, descending=check.minimum is None, nulls_last=True).row(0, named=True)
        value = worst[check.column]
        observed = {"value": round(value, 6) if isinstance(value, float) else value}
        return observed | ({"at": worst["row"]} if frame.height > 1 and value else {})
    observed = {"checked": frame.height, "unexpected": result["unexpected_count"]}
    if values := result.get("partial_unexpected_list"):
        observed["for_example"] = sorted({str(value) for value in values})
    return observed
