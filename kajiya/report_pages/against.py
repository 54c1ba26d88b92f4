"""A variant held against the one it was made from: item by item, and by the gate."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from kajiya.comparison import Comparison, Difference, SuiteDifference, pair
from kajiya.errors import KajiyaError
from kajiya.evaluation_results import PREDICTIONS, load_evaluation
from kajiya.html_page import number
from kajiya.report_pages.blocks import Block, Bullets, Figures, Heading, Section, Table, Text
from kajiya.report_pages.dot_chart import Dot, DotRow, dot_chart
from kajiya.report_pages.foreign import blocks_or_why
from kajiya.report_pages.records import Records, Row, pages_of
from kajiya.report_pages.words import Words

SEED = 1
"""Of the resamples: any will do, as long as the page of the tree and that of the registry have the same."""

FILE = "comparison.json"
"""Beside results.json in a version's `reports/`: the parent's predictions are not kept there."""


def comparison_with_parent(records: Records, variant: str) -> Comparison | str | None:
    """The paired comparison, why there is none, or None where the variant has no parent or no evaluation."""
    if variant not in records.remembered:
        records.remembered[variant] = _compared(records, variant)
    found: Comparison | str | None = records.remembered[variant]
    return found


def _compared(records: Records, variant: str) -> Comparison | str | None:
    parent = records.parent(variant)
    if parent is None or not records.results(variant):
        return None
    kept = records.read(records.of(variant, "evaluation", FILE))
    if kept is not None:
        return _kept(kept)
    folders = [records.root / records.of(name, "evaluation") for name in (parent, variant)]
    if not all((folder / PREDICTIONS).exists() for folder in folders):
        return None
    try:
        before, after = (
            load_evaluation(folder, name) for folder, name in zip(folders, (parent, variant), strict=True)
        )
        return pair(before, after, SEED)
    except KajiyaError as error:
        return str(error).replace(f"{records.root}/", "")


def _kept(content: Any) -> Comparison | str:
    if isinstance(content, dict) and "refused" in content:
        return str(content["refused"])
    try:
        return Comparison.model_validate(content)
    except ValidationError as error:
        return f"{FILE}: kept in a form that this kajiya does not know ({str(error).splitlines()[0]})."


def comparison_section(records: Records, words: Words) -> Section:
    blocks: list[Block] = []
    for variant in records.shown:
        if records.parent(variant) is None:
            continue
        found = comparison_with_parent(records, variant)
        blocks.append(Heading(words("against", after=variant, before=records.parent(variant))))
        if isinstance(found, Comparison):
            blocks += _comparison(found, words)
        else:
            blocks.append(Text(words.free(found) if found else words("absent_comparison"), soft=True))
    blocks += _not_made(records, words)
    title = words("comparison")
    if not blocks:
        return Section("comparison", title, [Text(words("absent_parent"), soft=True)])
    return Section("comparison", title, [Text(words("comparison_about")), *blocks])


def _not_made(records: Records, words: Words) -> Iterator[Block]:
    """One line for the variants with a parent that are not here."""
    if variants := [variant for variant in records.absent if variant != "base"]:
        yield Text(words("absent_variants", variants=", ".join(variants)), soft=True)


def _comparison(found: Comparison, words: Words) -> Iterator[Block]:
    main = [one for one in found.differences if one.main]
    rows = [
        DotRow(
            words("task_shots", task=one.task, shots=one.shots),
            {words("difference"): Dot(one.difference, one.interval.low, one.interval.high)},
            chance=0.0,
        )
        for one in main
    ]
    names = {"axis": words("points_gained"), "chance": words("no_change"), "about": words("comparison_chart")}
    yield Figures([(words("comparison_chart"), dot_chart(rows, names))], wide=True)
    keys = ("task", "shots", "items", "before", "after", "difference", "interval", "p_value", "real")
    body = [_difference(one, words) for one in main]
    body += [row for one in found.suites if (row := _suite(one, words))]
    yield Table([words(key) for key in keys], body, numeric=frozenset(range(1, 8)))
    if notes := [words.free(one) for one in found.warnings] + [
        words("unpaired", what=words.free(one)) for one in found.unpaired
    ]:
        yield Bullets(notes)


def _difference(one: Difference, words: Words) -> list[str]:
    numbers = (one.before, one.after, one.difference, one.interval.low, one.interval.high)
    return [
        one.task,
        str(one.shots),
        number(one.n),
        *_figures(*numbers),
        _p(one.p_corrected),
        _real(one.real, words),
    ]


def _suite(one: SuiteDifference, words: Words) -> list[str] | None:
    if None in (one.before, one.after, one.difference, one.interval, one.p):
        return None
    assert one.before is not None
    assert one.after is not None
    assert one.difference is not None
    assert one.interval is not None
    numbers = (one.before, one.after, one.difference, one.interval.low, one.interval.high)
    return [suite_name(one.name, words), "", "", *_figures(*numbers), _p(one.p), _real(one.real, words)]


def suite_name(name: str, words: Words) -> str:
    return words("suite_all") if name == "all" else words("suite", name=name)


def _figures(before: float, after: float, difference: float, low: float, high: float) -> list[str]:
    return [f"{before:.1f}", f"{after:.1f}", f"{difference:+.1f}", f"{low:+.1f} – {high:+.1f}"]


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _real(real: bool, words: Words) -> str:
    return words("is_real" if real else "not_real")


def gate_section(records: Records, words: Words) -> Section:
    """Of every quantized or tuned variant on the page's line; a version stands on its parents' verdicts too."""
    blocks: list[Block] = []
    for variant in records.models:
        if records.parent(variant) is None:
            continue
        verdict = gate_verdict(records, variant)
        if verdict is not None:
            file = str(records.of(variant, "gates", "gate.json"))
            blocks.append(Heading(words("against", after=variant, before=records.parent(variant))))
            blocks += blocks_or_why(lambda found=verdict: _verdict(found, words), file, words)  # type: ignore[misc]
        else:
            blocks.append(Text(words("absent_gate", variant=variant), soft=True))
    blocks += _not_made(records, words)
    if not blocks:
        blocks.append(Text(words("absent_parent"), soft=True))
    else:
        blocks.insert(0, Text(words("without_ability_about"), soft=True))
    return Section("gate", words("gate"), blocks)


def gate_verdict(records: Records, variant: str) -> Row | None:
    """Of a variant that was stopped too: then the stage published nothing, but for its page."""
    folder = records.of(variant, "gates")
    found = records.read(folder / "gate.json") or records.read(pages_of(folder) / "gate.json")
    return found if isinstance(found, dict) else None


def _verdict(found: Row, words: Words) -> Iterator[Block]:
    limits = found["limits"]
    yield Text(
        words(
            "verdict",
            verdict=words.known(f"verdict_{found['verdict']}", found["verdict"]),
            mean=number(limits["mean_drop_points"]),
            task=number(limits["task_drop_points"]),
        )
    )
    rows = [
        [one["task"], str(one["shots"]), number(one["items"]), _chance(one), *_fall(one, words)]
        for one in found["tasks"]
    ]
    if mean := found.get("mean"):
        rows.append([words("mean"), "", "", "", *_fall(mean, words)])
    keys = (
        "task",
        "shots",
        "items",
        "without_ability",
        "before",
        "after",
        "difference",
        "interval",
        "limit",
        "held",
    )
    yield Table([words(key) for key in keys], rows, numeric=frozenset(range(1, 9)))
    bits = [
        [source, f"{one['before']:.4f}", f"{one['after']:.4f}"]
        for source, one in found["bits_per_byte"].items()
    ]
    if bits:
        yield Text(words("bits_not_decisive"), soft=True)
        yield Table([words(key) for key in ("source", "before", "after")], bits, numeric=frozenset({1, 2}))


def _chance(one: Row) -> str:
    return "–" if one.get("chance") is None else f"{one['chance']:.1f}"


def _fall(one: Row, words: Words) -> list[str]:
    numbers = _figures(one["before"], one["after"], one["difference"], one["low"], one["high"])
    verdict = one["verdict"]
    return [*numbers, f"{0 - one['limit']:g}", words.known(f"row_{verdict.replace(' ', '_')}", verdict)]
