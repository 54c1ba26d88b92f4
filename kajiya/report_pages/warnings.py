"""What a reader must know before believing the rest of the page."""

from collections.abc import Iterator
from functools import partial

from kajiya.html_page import number
from kajiya.published_items import other_items
from kajiya.report_pages.against import gate_verdict
from kajiya.report_pages.blocks import Bullets, Section, Text
from kajiya.report_pages.foreign import told_or_why
from kajiya.report_pages.judged import judge_scores, judge_warnings, scores_path
from kajiya.report_pages.records import Records, Row
from kajiya.report_pages.scores import CHANCE, main_score
from kajiya.report_pages.words import Words


def warnings_section(records: Records, words: Words) -> Section:
    made = (_absent, _origin, _training, _evaluation, _gates, _judges)
    found = [
        line for part in made for line in told_or_why(partial(part, records, words), records.recipe, words)
    ]
    if not found:
        return Section("warnings", words("warnings"), [Text(words("no_warnings"))])
    return Section("warnings", words("warnings"), [Bullets(list(dict.fromkeys(found)))])


def _absent(records: Records, words: Words) -> Iterator[str]:
    if records.absent:
        yield words("absent_variants", variants=", ".join(records.absent))
    if unasked := [variant for variant in records.shown if not records.results(variant)]:
        yield words("warn_not_evaluated", variants=", ".join(unasked))


def _origin(records: Records, words: Words) -> Iterator[str]:
    shrunk = records.lineage.shrunk if records.lineage else None
    trial = shrunk.recipe if shrunk else (records.recipe_file().get("shrunk") or {}).get("recipe")
    if trial:
        yield words("warn_shrunk", recipe=trial)
    if records.lineage and records.lineage.code.dirty:
        yield words("warn_dirty")
    if records.lineage and records.lineage.code.commit is None:
        yield words("warn_no_commit", problem=words.free(records.lineage.code.problem or ""))


def _training(records: Records, words: Words) -> Iterator[str]:
    for made in records.models.values():
        forgetting = made.report.figures.get("forgetting")
        alarms = forgetting.get("alarms") if isinstance(forgetting, dict) else None
        if alarms:
            yield words("warn_alarms", stage=made.name, count=alarms)
        if rewinds := made.report.figures.get("rewinds"):
            yield words("warn_rewinds", stage=made.name, count=len(rewinds))


def _evaluation(records: Records, words: Words) -> Iterator[str]:
    """Of every task; what is true of several variants is said once."""
    told: dict[str, list[str]] = {}
    for variant in records.shown:
        result = records.results(variant)
        for task, by_shots in result.get("tasks", {}).items():
            for shots, measures in by_shots.items():
                for text in _task((task, shots), measures, words):
                    told.setdefault(text, []).append(variant)
        for task, reason in (result.get("skipped") or {}).items():
            told.setdefault(words("warn_skipped", task=task, reason=words.free(str(reason))), []).append(
                variant
            )
        if other := other_items(result):
            told.setdefault(words("warn_other_items", items=other), []).append(variant)
    for text, variants in told.items():
        yield words("warn_of", variants=", ".join(variants), text=text)


def _task(setting: tuple[str, str], measures: Row, words: Words) -> Iterator[str]:
    task, shots = setting
    named = words("task_shots", task=task, shots=shots)
    if cut := measures.get("truncated"):
        yield words("warn_truncated", task=named, count=number(cut), n=number(measures.get("n")))
    score = main_score(measures)
    if score and score.low is not None and task in CHANCE and score.low <= 100 * CHANCE[task]:
        yield words("warn_chance", task=named, score=score.told())


def _gates(records: Records, words: Words) -> Iterator[str]:
    for variant in records.models:
        if records.parent(variant) is None:
            continue
        verdict = gate_verdict(records, variant)
        said = str(verdict.get("verdict", "?")) if verdict else "passed"
        if said != "passed":
            yield words("warn_gate", variant=variant, verdict=words.known(f"verdict_{said}", said))


def _judges(records: Records, words: Words) -> Iterator[str]:
    for variant in records.shown:
        if found := judge_scores(records, variant):
            make = partial(judge_warnings, found, variant, words)
            yield from told_or_why(make, str(scores_path(records, variant)), words)
