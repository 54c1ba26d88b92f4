"""Texts that the models wrote, as the stage evaluate left them in samples.jsonl."""

from kajiya.html_page import number
from kajiya.report_pages.blocks import Block, Heading, Section, Text, Written
from kajiya.report_pages.records import Records, Row
from kajiya.report_pages.words import Words

FILE = "samples.jsonl"


def texts_section(records: Records, words: Words) -> Section:
    blocks: list[Block] = []
    for variant in records.shown:
        rows = records.lines(records.of(variant, "evaluation", FILE))
        if rows:
            blocks += [Heading(variant), *(_written(row, words) for row in rows)]
        else:
            key = "absent_texts" if records.results(variant) else "absent_texts_evaluation"
            blocks.append(Text(words(key, variant=variant), soft=True))
    about = [Text(words("texts_about"))] if any(isinstance(block, Written) for block in blocks) else []
    return Section("texts", words("texts"), [*about, *(blocks or [Text(words("absent_scores"), soft=True)])])


def _written(row: Row, words: Words) -> Written:
    told = [words("asked_as_chat") if row.get("chat") else words("continued")]
    temperature = row.get("temperature")
    told.append(
        words("greedy") if not temperature else words("drawn", temperature=temperature, seed=row.get("seed"))
    )
    if row.get("tokens") is not None:
        told.append(words("tokens_written", count=number(row["tokens"])))
        told.append(words("ended" if row.get("ended") else "cut_short"))
    return Written(
        str(row.get("prompt", "")), str(row.get("text", "")), words("comma").join(told), bool(row.get("chat"))
    )
