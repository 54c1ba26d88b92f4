"""What a person reads at the terminal: the rows, and what to do about them."""

import math
from collections.abc import Iterator
from pathlib import Path

from kajiya.gate_verdict import Fall, GateVerdict, TaskFall

_HEAD = ("task", "shots", "before", "after", "difference", "95 % interval", "limit", "")


def table(verdict: GateVerdict, only_lost: bool = False) -> str:
    """The mean and the tasks in columns; only_lost: no task that held."""
    rows = [_HEAD]
    if verdict.mean:
        count = len(verdict.mean.tasks)
        rows.append((f"mean of {count} task{'s' * (count > 1)}", "", *_numbers(verdict.mean)))
    rows += [
        (row.task, str(row.shots), *_numbers(row))
        for row in verdict.tasks
        if row.verdict == "lost" or not only_lost
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if place in (0, len(widths) - 1) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(f"  {line}".rstrip() for line in lines)


def _numbers(row: Fall) -> tuple[str, ...]:
    return (
        f"{row.before:.1f}",
        f"{row.after:.1f}",
        f"{row.difference:+.1f}",
        f"{row.low:+.1f} to {row.high:+.1f}",
        f"{0 - row.limit:g}",
        said_of(row),
    )


def said_of(row: Fall) -> str:
    """`held`, or what is wrong with it; and whether the items can tell."""
    if isinstance(row, TaskFall) and row.verdict == "not judged":
        return f"not judged: at chance before ({row.chance:.0f})"
    said = "lost too much" if row.verdict == "lost" else "held"
    if row.settled:
        return said
    if row.times_the_items is None:
        return f"{said}, too near the limit for any number of items to settle"
    needed = (
        f"about {items_needed(row.items, row.times_the_items):,} items"
        if isinstance(row, TaskFall)
        else f"about {row.times_the_items:g} times the items"
    )
    return f"{said}, but so few items cannot settle it: {needed} would"


def items_needed(items: int, times: float) -> int:
    """Rounded up to two digits; always more than there are."""
    least = max(items + 1, math.ceil(items * times))
    step = 10 ** max(0, len(str(least)) - 2)
    return -(-least // step) * step


def refusal(verdict: GateVerdict, page: Path) -> str:
    """The message with which the pipeline stops."""
    limits, name = verdict.limits, verdict.after
    if verdict.mean is None:
        return (
            f"{name}: nothing to judge: {verdict.before}, which it was made from, is above chance in no task, so no loss "
            f"could show.\n{table(verdict)}\nThe page: {page}\n{' '.join(_remedies_unjudged(name))}"
        )
    return (
        f"{name} lost more against {verdict.before} than the recipe allows ({limits.mean_drop_points:g} points in the "
        f"mean, {limits.task_drop_points:g} in a task):\n{table(verdict, only_lost=True)}\n"
        f"All rows: {page}\n{' '.join(_remedies(verdict))}"
    )


def _remedies(verdict: GateVerdict) -> Iterator[str]:
    name = verdict.after
    if verdict.kind == "quantized":
        yield (
            f"Mend `quantize.{name}` in the recipe: a smaller group_size, more calibration_sequences, `symmetric: false`, "
            "or the other method."
        )
    else:
        yield f"Mend the tuning of {name} in the recipe: a lower learning_rate, fewer epochs, more varied data."
    yield (
        f"If you accept the loss, raise mean_drop_points or task_drop_points under `gate.variants.{name}` "
        "there. Then run again."
    )
    yield f"To go on without it, take {name} out of the recipe, and `kajiya recipes add` brings params.yaml into line."


def _remedies_unjudged(name: str) -> Iterator[str]:
    yield "Evaluate on tasks that it can do, or on more items (`evaluate` in the recipe),"
    yield f"or let {name} pass unjudged: `gate: {{variants: {{{name}: {{unjudged: pass}}}}}}`."
