"""What its gate said of a variant, in tags, in numbers, and in the rows of its model card."""

from pathlib import Path
from typing import Any

from kajiya.errors import KajiyaError
from kajiya.gate_verdict import FILE, GateVerdict, TaskFall, read_verdict


def verdict_on(variant: str, parent: str, gate: Path) -> GateVerdict:
    """The verdict in a gate's folder. Raises KajiyaError where it lets no such version pass."""
    verdict = read_verdict(gate)
    if (verdict.after, verdict.before) != (variant, parent):
        raise KajiyaError(
            f"{gate / FILE}: a verdict on {verdict.after} against {verdict.before}, where {variant} was made from "
            f"{parent}. Run the stage `gate` again (`kajiya run`)."
        )
    if verdict.verdict == "stopped":
        raise KajiyaError(
            f"{gate / FILE}: the gate stopped {variant}, so it is not registered. Mend the variant, raise its limits "
            f"(`gate.variants.{variant}` in the recipe), or take it out of the recipe, and run again."
        )
    return verdict


def gate_tags(verdict: GateVerdict | None) -> dict[str, str]:
    """What the gate said: `passed` or `unjudged`, and the largest drop of a task in points."""
    if verdict is None:
        return {"gate": "none"}
    drop = verdict.largest_drop
    return {"gate": verdict.verdict} | (
        {} if drop is None else {"gate_largest_drop": f"{round(drop, 2) + 0:.2f}"}
    )


def gate_metrics(verdict: GateVerdict) -> dict[str, float]:
    """Differences in points by task and shots, with their intervals, and the largest drop."""
    found: dict[str, float] = {}
    for row in verdict.tasks:
        for name in ("difference", "low", "high"):
            found[f"gate/{row.task}/{row.shots}/{name}"] = getattr(row, name)
    if verdict.mean:
        found["gate/mean_difference"] = verdict.mean.difference
    if (drop := verdict.largest_drop) is not None:
        found["gate/largest_drop"] = drop
    return found


def gate_rows(verdict: GateVerdict, words: dict[str, Any]) -> list[tuple[str, ...]]:
    """The mean and every task, for the model card."""
    falls = [*([verdict.mean] if verdict.mean else []), *verdict.tasks]
    return [
        (
            *((fall.task, str(fall.shots)) if isinstance(fall, TaskFall) else (words["gate_mean"], "")),
            f"{fall.before:.1f}",
            f"{fall.after:.1f}",
            f"{fall.difference:+.1f} ({fall.low:+.1f}, {fall.high:+.1f})",
            f"{fall.limit:g}",
            words["gate_rows"][fall.verdict],
        )
        for fall in falls
    ]
