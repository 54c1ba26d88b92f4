"""The part of a recipe's page that tells how its models were trained: curves, forgetting, speed, restarts.

Curves come from metrics.jsonl, the table of what was forgotten from the stage's report. Speed and restarts lie in
the untracked folder OUT.pages: they differ from run to run, and are missing on a machine that only has the output.
"""

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kajiya.line_chart import Point, line_chart
from kajiya.report import Report

_MAX_COLUMNS = 9
_MAX_EVENTS = 40
# What the training is for may fall by twenty nats, and would press all else into one line.
_LOWEST_NATS = -0.5
# Of a line of history.jsonl: what stands in columns of its own, or means nothing afterwards.
_ASIDE = {"time", "event", "processes"}

Row = dict[str, Any]


def training_part(name: str, out: Path, report: Report) -> dict[str, Any] | None:
    """Everything the page shows of one training; None for a stage that left no metrics.jsonl."""
    rows = read_lines(out / "metrics.jsonl")
    if not rows:
        return None
    pages = out.parent / f"{out.name}.pages"
    throughput = read_lines(pages / "throughput.jsonl")
    return {
        "stage": name,
        "charts": [chart for chart in (*_curves(rows), *_speed_charts(throughput)) if chart["svg"]],
        "last": _last(rows),
        "forgetting": forgetting_table(report.figures.get("forgetting")),
        "replay": report.figures.get("replay"),
        "throughput": _speed_rows(throughput),
        "events": _events(read_lines(pages / "history.jsonl")),
    }


def read_lines(path: Path) -> list[Row]:
    """Objects of a file of JSON lines; a line that a kill cut off is left out."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def _curves(rows: list[Row]) -> list[dict[str, str]]:
    keys = dict.fromkeys(key for row in rows for key in row)
    by_source = [key for key in keys if key.startswith(("loss/", "validation_loss/"))]
    return [
        _chart(rows, "loss", ["loss", "validation_loss"]),
        _chart(rows, "loss by source", by_source),
        _chart(rows, "learning rate", ["lr", "learning_rate"]),
        _chart(rows, "gradient norm", ["grad_norm"]),
    ]


def _chart(rows: list[Row], title: str, keys: Sequence[str]) -> dict[str, str]:
    series: dict[str, Sequence[Point]] = {
        _label(key): [(row["step"], row[key]) for row in rows if row.get(key) is not None] for key in keys
    }
    return {"title": title, "svg": line_chart(series, "step", title)}


def _label(key: str) -> str:
    """validation_loss/diet_2025 -> diet_2025 (validation): a source keeps its name."""
    kind, _, source = key.partition("/")
    if not source:
        return kind.replace("_", " ")
    return f"{source} (validation)" if kind == "validation_loss" else source


def _last(rows: list[Row]) -> dict[str, float]:
    """The last value of each loss."""
    return {
        _spoken(key): row[key]
        for row in rows
        for key in sorted(row)
        if key.split("/")[0] in ("loss", "validation_loss") and row[key] is not None
    }


def forgetting_table(figures: dict[str, Any] | None) -> dict[str, Any] | None:
    """Rows by measure: the base's value, those by step, and the difference at the end; with its charts."""
    if not figures or not figures.get("steps"):
        return None
    entries: list[Row] = figures["steps"]
    shown = _spread(entries)
    names = list(entries[0]["values"])
    rows = [_measure_row(_spoken(name), [one["values"].get(name) for one in shown]) for name in names]
    if entries[0]["mean_accuracy"] is not None:
        rows.append(_measure_row("mean accuracy", [one["mean_accuracy"] for one in shown]))
    base = entries[0]["values"]
    losses: dict[str, Sequence[Point]] = {
        _spoken(name): [(one["step"], _nats(one["values"][name], base[name])) for one in entries]
        for name in names
        if "perplexity/" in name
    }
    accuracies: dict[str, Sequence[Point]] = {
        name.removeprefix("accuracy/"): [(one["step"], one["values"][name]) for one in entries]
        for name in names
        if name.startswith("accuracy/")
    }
    charts = [
        {
            "title": "loss above the base's",
            "svg": line_chart(losses, "step", f"nats (cut at {_LOWEST_NATS})"),
        },
        {"title": "accuracy", "svg": line_chart(accuracies, "step", "accuracy")},
    ]
    return {
        "steps": [one["step"] for one in shown],
        "rows": rows,
        "charts": [chart for chart in charts if chart["svg"]],
        "alarms": [(one["step"], "; ".join(one["alarms"])) for one in entries if one["alarms"]],
        "on_bound": figures["on_bound"],
        "raised": figures["replay_raised"],
    }


def _spoken(name: str) -> str:
    kind, slash, what = name.partition("/")
    return kind.replace("_", " ") + slash + what


def _nats(perplexity: float | None, base: float | None) -> float:
    """How much the loss lies above the base's; a perplexity may be a thousand times as high."""
    if not perplexity or not base:
        return math.nan
    return max(_LOWEST_NATS, math.log(perplexity / base))


def _spread(entries: list[Row]) -> list[Row]:
    """The base, the last, and so many between them as a page is wide for."""
    if len(entries) <= _MAX_COLUMNS:
        return entries
    last = len(entries) - 1
    return [entries[round(number * last / (_MAX_COLUMNS - 1))] for number in range(_MAX_COLUMNS)]


def _measure_row(name: str, values: list[float | None]) -> dict[str, Any]:
    first, last = values[0], values[-1]
    difference = None if first is None or last is None else last - first
    return {
        "name": name,
        "values": [_shown(value) for value in values],
        "difference": _shown(difference, "+"),
    }


def _shown(value: float | None, sign: str = "") -> str:
    if value is None:
        return "–"
    return f"{value:{sign},.0f}" if abs(value) >= 1000 else f"{value:{sign}.4g}"


def _speed_charts(rows: list[Row]) -> list[dict[str, str]]:
    rows = [row for row in rows if "step" in row]
    return [_chart(rows, "tokens per second", ["tokens_per_second"]), _chart(rows, "MFU", ["mfu"])]


def _speed_rows(rows: list[Row]) -> list[dict[str, Any]]:
    """Median and last of everything that was measured of speed, wait and memory."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for key, value in row.items():
            if (
                key not in ("step", "time", "ranks")
                and isinstance(value, int | float)
                and not isinstance(value, bool)
            ):
                values.setdefault(key, []).append(float(value))
    return [
        {"name": key.replace("_", " "), "median": statistics.median(found), "last": found[-1]}
        for key, found in values.items()
    ]


def _events(rows: list[Row]) -> dict[str, Any]:
    """The last lines of the run's history, and how many went before them."""
    lines = [
        {
            "time": row.get("time", ""),
            "event": row.get("event", ""),
            "facts": ", ".join(f"{key} {value}" for key, value in row.items() if key not in _ASIDE),
        }
        for row in rows
    ]
    return {
        "lines": lines[-_MAX_EVENTS:],
        "left_out": max(0, len(lines) - _MAX_EVENTS),
        "starts": sum(line["event"] == "begin" for line in lines),
    }
