"""How the models were trained: curves, speed, restarts; and what a base could before, and can still.

Curves come from metrics.jsonl, the table of what was forgotten from the stage's report. Speed and restarts lie in
the untracked folder OUT.pages: they differ from run to run, and are missing on a machine that only has the output.
"""

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from kajiya.html_page import number
from kajiya.line_chart import Point, line_chart
from kajiya.report_pages.blocks import Block, Bullets, Figures, Heading, Section, Table, Text
from kajiya.report_pages.curves import last_losses, speed_charts, thinned, training_charts
from kajiya.report_pages.records import Made, Records, Row
from kajiya.report_pages.words import Words

TRAININGS = ("pretrain", "sft", "dpo")
MAX_EVENTS = 40
_MAX_COLUMNS = 7
# What the training is for may fall by twenty nats, and would press all else into one line.
_LOWEST_NATS = -0.5
# Of a line of history.jsonl: what stands in columns of its own, or means nothing afterwards.
_ASIDE = {"time", "event", "processes"}


def training_section(records: Records, words: Words) -> Section:
    blocks: list[Block] = []
    for made in records.models.values():
        if made.kind in TRAININGS:
            blocks += [Heading(made.name), *_training(records, made, words)]
    return Section("training", words("training"), blocks or [Text(words("absent_training"), soft=True)])


def _training(records: Records, made: Made, words: Words) -> Iterator[Block]:
    rows = thinned(records.lines(made.out / "metrics.jsonl"))
    if charts := training_charts(rows, words):
        yield Figures(charts)
        losses = ", ".join(f"{name} {number(value)}" for name, value in last_losses(rows, words))
        yield Text(words("losses_at_the_end", losses=losses))
    else:
        yield Text(words("absent_curves"), soft=True)
    if facts := _facts(made.report.figures, words):
        yield Text(words("training_facts", facts=facts), soft=True)
    if replay := made.report.figures.get("replay"):
        yield Text(_replayed(replay, words))
    speeds = thinned(records.of_run(made, "throughput.jsonl"))
    if speeds:
        yield Heading(words("speed"))
        yield Figures(speed_charts(speeds, words))
        head = [words(key) for key in ("measure", "median", "last")]
        yield Table(head, _speeds(speeds, words), numeric=frozenset({1, 2}))
    if events := records.of_run(made, "history.jsonl"):
        yield from _history(events, words)


def _facts(figures: Row, words: Words) -> str:
    """Counts of the training that stand by themselves."""
    names = ("parameters", "steps", "tokens_seen", "epochs")
    found = {name: figures.get(name) for name in names}
    shown: dict[str, float] = {}
    for name, value in found.items():
        if isinstance(value, dict):
            shown |= {f"{name}_{key}": one for key, one in value.items() if isinstance(one, int | float)}
        elif isinstance(value, int | float):
            shown[name] = value
    return words.listed(
        f"{words.known(f'fact_{name}', name.replace('_', ' '))} {number(value)}"
        for name, value in shown.items()
    )


def _replayed(replay: Row, words: Words) -> str:
    return words(
        "replay",
        share=f"{100 * replay['share_read']:.2f}",
        sequences=number(replay["sequences"]),
        purity=f"{100 * replay['purity']:.1f}",
        replayed=number(replay["epochs"]["replayed"]),
        others=number(replay["epochs"]["others"]),
    )


def _speeds(rows: list[Row], words: Words) -> list[list[str]]:
    """Median and last of everything that was measured of speed, wait and memory."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for key, value in row.items():
            if key in ("step", "time", "ranks") or isinstance(value, bool):
                continue
            if isinstance(value, int | float):
                values.setdefault(key, []).append(float(value))
    return [
        [
            words.known(f"measure_{key}", key.replace("_", " ")),
            number(statistics.median(found)),
            number(found[-1]),
        ]
        for key, found in values.items()
    ]


def _history(rows: list[Row], words: Words) -> Iterator[Block]:
    """The last lines of the run's story, and how many went before them."""
    starts = sum(row.get("event") == "begin" for row in rows)
    yield Heading(words("history", starts=starts))
    if left_out := max(0, len(rows) - MAX_EVENTS):
        yield Text(words("history_left_out", count=left_out), soft=True)
    lines = [
        [
            str(row.get("time", "")),
            words.known(f"event_{row.get('event')}", str(row.get("event", ""))),
            words.listed(_told(key, value, words) for key, value in row.items() if key not in _ASIDE),
        ]
        for row in rows[-MAX_EVENTS:]
    ]
    yield Table([words("time"), words("event"), ""], lines, small=True)


def _told(key: str, value: Any, words: Words) -> str:
    name = words.known(f"history_{key}", key.replace("_", " "))
    return words(
        "named_value", name=name, value=words.known(f"history_{key}_{value}", words.free(str(value)))
    )


def forgetting_section(records: Records, words: Words) -> Section:
    blocks: list[Block] = []
    for made in records.models.values():
        figures = made.report.figures.get("forgetting")
        if isinstance(figures, dict) and figures.get("steps"):
            blocks += [Heading(made.name), *_forgetting(figures, words)]
    if not blocks:
        key = "absent_forgetting_scratch" if records.from_scratch else "absent_forgetting"
        blocks = [Text(words(key), soft=True)]
    return Section("forgetting", words("forgetting"), blocks)


def _forgetting(figures: Row, words: Words) -> Iterator[Block]:
    entries: list[Row] = figures["steps"]
    yield Text(words("forgetting_about"))
    yield Figures(_forgetting_charts(entries, words))
    yield forgetting_table(entries, words)
    alarms = [(one["step"], "; ".join(one["alarms"])) for one in entries if one["alarms"]]
    if alarms:
        yield Text(words("alarms", count=len(alarms), answer=figures["on_bound"]))
        yield Bullets([words("alarm", step=step, text=words.free(text)) for step, text in alarms])
    else:
        yield Text(words("no_alarm"))
    if raised := figures["replay_raised"]:
        steps = ", ".join(words("raised_to", share=one["share"], step=one["step"]) for one in raised)
        yield Text(words("replay_raised", steps=steps))


def forgetting_table(entries: list[Row], words: Words) -> Table:
    """Rows by measure: the base's value, those by step, and the difference at the end."""
    shown = _spread(entries)
    rows = [
        _measure_row(_spoken(name, words), [one["values"].get(name) for one in shown])
        for name in entries[0]["values"]
    ]
    if entries[0]["mean_accuracy"] is not None:
        rows.append(_measure_row(words("mean_accuracy"), [one["mean_accuracy"] for one in shown]))
    steps = [words("at_step", step=one["step"]) for one in shown[1:]]
    head = [words("measure"), words("of_the_base"), *steps, words("difference")]
    return Table(head, rows, numeric=frozenset(range(1, len(head))), small=True)


def _forgetting_charts(entries: list[Row], words: Words) -> list[tuple[str, str]]:
    names = list(entries[0]["values"])
    base = entries[0]["values"]
    losses: dict[str, Sequence[Point]] = {
        _spoken(name, words): [(one["step"], _nats(one["values"].get(name), base[name])) for one in entries]
        for name in names
        if "perplexity/" in name
    }
    accuracies: dict[str, Sequence[Point]] = {
        name.removeprefix("accuracy/"): [(one["step"], _plain(one["values"].get(name))) for one in entries]
        for name in names
        if name.startswith("accuracy/")
    }
    charts = [
        (words("loss_above_base"), line_chart(losses, words("step"), words("nats", lowest=_LOWEST_NATS))),
        (words("accuracy"), line_chart(accuracies, words("step"), words("accuracy"))),
    ]
    return [chart for chart in charts if chart[1]]


def _spoken(name: str, words: Words) -> str:
    kind, slash, what = name.partition("/")
    return words.known(f"measure_{kind}", kind.replace("_", " ")) + slash + what


def _nats(perplexity: float | None, base: float | None) -> float:
    """How much the loss lies above the base's; a perplexity may be a thousand times as high."""
    if not perplexity or not base:
        return math.nan
    return max(_LOWEST_NATS, math.log(perplexity / base))


def _plain(value: float | None) -> float:
    return math.nan if value is None else value


def _spread(entries: list[Row]) -> list[Row]:
    """The base, the last, and so many between them as a page is wide for."""
    if len(entries) <= _MAX_COLUMNS:
        return entries
    last = len(entries) - 1
    return [entries[round(place * last / (_MAX_COLUMNS - 1))] for place in range(_MAX_COLUMNS)]


def _measure_row(name: str, values: list[float | None]) -> list[str]:
    first, last = values[0], values[-1]
    difference = None if first is None or last is None else last - first
    return [name, *(_shown(value) for value in values), _shown(difference, "+")]


def _shown(value: Any, sign: str = "") -> str:
    if value is None:
        return "–"
    return f"{value:{sign},.0f}" if abs(value) >= 1000 else f"{value:{sign}.4g}"
