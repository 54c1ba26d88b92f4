"""Normalise the documents of one source, mask personal data, reject what is not worth learning from.

In this order, for every document: one spelling for one character (width, composition, line ends,
invisible characters); boilerplate lines out (menus, share buttons, cookie notices, footers), if the rule
set of the source removes any; personal data masked; then the rules of the source, all of them measured,
of which the first that fails is the reason. docs/cleaning.md has every rule with examples.

CRAWLED is a folder of Document shards, EXCLUSIONS the list of takedowns (`exclusions.yaml`). OUT gets one
shard per shard of CRAWLED, in the same order; `rejected/` with the rule, its value and its threshold;
`measures/` with what every rule measured on every document, and `rules.json`, for the audit. The report
counts documents per source and reason, lines removed per kind, and masks.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from components.clean.documents import clean_documents
from components.clean.rules import listed
from components.clean.rulesets import NamedRuleSet
from kajiya.engine import Ledger, map_shards
from kajiya.errors import KajiyaError
from kajiya.exclusions import load
from kajiya.records import DOCUMENT, REJECTED
from kajiya.report import Flow, Report, add_flows
from kajiya.settings import Settings
from kajiya.shards import list_shards, read_shard, shard_path, write_file, write_shard

# A batch's code points and tables should fit the processor's cache, and bound the memory of a worker.
_BATCH_BYTES = 4 * 1024 * 1024


class CleanSettings(Settings):
    """Settings of `clean.<source>`."""

    rules: NamedRuleSet
    """Name of a rule set (web-ja, technical-ja, encyclopedic-ja, minutes-ja, literature-ja, web-en,
    literature-en, code; swallow-v1 and llm-jp for comparison), or one with changes, `{from: web-ja, change:
    {length: {min_chars: 200}}, drop: [broken_off], add: [{rule: open_end}], lines: [...]}`, or an own one:
    `{lines: [navigation, ...], documents: [{rule: length, min_chars: 100}, ...]}`."""
    mask_personal_data: bool = True
    """Replace e-mail addresses by `<email>`, telephone numbers by `<phone>`, postal addresses by `<address>`,
    card numbers by `<card>` and individual numbers by `<mynumber>`."""


class _Task(NamedTuple):
    config: CleanSettings
    excluded: dict[str, str]
    shard: Path
    kept: Path
    rejected: Path
    measures: Path


class _Counts(NamedTuple):
    flows: dict[str, Flow]
    figures: Counter[str]


def run(config: CleanSettings, crawled: Path, exclusions: Path, *, out: Path, ledger: Ledger) -> Report:
    excluded = {name: entry.reason for name, entry in load(exclusions).items()}
    tasks = [
        _Task(
            config,
            excluded,
            shard,
            shard_path(out, index),
            shard_path(out / "rejected", index),
            shard_path(out / "measures", index),
        )
        for index, shard in enumerate(list_shards(crawled))
    ]
    flows: dict[str, Flow] = {}
    figures: Counter[str] = Counter()
    for counts in map_shards(_clean_shard, tasks, "clean", ledger):
        figures.update(counts.figures)
        add_flows(flows, counts.flows)
    if not flows:
        raise KajiyaError(f"{crawled}: holds no documents. Check what crawl was told to fetch.")
    if not any(flow.out for flow in flows.values()):
        raise KajiyaError(_nothing_kept(crawled, flows))
    content = json.dumps(listed(config.rules.documents), ensure_ascii=False, indent=2) + "\n"
    write_file(out / "rules.json", content)
    return Report(flows=flows, figures=_nested(figures))


def _nothing_kept(crawled: Path, flows: dict[str, Flow]) -> str:
    rejected: Counter[str] = sum((flow.rejected for flow in flows.values()), Counter())
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(rejected.items()))
    return (
        f"{crawled}: all {rejected.total()} documents were rejected ({reasons}). Check the rules of the source in the "
        "section clean, or take the source out of `sources`."
    )


def _clean_shard(task: _Task) -> _Counts:
    table = read_shard(task.shard)
    figures: Counter[str] = Counter()
    kept, rejected, measures = [DOCUMENT.empty_table()], [REJECTED.empty_table()], []
    for batch in _batches(table):
        cleaned = clean_documents(batch, task.config.rules, task.config.mask_personal_data, task.excluded)
        kept.append(cleaned.kept)
        rejected.append(cleaned.rejected)
        measures.append(cleaned.measures)
        figures.update(cleaned.figures)
    kept_table, rejected_table = pa.concat_tables(kept), pa.concat_tables(rejected)
    write_shard(kept_table.combine_chunks(), task.kept)
    write_shard(rejected_table.combine_chunks(), task.rejected)
    write_shard(pa.concat_tables(measures).combine_chunks(), task.measures)
    return _Counts(_flows(table, kept_table, rejected_table), figures)


def _batches(table: pa.Table) -> Iterator[pa.Table]:
    rows = max(1, int(_BATCH_BYTES * table.num_rows / max(1, table["text"].nbytes)))
    for begin in range(0, max(1, table.num_rows), rows):  # an empty shard is one empty batch
        yield table.slice(begin, rows)


def _flows(came: pa.Table, kept: pa.Table, rejected: pa.Table) -> dict[str, Flow]:
    flows = {source: Flow(came_in=n) for source, n in Counter(came["source"].to_pylist()).items()}
    for source, n in Counter(kept["source"].to_pylist()).items():
        flows[source].out = n
    reasons = Counter(zip(rejected["source"].to_pylist(), rejected["reason"].to_pylist(), strict=True))
    for (source, reason), n in reasons.items():
        flows[source].rejected[reason] = n
    return flows


def _nested(figures: Counter[str]) -> dict[str, dict[str, int]]:
    """{"masked.email": 3} as {"masked": {"email": 3}}."""
    result: dict[str, dict[str, int]] = {}
    for name, count in sorted(figures.items()):
        group, _, kind = name.partition(".")
        result.setdefault(group, {})[kind] = count
    return result
