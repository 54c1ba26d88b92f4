"""Scores with their intervals, beside chance, the untrained model, and what others published."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kajiya.html_page import number
from kajiya.report_pages.blocks import Block, Figures, Heading, Section, Table, Text
from kajiya.report_pages.dot_chart import Dot, DotRow, dot_chart
from kajiya.report_pages.published import published_blocks, published_dots
from kajiya.report_pages.records import Records, Row
from kajiya.report_pages.words import Words

CHANCE = {"jcommonsenseqa": 1 / 5, "jnli": 1 / 3, "marc_ja": 1 / 2, "xwinograd_ja": 1 / 2}
"""What guessing scores, where all choices are equally likely."""

ASIDE = {"stderr", "truncated", "merged", "bytes", "characters", "tokens", "n"}
"""Measures that stand in results.json and would crowd the page."""

FEW_TOKENS = 1000
"""Below this a perplexity hangs on a text or two."""

Setting = tuple[str, str]
"""Task and number of shots."""


@dataclass(frozen=True)
class Score:
    """The main metric of one task, in points of 100."""

    metric: str
    value: float
    low: float | None
    high: float | None
    n: int | None

    def told(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.1f}"
        return f"{self.value:.1f} ({self.low:.1f} – {self.high:.1f})"


def scores_section(records: Records, words: Words) -> Section:
    results = {name: found for name in records.models if (found := records.results(name))}
    if not results:
        return Section("scores", words("scores"), [Text(words("absent_scores"), soft=True)])
    columns = _columns(results)
    settings = list(dict.fromkeys(setting for column in columns.values() for setting in column))
    blocks: list[Block] = [Text(words("scores_about"))]
    if any(score.low is None for column in columns.values() for score in column.values()):
        blocks.append(Text(words("no_intervals"), soft=True))
    blocks += [_chart(columns, settings, words), _main_table(columns, settings, words)]
    blocks += _suites(results, words)
    blocks += _conditions(results, words)
    blocks += published_blocks(_own(columns, results), results, words)
    blocks += [Heading(words("all_measures")), _all_measures(results, words)]
    return Section("scores", words("scores"), blocks)


def _columns(results: dict[str, Row]) -> dict[str, dict[Setting, Score]]:
    """Main scores by variant; the untrained model's behind them."""
    columns = {variant: _scores(result.get("tasks", {})) for variant, result in results.items()}
    untrained = [_scores(result["untrained"]) for result in results.values() if result.get("untrained")]
    return columns | ({"untrained": untrained[0]} if untrained else {})


def _scores(tasks: Row) -> dict[Setting, Score]:
    found = {}
    for task, by_shots in tasks.items():
        for shots, measures in by_shots.items():
            if score := main_score(measures):
                found[task, shots] = score
    return found


def main_score(measures: Row) -> Score | None:
    """Of one task at one number of shots in results.json; None where nothing was measured."""
    metrics = [name for name in measures if name not in ASIDE and isinstance(measures[name], int | float)]
    metric = measures.get("main") or next(iter(metrics), None)
    if metric is None or metric not in metrics:
        return None
    bounds = (measures.get("intervals") or {}).get(metric) or {}
    low, high = (None if bounds.get(side) is None else 100 * bounds[side] for side in ("low", "high"))
    return Score(metric, 100 * measures[metric], low, high, measures.get("n"))


def _own(
    columns: dict[str, dict[Setting, Score]], results: dict[str, Row]
) -> dict[str, dict[Setting, float]]:
    """Points by variant and setting, without the untrained model's."""
    return {name: {setting: score.value for setting, score in columns[name].items()} for name in results}


def _chart(columns: dict[str, dict[Setting, Score]], settings: list[Setting], words: Words) -> Figures:
    rows = [
        DotRow(
            label=words("task_shots", task=task, shots=shots),
            dots={
                variant: Dot(score.value, score.low, score.high)
                for variant, column in columns.items()
                if (score := column.get((task, shots)))
            },
            chance=100 * CHANCE[task] if task in CHANCE else None,
            published=published_dots((task, shots)),
        )
        for task, shots in settings
    ]
    names = {
        "axis": words("points"),
        "chance": words("chance"),
        "published": words("published"),
        "untrained": words("untrained"),
        "about": words("scores_chart"),
    }
    return Figures([(words("scores_chart"), dot_chart(rows, names, (0, 100)))], wide=True)


def _main_table(columns: dict[str, dict[Setting, Score]], settings: list[Setting], words: Words) -> Table:
    rows = []
    for setting in settings:
        scores = [column.get(setting) for column in columns.values()]
        first = next(score for score in scores if score)
        chance = f"{100 * CHANCE[setting[0]]:.1f}" if setting[0] in CHANCE else "–"
        rows.append(
            [
                *setting,
                first.metric,
                number(first.n),
                chance,
                *(score.told() if score else "–" for score in scores),
            ]
        )
    names = [words("untrained") if name == "untrained" else name for name in columns]
    head = [*(words(key) for key in ("task", "shots", "measure", "items", "chance")), *names]
    return Table(head, rows, numeric=frozenset({1, *range(3, len(head))}), small=True)


def _suites(results: dict[str, Row], words: Words) -> Iterator[Block]:
    """Means over the tasks that published means are taken of."""
    suites = {variant: result["suites"] for variant, result in results.items() if result.get("suites")}
    names = list(dict.fromkeys(name for found in suites.values() for name in found))
    if not names:
        return
    titles = {name: words("suite_all") if name == "all" else words("suite", name=name) for name in names}
    rows = [[titles[name], *(_suite(found.get(name)) for found in suites.values())] for name in names]
    yield Table([words("mean"), *suites], rows, numeric=frozenset(range(1, len(suites) + 1)))
    for name in names:
        ones = [found[name] for found in suites.values() if name in found]
        # What each lacks differs only where the recipe asked variants differently: all of it is named once.
        if missing := dict.fromkeys(str(task) for one in ones for task in one.get("missing") or ()):
            yield Text(words("suite_missing", suite=titles[name], tasks=", ".join(missing)), soft=True)


def _suite(suite: Row | None) -> str:
    if not suite or suite.get("mean") is None:
        return "–"
    bounds = suite.get("interval") or {}
    if bounds.get("low") is None:
        return f"{suite['mean']:.2f}"
    return f"{suite['mean']:.2f} ({bounds['low']:.1f} – {bounds['high']:.1f})"


def _conditions(results: dict[str, Row], words: Words) -> Iterator[Block]:
    """By what the scores were taken: harness, prompts, data; what differs between variants is named for each."""
    stated: dict[str, dict[str, list[str]]] = {}
    for variant, result in results.items():
        for key, value in _stated(result, words):
            stated.setdefault(key, {}).setdefault(value, []).append(variant)
    told = []
    for key, values in stated.items():
        told += [
            f"{words.known(f'condition_{key}', key)}: {value}"
            + (f" ({', '.join(variants)})" if len(values) > 1 else "")
            for value, variants in values.items()
        ]
    if told:
        yield Text(words("asked_by", conditions="; ".join(told)), soft=True)


def _stated(result: Row, words: Words) -> Iterator[tuple[str, str]]:
    for key in ("harness", "prompt_version", "choices", "chat_template"):
        if key in result:
            value = result[key]
            yield key, words("is_yes" if value else "is_no") if isinstance(value, bool) else str(value)
    versions = result.get("data_versions") or {}
    told = [
        f"{name} {one.get('version') if isinstance(one, dict) else one}" for name, one in versions.items()
    ]
    if told:
        yield "data", ", ".join(told)


def _all_measures(results: dict[str, Row], words: Words) -> Table:
    columns = {variant: _flat(result.get("tasks", {})) for variant, result in results.items()}
    return _wide_table(columns, [words(key) for key in ("task", "shots", "measure")], words)


def perplexity_section(records: Records, words: Words) -> Section:
    columns = {
        name: _flat(_with_tokens(records.results(name).get("perplexity", {}), words))
        for name in records.models
    }
    columns = {name: column for name, column in columns.items() if column}
    if not columns:
        return Section("perplexity", words("perplexity"), [Text(words("absent_scores"), soft=True)])
    table = _wide_table(columns, [words(key) for key in ("source", "measure")], words)
    return Section("perplexity", words("perplexity"), [Text(words("perplexity_about")), table])


def _with_tokens(measured: Row, words: Words) -> Row:
    """By source and the number of tokens that its perplexity rests on."""
    named = {}
    for source, one in measured.items():
        tokens = one.get("tokens") if isinstance(one, dict) else None
        key = "source_tokens" if tokens is not None and tokens >= FEW_TOKENS else "source_few_tokens"
        named[source if tokens is None else words(key, source=source, tokens=number(tokens))] = one
    return named


def _wide_table(columns: dict[str, dict[tuple[str, ...], float]], head: list[str], words: Words) -> Table:
    """One row per path, filled up, or its end joined, to the width of the head; one column per variant."""
    width = len(head)
    paths = dict.fromkeys(path for column in columns.values() for path in column if path[-1] not in ASIDE)
    rows = [
        [
            *[*path[: width - 1], *[""] * (width - len(path)), _measure("/".join(path[width - 1 :]), words)][
                :width
            ],
            *(number(column.get(path)) for column in columns.values()),
        ]
        for path in paths
    ]
    return Table([*head, *columns], rows, numeric=frozenset(range(width, width + len(columns))), small=True)


def _measure(name: str, words: Words) -> str:
    return words.known(f"measure_{name}", name)


def _flat(content: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], float]:
    """Numbers by their path; intervals stand elsewhere."""
    if isinstance(content, dict):
        return {
            key: one
            for name, value in content.items()
            if name != "intervals"
            for key, one in _flat(value, (*path, name)).items()
        }
    if isinstance(content, int | float) and not isinstance(content, bool):
        return {path: float(content)}
    return {}
