"""Scores that others published, beside those of the page: for orientation, since nothing of them can be paired."""

from collections.abc import Iterable, Iterator
from functools import cache

from kajiya.published_items import other_items
from kajiya.published_scores import PublishedScores, published_scores
from kajiya.report_pages.blocks import Block, Heading, Table, Text
from kajiya.report_pages.records import Row
from kajiya.report_pages.words import Words
from kajiya.suites import PUBLISHED_SHOTS, SUITES

Setting = tuple[str, str]


@cache
def _all() -> tuple[PublishedScores, ...]:
    return published_scores()


def published_dots(setting: Setting) -> list[tuple[str, float]]:
    """Model and score of all that were published for a task at this number of shots."""
    task, shots = setting
    if str(PUBLISHED_SHOTS.get(task)) != shots:
        return []
    return [(row.model, row.scores[task]) for row in _all() if task in row.scores]


def published_blocks(
    own: dict[str, dict[Setting, float]], results: dict[str, Row], words: Words
) -> Iterator[Block]:
    """own: points by variant and setting; results: of results.json, by variant."""
    measured = {setting for scores in own.values() for setting in scores}
    tasks = [task for task, shots in PUBLISHED_SHOTS.items() if (task, str(shots)) in measured]
    yield Heading(words("published_scores"))
    if not tasks:
        yield Text(words("absent_published", reason=words("no_published_task")), soft=True)
        return
    rows = [row for row in _all() if any(task in row.scores for task in tasks) or row.means]
    places = "; ".join(dict.fromkeys(row.source.title for row in rows))
    yield Text(words("published_about", places=places), soft=True)
    yield Text(words("published_note"), soft=True)
    body = [
        [
            _named(variant, results[variant], words),
            *(_shown(scores.get((task, str(PUBLISHED_SHOTS[task])))) for task in tasks),
            *(
                _shown(((results[variant].get("suites") or {}).get(suite) or {}).get("mean"))
                for suite in SUITES
            ),
        ]
        for variant, scores in own.items()
    ]
    totals = frozenset(range(len(body)))
    body += [_row(row, tasks) for row in _best_first(rows)]
    head = [words("published_model"), *(words("task_shots", task=t, shots=PUBLISHED_SHOTS[t]) for t in tasks)]
    head += [words("suite", name=suite) for suite in SUITES]
    yield Table(head, body, numeric=frozenset(range(1, len(head))), totals=totals, small=True)


def _named(variant: str, result: Row, words: Words) -> str:
    other = other_items(result)
    return words("this_page", variant=variant) + (words("other_items", items=other) if other else "")


def _row(row: PublishedScores, tasks: list[str]) -> list[str]:
    name = row.model + (f" [{row.prompts}]" if row.prompts else "")
    return [
        name,
        *(_shown(row.scores.get(task)) for task in tasks),
        *(_shown(row.mean(suite)) for suite in SUITES),
    ]


def _best_first(rows: Iterable[PublishedScores]) -> list[PublishedScores]:
    """By the mean that most of them state; rows without it last."""
    return sorted(rows, key=lambda row: -(row.mean("8") or row.mean("4") or 0.0))


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
