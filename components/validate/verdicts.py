"""What came of the expectations, and the error that names those that fail."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from kajiya.errors import KajiyaError


class Verdict(BaseModel):
    """What one expectation found. Holds nothing that differs between two runs on the same corpus."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    name: str
    """Short name, as errors show it."""
    expectation: str
    """The sentence that must hold."""
    bound: str
    passed: bool
    observed: dict[str, Any]
    """Measured value, or counts of the values that were not as expected."""
    rows: list[str]
    """The first offending rows of the frame."""
    examples: list[str] = []
    """Offending documents, where the expectation fails over documents."""


def raise_for_failures(verdicts: list[Verdict], page: Path) -> None:
    """Raise KajiyaError with every failed expectation, what was observed, and its sample documents."""
    failed = [verdict for verdict in verdicts if not verdict.passed]
    if not failed:
        return
    lines = [f"the corpus fails {len(failed)} of {len(verdicts)} expectations:"]
    for verdict in failed:
        observed = ", ".join(f"{name} {value}" for name, value in verdict.observed.items())
        lines.append(f"  {verdict.name}: {verdict.expectation}. Observed: {observed} ({verdict.bound})")
        lines += [f"    {example}" for example in verdict.examples or verdict.rows]
    lines.append(
        f"All of it with pictures: {page}. Mend the source or its `clean` settings, or, where the limit is wrong "
        "for this corpus, set it under `validate` in params.yaml."
    )
    if any(verdict.name == "drift" for verdict in failed):
        lines.append(
            "A corpus that is meant to be another one: look at the page, then `kajiya accept --drifted`."
        )
    raise KajiyaError("\n".join(lines))
