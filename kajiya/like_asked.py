"""Whether two evaluations asked the same: only then does a difference tell of the models."""

from collections.abc import Iterator, Sequence
from typing import Any

from kajiya.errors import KajiyaError
from kajiya.evaluation_results import Evaluation, Setting

# Of the whole evaluation, as results.json names them, and for a person.
_CONDITIONS = {
    "choices": "way to ask JCommonsenseQA (evaluate.choices)",
    "chat_template": "chat template (evaluate.chat_variants)",
}
_SHOWN_ITEMS = 3


def check_alike(before: Evaluation, after: Evaluation, common: Sequence[Setting]) -> None:
    """Raise KajiyaError naming everything that was asked otherwise: data, prompts, chat template, items."""
    found = [
        *_conditions(before.results, after.results),
        *(line for task in dict.fromkeys(task for task, _ in common) for line in _data(before, after, task)),
        *(line for setting in common for line in _prompts(before, after, setting)),
        *_examples(before, after, common),
    ]
    # Other data has other items: naming those too would say it twice.
    found = found or [line for setting in common for line in _items(before, after, setting)]
    if found:
        listing = "".join(f"\n  - {line}" for line in found)
        raise KajiyaError(
            f"{before.name} and {after.name} were not asked alike, so their scores cannot be paired:{listing}\n"
            "Evaluate both with the same settings `evaluate`, data and kajiya, or compare others."
        )


def warnings_of(before: Evaluation, after: Evaluation, common: Sequence[Setting]) -> Iterator[str]:
    """What does not forbid a comparison, but may move scores."""
    old, new = (evaluation.results.get("harness") for evaluation in (before, after))
    if old != new:
        yield (
            f"The harness is not the same: {old} ({before.name}) and {new} ({after.name}). One model has scored"
            " 63.63 and 66.84 in two harness runs: evaluate both with one before you trust a difference."
        )
    old, new = (evaluation.results.get("dtype") for evaluation in (before, after))
    if old != new:
        yield (
            f"The precision is not the same: {old} ({before.name}) and {new} ({after.name}). Likelihoods that lie close"
            " together may change places: set `evaluate.dtype` before you trust a small difference."
        )
    for one in (before, after):
        counts = {setting: one.scores(setting).get("truncated", 0) for setting in common}
        cut = ", ".join(f"{count} of {task}@{shots}" for (task, shots), count in counts.items() if count)
        if cut:
            yield f"{one.name}: prompts were cut to the model's context, so that examples or text are missing: {cut}."


def _conditions(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    for key, shown in _CONDITIONS.items():
        if before.get(key) != after.get(key):
            yield f"{shown}: {before.get(key)} against {after.get(key)}"


def _data(before: Evaluation, after: Evaluation, task: str) -> Iterator[str]:
    old, new = (one.results.get("data_versions", {}).get(task) for one in (before, after))
    if old != new:
        yield f"data of {task}: {_version(old)} against {_version(new)}"


def _version(data: dict[str, Any] | None) -> str:
    if not data:
        return "none stated"
    parts = [f"version {data.get('version')}, sha256 {str(data.get('sha256'))[:12]}"]
    if "examples" in data:
        parts.append(f"examples {_version(data['examples'])}")
    return "; ".join(parts)


def _prompts(before: Evaluation, after: Evaluation, setting: Setting) -> Iterator[str]:
    for key, shown in (("prompts", "prompt version"), ("main", "main metric")):
        old, new = (one.scores(setting).get(key) for one in (before, after))
        if old != new:
            yield f"{shown} of {setting[0]} with {setting[1]} shots: {old} against {new}"


def _examples(before: Evaluation, after: Evaluation, common: Sequence[Setting]) -> Iterator[str]:
    """The seed draws the solved examples, from whatever split; lm-eval's own task files have one of theirs."""
    old, new = (one.results.get("seed") for one in (before, after))
    drawn = [
        f"{task}@{shots}"
        for task, shots in common
        if shots and not str(before.scores((task, shots)).get("prompts")).startswith("harness ")
    ]
    if drawn and old != new:
        yield f"solved examples of {', '.join(drawn)}, drawn by evaluate.seed: {old} against {new}"


def _items(before: Evaluation, after: Evaluation, setting: Setting) -> Iterator[str]:
    ids = {one.name: set(one.answers[setting].ids) for one in (before, after)}
    for name, other in ((before.name, after.name), (after.name, before.name)):
        alone = sorted(ids[name] - ids[other], key=str)
        if alone:
            shown = ", ".join(map(str, alone[:_SHOWN_ITEMS])) + (", ..." if len(alone) > _SHOWN_ITEMS else "")
            yield (
                f"items of {setting[0]} with {setting[1]} shots: {len(alone)} only in {name} ({shown});"
                " compare `evaluate.limit` and `evaluate.seed`"
            )
