"""Where a model comes from, and what it takes to make it again."""

from collections.abc import Iterator
from typing import Any

from kajiya.html_page import number
from kajiya.lineage import Lineage
from kajiya.report_pages.blocks import Block, Bullets, Facts, Figures, Heading, Section, Table, Text
from kajiya.report_pages.records import Records
from kajiya.report_pages.stage_map import stage_map
from kajiya.report_pages.words import Words


def lineage_section(records: Records, words: Words) -> Section:
    if not records.stages:
        return Section("lineage", words("lineage"), [Text(words("absent_any"), soft=True)])
    blocks: list[Block] = [Text(words("lineage_about"))]
    caption = words("lineage_chart")
    blocks.append(Figures([(caption, stage_map(records.stages, caption))], wide=True))
    rows = [
        [made.name, str(made.out), f"`{made.digest.removesuffix('.dir')}`", ", ".join(made.needs) or "–"]
        for made in records.stages
    ]
    blocks.append(Table([words(key) for key in ("stage", "output", "hash", "reads")], rows, small=True))
    if records.lineage:
        blocks += _sources(records.lineage, words)
    return Section("lineage", words("lineage"), blocks)


def _sources(lineage: Lineage, words: Words) -> Iterator[Block]:
    rows = [[one.name, number(len(one.inputs)), number(one.documents)] for one in lineage.sources]
    if rows:
        yield Heading(words("raw_files"))
        head = [words(key) for key in ("source", "files", "documents")]
        yield Table(head, rows, numeric=frozenset({1, 2}))
        yield Text(words("raw_files_note"), soft=True)


def again_section(records: Records, words: Words) -> Section:
    """What identifies the work, what was random, and how it is done again."""
    pairs = _identity(records.lineage, words) if records.lineage else []
    seeds = ", ".join(f"{name} {seed}" for name, seed in _seeds(records)) or words("default_seeds")
    pairs.append((words("seeds"), seeds))
    steps = [words("again_code"), words("again_data"), words("again_run", recipe=records.recipe)]
    blocks: list[Block] = [Facts(pairs), Bullets(steps), Text(words("again_exact"), soft=True)]
    if not records.lineage:
        blocks.append(Text(words("again_versions"), soft=True))
    return Section("again", words("again"), blocks)


def _identity(lineage: Lineage, words: Words) -> list[tuple[str, str]]:
    code, environment = lineage.code, lineage.environment
    commit = f"`{code.commit}`" if code.commit else words.free(code.problem or "–")
    return [
        (words("lineage_digest"), f"`{lineage.digest()}`"),
        (words("data_digest"), f"`{lineage.data_digest()}`"),
        (words("commit"), words("dirty_commit", commit=commit) if code.dirty else commit),
        ("Python", environment.python),
        ("requirements.lock", f"`{environment.requirements_lock}`"),
        (words("recipe_file"), f"`{lineage.recipe_file.path}` `{lineage.recipe_file.hash}`"),
    ]


def _seeds(records: Records) -> Iterator[tuple[str, Any]]:
    """Seeds that the settings name; the others are the defaults of docs/settings.md at that commit."""
    for made in records.stages:
        for sections in made.parameters.values():
            for section, values in sections.items():
                if isinstance(values, dict) and "seed" in values:
                    yield f"{section}.seed", values["seed"]
                elif section.endswith(".seed") or section == "seed":
                    yield section, values
