"""What its gate said of a variant, in tags, in numbers, and in the rows of its model card."""

from typing import Any

from kajiya.gate_verdict import GateVerdict, TaskFall


def gate_tags(verdict: GateVerdict | None) -> dict[str, str]:
    """What the gate said: `passed` or `unjudged`, and the largest drop of a task in points."""
    if verdict is None:
        return {"gate": "none"}
    drop = verdict.largest_drop
    return {"gate": verdict.verdict} | ({} if drop is None else {"gate_largest_drop": f"{drop:.2f}"})


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
