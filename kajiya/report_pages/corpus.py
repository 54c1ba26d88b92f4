"""The corpus: what came in, what was left at each stage, what it is made of, and how it became tokens."""

from collections.abc import Iterator
from typing import Any

from kajiya.html_page import number, percent
from kajiya.report_pages.blocks import Bar, Block, Cell, Figures, Heading, Section, Table, Text
from kajiya.report_pages.funnel import STAGES, funnel, levels
from kajiya.report_pages.records import Made, Records
from kajiya.report_pages.words import Words


def corpus_section(records: Records, words: Words) -> Section:
    blocks: list[Block] = []
    found = levels(records.stages)
    if svg := funnel(found, words):
        blocks += [
            Text(words("corpus_about")),
            Figures([(words("corpus_funnel"), svg)], wide=True),
            _flows(records, words),
        ]
    else:
        blocks.append(Text(words("absent_corpus"), soft=True))
    if validate := records.stage("validate"):
        blocks += _composition(validate, words)
    return Section("corpus", words("corpus"), blocks)


def _flows(records: Records, words: Words) -> Table:
    """Every stage that carries documents, tuning among them, and its sources."""
    order = {kind: place for place, kind in enumerate(STAGES)}
    stages = [stage for stage in records.stages if stage.report.flows]
    stages.sort(key=lambda stage: order.get(stage.kind, len(order)))
    most = max(sum(flow.came_in for flow in stage.report.flows.values()) for stage in stages) or 1
    rows: list[list[Cell]] = []
    totals = set()
    for stage in stages:
        flows = stage.report.flows
        came_in, out = (sum(getattr(flow, side) for flow in flows.values()) for side in ("came_in", "out"))
        lost = {source: _reasons(flow.rejected) for source, flow in flows.items()}
        only = next(iter(flows)) if len(flows) == 1 else None
        totals.add(len(rows))
        rows.append(
            [
                stage.name,
                only or words("all_sources"),
                number(came_in),
                number(out),
                Bar(out / most),
                lost[only] if only else number(came_in - out),
            ]
        )
        if not only:
            rows += [
                ["", source, number(flow.came_in), number(flow.out), "", lost[source]]
                for source, flow in flows.items()
            ]
    head = [words(key) for key in ("stage", "source", "came_in", "out")] + ["", words("rejected")]
    return Table(head, rows, numeric=frozenset({2, 3}), totals=frozenset(totals), small=True)


def _reasons(rejected: Any) -> str:
    return ", ".join(f"{reason} {number(count)}" for reason, count in rejected.most_common() if count)


def _composition(validate: Made, words: Words) -> Iterator[Block]:
    """Licences, writers and languages of the corpus, as validation counted them."""
    counted = validate.report.figures.get("documents")
    if not isinstance(counted, dict):
        return
    rows = []
    for key in ("license", "generator", "language"):
        parts = counted.get(key)
        if isinstance(parts, dict) and parts:
            whole = sum(parts.values())
            shares = ", ".join(
                f"{name} {number(count)} ({percent(count, whole)})" for name, count in parts.items()
            )
            rows.append([words(f"corpus_{key}"), shares])
    characters = validate.report.figures.get("characters")
    if characters is not None:
        rows.append([words("corpus_characters"), number(characters)])
    if rows:
        yield Heading(words("corpus_composition"))
        yield Table([words("what"), words("documents")], rows)


def tokenizer_section(records: Records, words: Words) -> Section:
    tokenizer, tokens = records.stage("tokenizer"), records.stage("tokenize")
    blocks: list[Block] = []
    if tokenizer:
        figures = tokenizer.report.figures
        blocks.append(Text(words("tokenizer_pieces", pieces=number(figures.get("pieces")))))
        blocks += _fertility(figures.get("sources"), words)
    if tokens:
        blocks += _tokens(tokens.report.figures, words)
    if not blocks:
        blocks.append(Text(words("absent_tokenizer"), soft=True))
    return Section("tokenizer", words("tokenizer"), blocks)


def _fertility(sources: Any, words: Words) -> Iterator[Block]:
    if isinstance(sources, dict) and sources:
        rows = [
            [
                words("all_sources") if name == "all" else name,
                f"{one['characters_per_token']:.3f}",
                f"{100 * one['byte_token_share']:.2f} %",
            ]
            for name, one in sources.items()
        ]
        head = [words(key) for key in ("source", "characters_per_token", "byte_tokens")]
        yield Table(head, rows, numeric=frozenset({1, 2}))


def _tokens(figures: dict[str, Any], words: Words) -> Iterator[Block]:
    splits = figures.get("tokens")
    if not isinstance(splits, dict) or not all(isinstance(part, dict) for part in splits.values()):
        return
    train, validation = splits.get("train", {}), splits.get("validation", {})
    whole = sum(train.values())
    repeated = figures.get("repetitions", {})
    rows = [
        [
            source,
            number(count),
            percent(count, whole),
            number(validation.get(source)),
            f"{repeated[source]:.2f}" if source in repeated else "–",
        ]
        for source, count in train.items()
    ]
    rows.append([words("all_sources"), number(whole), "", number(sum(validation.values())), ""])
    yield Heading(words("mixture"))
    head = [words(key) for key in ("source", "train_tokens", "share", "validation_tokens", "repetitions")]
    yield Table(head, rows, numeric=frozenset({1, 2, 3, 4}), totals=frozenset({len(rows) - 1}))
