"""What a judge made of the answers of each variant, and how it and they were asked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kajiya.html_page import number
from kajiya.published_scores import published_scores
from kajiya.report_pages.blocks import Block, Facts, Heading, Section, Table, Text
from kajiya.report_pages.foreign import blocks_or_why
from kajiya.report_pages.records import Records, Row
from kajiya.report_pages.words import Words

FILE = "scores.json"
_ODD = ("cut_answers", "empty_answers", "answers_that_hold_a_verdict")


def judge_scores(records: Records, variant: str) -> Row | None:
    """What the stage `judge` wrote about a variant; None where it has not run."""
    found = records.read(scores_path(records, variant))
    return found if isinstance(found, dict) else None


def scores_path(records: Records, variant: str) -> Path:
    return records.of(variant, "judgements", FILE)


def judge_section(records: Records, words: Words) -> Section:
    blocks: list[Block] = []
    means: dict[str, dict[str, float]] = {}
    for variant in records.shown:
        if found := judge_scores(records, variant):
            path = str(scores_path(records, variant))
            made = blocks_or_why(lambda found=found: _variant(found, words), path, words)  # type: ignore[misc]
            blocks += [Heading(variant), *made]
            means[variant] = _means(found)
    if not blocks:
        return Section(
            "judge", words("judge"), [Text(words("absent_judge", recipe=records.recipe), soft=True)]
        )
    return Section("judge", words("judge"), [*blocks, *_published(means, words)])


def judge_warnings(scores: Row, variant: str, words: Words) -> Iterator[str]:
    """Verdicts that count for nothing, and answers that may have steered the judge."""
    for name, one in scores["sets"].items():
        if count := one.get("unreadable"):
            yield words(
                "warn_unreadable", variant=variant, set=name, count=number(count), n=number(one.get("n"))
            )
        if count := one.get("answers_that_hold_a_verdict"):
            yield words("warn_forged", variant=variant, set=name, count=number(count))


def _variant(found: Row, words: Words) -> Iterator[Block]:
    yield _scores(found["sets"], words)
    yield _asked(found["sets"], words)
    judge = [(_named("judge", key, words), _value(value, words)) for key, value in found["judge"].items()]
    answers = [
        (words("answered", set=name), words.listed(_answered(one["answers"], words)))
        for name, one in found["sets"].items()
        if one.get("answers")
    ]
    yield Facts([*judge, *answers])


def _scores(sets: Row, words: Words) -> Table:
    rows = []
    for name, one in sets.items():
        scale = "–".join(map(str, one.get("scale", ())))
        rows.append(_mean(f"{name} ({scale})", one))
        if "without_math_and_coding" in one:
            rows.append(_mean(words("without_math_and_coding"), one["without_math_and_coding"]))
        rows += [_mean(words("turn", turn=turn), part) for turn, part in one.get("turns", {}).items()]
        rows += [_mean(f"– {category}", part) for category, part in one.get("categories", {}).items()]
    keys = ("question_set", "mean", "interval", "answers", "unreadable")
    return Table([words(key) for key in keys], rows, numeric=frozenset({1, 2, 3, 4}))


def _mean(name: str, one: Row) -> list[str]:
    mean, bounds = one.get("mean"), one.get("interval") or {}
    low, high = bounds.get("low"), bounds.get("high")
    interval = "–" if low is None or high is None else f"{low:.2f} – {high:.2f}"
    return [name, _two(mean), interval, number(one.get("n")), number(one.get("unreadable"))]


def _asked(sets: Row, words: Words) -> Table:
    """Which prompts and data the scores are of, and what was odd about the answers."""
    rows = [
        [
            name,
            _identity(one.get("prompts")),
            _identity(one.get("data")),
            *(number(one.get(key)) for key in _ODD),
        ]
        for name, one in sets.items()
    ]
    keys = ("asked_set", "judge_prompts", "set_data", *_ODD)
    return Table([words(key) for key in keys], rows, numeric=frozenset({3, 4, 5}))


def _identity(one: Row | None) -> str:
    """Name, version and the beginning of the hash, as far as they are told."""
    if not one:
        return "–"
    told = " ".join(str(one[key]) for key in ("name", "version") if one.get(key))
    digest = str(one.get("sha256") or "")[:12]
    return f"{told} `{digest}`" if digest and digest not in told else told  # a version may be a hash


def _answered(answers: Row, words: Words) -> Iterator[str]:
    for key, value in answers.items():
        if isinstance(value, dict):
            # Japanese MT-Bench asks each category at its own temperature; a set without categories has one, unnamed.
            shown = words.listed([f"{category} {one}".strip() for category, one in value.items()])
        else:
            shown = _value(value, words)
        yield words("named_value", name=_named("answers", key, words), value=shown)


def _named(kind: str, key: str, words: Words) -> str:
    return words.known(f"{kind}_{key}", key.replace("_", " "))


def _value(value: Any, words: Words) -> str:
    if value is None:
        return words("none")
    return words.free(str(value)) if isinstance(value, str) and " " in value else str(value)


def _means(found: Row) -> dict[str, float]:
    sets = found.get("sets")
    stated = {name: one.get("mean") for name, one in sets.items()} if isinstance(sets, dict) else {}
    return {name: mean for name, mean in stated.items() if isinstance(mean, int | float)}


def _published(means: dict[str, dict[str, float]], words: Words) -> Iterator[Block]:
    """Means that others published for the same question sets: other judges, for orientation."""
    judged = {name for one in means.values() for name in one}
    rows = [row for row in published_scores() if judged & set(row.judged)]
    if not rows:
        return
    sets = sorted({name for row in rows for name in row.judged} & judged)
    yield Heading(words("published"))
    yield Text(words("published_judged_about"), soft=True)
    body = [
        [words("this_page", variant=variant), *(_two(one.get(name)) for name in sets), "–"]
        for variant, one in means.items()
    ]
    totals = frozenset(range(len(body)))
    body += [
        [row.model, *(_two(row.judged.get(name)) for name in sets), words.free(row.source.title)]
        for row in rows
    ]
    head = [words("published_model"), *sets, words("place")]
    yield Table(head, body, numeric=frozenset(range(1, 1 + len(sets))), totals=totals, small=True)


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
