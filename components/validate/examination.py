"""Put a frame through a suite with Great Expectations, and read what came of it."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict

from components.validate.suite import Expectation
from kajiya.errors import KajiyaError

# isort would put this first; the suite's module must switch the usage statistics off before it.
import great_expectations as gx  # isort: skip


class Verdict(BaseModel):
    """What one expectation found. Holds nothing that differs between two runs on the same corpus."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    name: str
    """Short name, as errors show it."""
    expectation: str
    """The sentence that must hold."""
    passed: bool
    observed: dict[str, Any]
    """Measured value, or counts of the values that were not as expected."""
    rows: list[int]
    """The first offending rows of the frame."""


class Examiner:
    """A Great Expectations project in a folder of its own, thrown away after its Data Docs are taken."""

    def __init__(self, folder: Path, sample_rows: int) -> None:
        self._context = gx.get_context(mode="file", project_root_dir=folder)
        self._context.variables.progress_bars = {"globally": False}
        self._pages = folder / "gx" / "uncommitted" / "data_docs" / "local_site"
        self._sample_rows = sample_rows

    def examine(self, name: str, frame: pl.DataFrame, suite: list[Expectation]) -> list[Verdict]:
        """One verdict per expectation, in the order of `suite`.

        frame: with a column `row`. Raises KajiyaError when an expectation could not be evaluated at
        all: that says nothing about the corpus, so it must not look like a failed expectation.
        """
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
        order = [expectation.meta["name"] for expectation in suite]
        verdicts = [_verdict(outcome) for outcome in outcomes]
        return sorted(verdicts, key=lambda verdict: order.index(verdict.name))

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


def _verdict(outcome: dict[str, Any]) -> Verdict:
    config, result = outcome["expectation_config"], outcome["result"]
    samples = result.get("partial_unexpected_index_list") or []
    return Verdict(
        name=config["meta"]["name"],
        expectation=config["description"],
        passed=outcome["success"],
        observed=_observed(result),
        rows=[sample["row"] for sample in samples],
    )


def _observed(result: dict[str, Any]) -> dict[str, Any]:
    if "observed_value" in result:
        return {"value": result["observed_value"]}
    observed = {"checked": result["element_count"], "unexpected": result["unexpected_count"]}
    if values := result.get("partial_unexpected_list"):
        observed["for_example"] = sorted({str(value) for value in values})
    return observed
