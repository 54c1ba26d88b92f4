"""Versions beside published scores, where tasks, shots and metrics are the same: for orientation, not paired."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from kajiya.evaluation_results import Evaluation, stated_score, stated_suite
from kajiya.judged_scores import JudgedSet
from kajiya.published_items import other_items
from kajiya.published_scores import PublishedScores, published_scores
from kajiya.suites import PUBLISHED_SHOTS, SUITES

PUBLISHED = "published"
Judged = dict[str, JudgedSet]
"""By question set."""


@dataclass(frozen=True)
class PublishedRow:
    model: str
    mark: str
    """A version's letter, or `published`."""
    values: tuple[float | None, ...]
    prompts: str
    source: str
    address: str = ""
    note: str = ""
    other_items: str = ""
    """Of a version that was not asked what the published models were: its data, and how much of it."""
    computed: frozenset[int] = frozenset()
    """Places of the values that the source does not state, and its task scores give."""


@dataclass(frozen=True)
class PublishedTable:
    columns: tuple[str, ...]
    """Suites (`mean of 8`), then tasks, then question sets, these on their judge's scale."""
    rows: tuple[PublishedRow, ...]
    """The versions, then the published scores that have something in a column, the best first."""

    def notes(self) -> list[str]:
        """What is odd about a published row, and which data the versions were asked: below the table, once each."""
        whose: dict[str, list[str]] = {}
        for row in self.rows:
            if row.note:
                whose.setdefault(row.note, []).append(row.model if row.mark == PUBLISHED else row.mark)
        return [f"{', '.join(names)}: {note}" for note, names in whose.items()]

    def warnings(self) -> list[str]:
        """Which versions were not asked what the published models were."""
        whose: dict[str, list[str]] = {}
        for row in self.rows:
            if row.other_items:
                whose.setdefault(row.other_items, []).append(row.mark)
        return [
            f"{', '.join(marks)}: asked other items than the published models ({items}): not to be held against"
            " published scores."
            for items, marks in whose.items()
        ]

    @staticmethod
    def label(column: str) -> str:
        """`jnli@3` of a task, as a scoreboard names its rows."""
        return f"{column}@{PUBLISHED_SHOTS[column]}" if column in PUBLISHED_SHOTS else column


def published_table(versions: Sequence[Evaluation], judged: Sequence[Judged]) -> PublishedTable | None:
    """None where no version was asked a task as the published scores were taken."""
    columns = tuple(_columns(versions, judged))
    return PublishedTable(columns, tuple(_rows(versions, judged, columns))) if columns else None


def _columns(versions: Sequence[Evaluation], judged: Sequence[Judged]) -> Iterator[str]:
    """What a version has as the published scores were taken: suites that are whole, tasks at the same shots."""
    for name in SUITES:
        if any(stated_suite(one, name)[0] is not None for one in versions):
            yield f"mean of {name}"
    for task, shots in PUBLISHED_SHOTS.items():
        if any((task, shots) in one.answers for one in versions):
            yield task
    published = {name for row in published_scores() for name in row.judged}
    yield from sorted(published & {name for one in judged for name in one})


def _rows(
    versions: Sequence[Evaluation], judged: Sequence[Judged], columns: Sequence[str]
) -> Iterator[PublishedRow]:
    for letter, one, sets in zip(ascii_uppercase, versions, judged, strict=False):
        values = tuple(sets[column].mean if column in sets else _own_value(one, column) for column in columns)
        prompts = {str(one.scores(setting).get("prompts")) for setting in one.answers}
        yield PublishedRow(
            one.name,
            letter,
            values,
            ", ".join(sorted(prompts)),
            "",
            note=_own_data(one, columns),
            other_items=other_items(one.results),
        )
    rows = [(row, tuple(_value(row, column) for column in columns)) for row in published_scores()]
    rows = [(row, values) for row, values in rows if any(value is not None for value in values)]
    for row, values in sorted(rows, key=lambda item: _rank(item[1])):
        yield PublishedRow(
            model=row.model,
            mark=PUBLISHED,
            values=values,
            prompts=row.prompts or "?",
            source=row.source.title,
            address=row.source.address,
            note=row.note or "",
            computed=frozenset(place for place, column in enumerate(columns) if not _stated(row, column)),
        )


def _rank(values: Sequence[float | None]) -> tuple[int, float]:
    """By the first column that has a value, so that what is compared stands together."""
    return next((place, -value) for place, value in enumerate(values) if value is not None)


def _own_value(version: Evaluation, column: str) -> float | None:
    if column.startswith("mean of "):
        return stated_suite(version, column.removeprefix("mean of "))[0]
    setting = (column, PUBLISHED_SHOTS.get(column, -1))  # a question set has none
    return (
        stated_score(version, setting, version.scores(setting)["main"])[0]
        if setting in version.answers
        else None
    )


def _own_data(version: Evaluation, columns: Sequence[str]) -> str:
    """Which data the version was asked, and how much of it: a limit, or data of one's own, is not what was published."""
    found = []
    for task in columns:
        answers = version.answers.get((task, PUBLISHED_SHOTS.get(task, 0)))
        if answers:
            data = version.results.get("data_versions", {}).get(task, {}).get("version", "?")
            found.append(f"{task} {data}, {len(answers.ids):,} items")
    return "; ".join(found)


def _value(row: PublishedScores, column: str) -> float | None:
    if column.startswith("mean of "):
        return row.mean(column.removeprefix("mean of "))
    return row.scores.get(column, row.judged.get(column))


def _stated(row: PublishedScores, column: str) -> bool:
    return column in row.scores or column.removeprefix("mean of ") in row.means
