"""Take evaluation items out of the corpus: a model must not have read what it is measured on.

Every text of every set in EVALUATION_SETS (questions, contexts, sentences, reviews, English texts) is
cut into character n-grams, and so is every document, by letters and digits alone. A document that
covers more than `max_overlap` of the n-grams of some text is dropped, or the sentences that cover it are
cut out of it (`action`); an item shorter than an n-gram must be contained whole.

DEDUPED is a folder of Document shards. OUT gets one shard per shard of DEDUPED, in the same order.
`rejected/` gives as `reason` `evaluation_overlap`, or `too_short_after_cut` where too little was left,
as `detail` set, split and item, and as `value` the covered share, or the characters left. With `action:
cut`, `cuts/` holds what was cut. The report counts per set the items and documents that overlap, and
what of the items stays in the corpus.
"""

from pathlib import Path

from components.decontaminate.figures import Counts, add_counts, figures
from components.decontaminate.settings import DecontaminateSettings
from components.decontaminate.shard import Task, decontaminate_shard
from kajiya.engine import Ledger, map_shards
from kajiya.errors import KajiyaError
from kajiya.overlap import load_watched
from kajiya.report import Report
from kajiya.shards import list_shards, shard_path


def run(
    config: DecontaminateSettings, deduped: Path, evaluation_sets: Path, *, out: Path, ledger: Ledger
) -> Report:
    watched = load_watched(config, evaluation_sets)
    tasks = [
        Task(
            shard,
            shard_path(out, i),
            shard_path(out / "rejected", i),
            shard_path(out / "cuts", i),
            evaluation_sets,
            config,
        )
        for i, shard in enumerate(list_shards(deduped))
    ]
    total = Counts.none(watched)
    for counts in map_shards(decontaminate_shard, tasks, "decontaminate", ledger):
        add_counts(total, counts)
    if not any(flow.out for flow in total.flows.values()):
        raise KajiyaError(
            f"{deduped}: no document is left without an overlap with {evaluation_sets}."
            " Check that the sets are not the corpus itself, and decontaminate.max_overlap."
        )
    return Report(flows=total.flows, figures=figures(watched, total, config.max_overlap))
