"""Versions beside each other: every score with its interval, and its difference from that of the first version."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from string import ascii_uppercase

from kajiya.comparison import Comparison, Difference, SuiteDifference, pair
from kajiya.errors import KajiyaError
from kajiya.evaluation_results import Evaluation, Setting, stated_score, stated_suite
from kajiya.intervals import Interval
from kajiya.judged_scores import JudgedSet, judged_difference, load_judged, unlike
from kajiya.published_table import PublishedTable, published_table
from kajiya.suites import PUBLISHED_SHOTS, SUITES

SEED = 20260101
"""Of the bootstrap: two people who compare the same versions read the same page."""


@dataclass(frozen=True)
class Entry:
    """One version in one row; score and difference in points."""

    letter: str
    score: float | None
    interval: Interval | None = None
    difference: Difference | SuiteDifference | None = None

    @property
    def p(self) -> float | None:
        one = self.difference
        return one.p_corrected if isinstance(one, Difference) else one.p if one else None

    @property
    def verdict(self) -> str:
        """`better` or `worse` where the difference is real, `unclear` where it is not, nothing without one."""
        if self.difference is None or self.difference.difference is None:
            return ""
        if not self.difference.real:
            return "unclear"
        return "better" if self.difference.difference > 0 else "worse"


@dataclass(frozen=True)
class Row:
    """One metric of one task, or one suite."""

    name: str
    """`jnli@3`: task and shots; `mean of 4`."""
    metric: str
    main: bool
    n: int | None
    entries: tuple[Entry, ...]
    digits: int = 1


@dataclass(frozen=True)
class Scoreboard:
    versions: tuple[Evaluation, ...]
    """The first is what the others are compared with."""
    rows: tuple[Row, ...]
    suites: tuple[Row, ...]
    judged: tuple[Row, ...]
    """Question sets that a judge scored, on its scale."""
    perplexities: dict[str, tuple[float | None, ...]]
    """By source, `wikipedia: bits per byte`."""
    published: PublishedTable | None
    """None where nothing was asked as the published scores were."""
    missing: tuple[str, ...]
    warnings: tuple[str, ...]

    def groups(self) -> list[tuple[str, list[Row]]]:
        """Tasks in order, then suites and question sets, each with the rows of its metrics."""
        rows = groupby((*self.rows, *self.suites, *self.judged), key=lambda row: row.name)
        return [(name, list(group)) for name, group in rows]

    def letters(self) -> Iterator[tuple[str, Evaluation]]:
        return zip(ascii_uppercase, self.versions, strict=False)


def make_scoreboard(
    versions: Sequence[Evaluation], *, published: bool = True, unpaired: bool = False
) -> Scoreboard:
    """Set versions beside each other. unpaired: one not asked as the first has no differences; else an error."""
    comparisons: list[Comparison | None] = []
    warnings: list[str] = []
    for other in versions[1:]:
        try:
            comparisons.append(pair(versions[0], other, SEED))
        except KajiyaError as error:
            if not unpaired:
                raise KajiyaError(
                    f"{error}\nOr add `--unpaired`: `kajiya compare` then shows their scores without differences."
                ) from None
            comparisons.append(None)
            warnings.append(str(error))
    warnings += [line for one in comparisons if one for line in one.warnings]
    judgements = [load_judged(one.judgements) if one.judgements else {} for one in versions]
    judged, unlike = _judged_rows(judgements)
    warnings += unlike
    beside = published_table(versions, judgements) if published else None
    warnings += beside.warnings() if beside else []
    settings = sorted({setting for one in versions for setting in one.answers}, key=_place)
    return Scoreboard(
        versions=tuple(versions),
        rows=tuple(row for setting in settings for row in _rows(versions, comparisons, setting)),
        suites=tuple(_suites(versions, comparisons)),
        judged=judged,
        perplexities=_perplexities(versions),
        published=beside,
        missing=tuple(_missing(versions, settings)),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _place(setting: Setting) -> tuple[int, str, int]:
    """The published tasks in their order, then the others by name."""
    known = list(PUBLISHED_SHOTS)
    return (known.index(setting[0]) if setting[0] in known else len(known), *setting)


def _rows(
    versions: Sequence[Evaluation], comparisons: Sequence[Comparison | None], setting: Setting
) -> Iterator[Row]:
    first = next(one for one in versions if setting in one.answers)
    main = first.scores(setting)["main"]
    for metric in first.metrics(setting):
        differences = [None, *(_difference(one, setting, metric) for one in comparisons)]
        entries = [
            Entry(letter, *stated_score(version, setting, metric), difference)
            for letter, version, difference in zip(ascii_uppercase, versions, differences, strict=False)
        ]
        count = len(first.answers[setting].ids)
        yield Row(f"{setting[0]}@{setting[1]}", metric, metric == main, count, tuple(entries))


def _difference(comparison: Comparison | None, setting: Setting, metric: str) -> Difference | None:
    try:
        return comparison.of(*setting, metric) if comparison else None
    except KeyError:
        return None


def _suites(versions: Sequence[Evaluation], comparisons: Sequence[Comparison | None]) -> Iterator[Row]:
    """The published means as far as whole, and the mean over all tasks that every pair has in common."""
    for name in SUITES:
        stated = [stated_suite(one, name) for one in versions]
        if any(score is not None for score, _ in stated):
            differences = [None, *(one.suite(name) if one else None for one in comparisons)]
            entries = [
                Entry(letter, *score, difference)
                for letter, score, difference in zip(ascii_uppercase, stated, differences, strict=False)
            ]
            yield Row(f"mean of {name}", "", True, None, tuple(entries))
    together = [one.suite("all") if one else None for one in comparisons]
    kinds = {tuple(one.tasks.items()) for one in together if one}
    whole = {tuple(one.suite(name).tasks.items()) for one in comparisons if one for name in SUITES}
    if len(kinds) == 1 and not kinds & whole and (count := len(next(iter(kinds)))) > 1:
        reference = next(one.before for one in together if one)
        entries = [
            Entry("A", reference),
            *(
                Entry(letter, one.after if one else None, None, one)
                for letter, one in zip(ascii_uppercase[1:], together, strict=False)
            ),
        ]
        yield Row(f"mean of all {count}", "", True, None, tuple(entries))


def _judged_rows(judged: Sequence[dict[str, JudgedSet]]) -> tuple[tuple[Row, ...], list[str]]:
    """A row for every question set that a judge scored, and warnings where two were judged otherwise."""
    rows, warnings = [], []
    for name in dict.fromkeys(name for one in judged for name in one):
        entries = []
        for letter, one in zip(ascii_uppercase, judged, strict=False):
            if name not in one:
                entries.append(Entry(letter, None))
                continue
            first = judged[0].get(name) if letter != "A" else None
            difference = judged_difference(name, first, one[name], SEED) if first else None
            if first and first.asked != one[name].asked:
                told = ", ".join(unlike(first, one[name]))
                warnings.append(
                    f"{name}: {letter} was asked or judged otherwise than A, so no difference is told: {told}."
                )
            entries.append(Entry(letter, one[name].mean, one[name].interval, difference))
        any_set = next(one[name] for one in judged if name in one)
        metric = f"judge, {any_set.scale[0]}–{any_set.scale[1]}"
        rows.append(Row(name, metric, False, len(any_set.questions), tuple(entries), digits=2))
    return tuple(rows), warnings


def _perplexities(versions: Sequence[Evaluation]) -> dict[str, tuple[float | None, ...]]:
    measured = [one.results.get("perplexity") or {} for one in versions]
    found = {}
    for source in dict.fromkeys(source for one in measured for source in one):
        for key in ("perplexity", "bits_per_byte"):
            values = tuple(one.get(source, {}).get(key) for one in measured)
            if any(value is not None for value in values):
                found[f"{source}: {key.replace('_', ' ')}"] = values
    return found


def _missing(versions: Sequence[Evaluation], settings: Sequence[Setting]) -> Iterator[str]:
    """One line for each thing, with the letters of all versions that lack it."""
    lacking: dict[str, list[str]] = {}
    for letter, one in zip(ascii_uppercase, versions, strict=False):
        for line in _lacking(one, settings):
            lacking.setdefault(line, []).append(letter)
    for line, letters in lacking.items():
        yield f"{', '.join(letters)}: {line}"


def _lacking(version: Evaluation, settings: Sequence[Setting]) -> Iterator[str]:
    unasked = [f"{task}@{shots}" for task, shots in settings if (task, shots) not in version.answers]
    if unasked:
        yield f"not asked {', '.join(unasked)}."
    for task, reason in (version.results.get("skipped") or {}).items():
        yield f"skipped {task}: {reason}"
    for name in SUITES:
        missing = ((version.results.get("suites") or {}).get(name) or {}).get("missing")
        if missing:
            yield f"no mean of {name}, without {', '.join(missing)} at the published shots."
