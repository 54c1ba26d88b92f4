"""The evaluation sets that a run needs, found in the folder of all sets; a missing one is never passed over."""

import difflib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.evaluate.catalog import TASKS, facts_of
from kajiya.errors import KajiyaError
from kajiya.evaluation_forms import plain_name
from kajiya.evaluation_items import JAQKET
from kajiya.evaluation_sets import EvaluationSet, Splits, evaluation_split, find_sets, load_file

if TYPE_CHECKING:
    from components.evaluate import EvaluateSettings

Sets = dict[str, dict[str, EvaluationSet]]
"""By task, and then `valid` (the items asked) and `train` (solved examples, where they are another split)."""


def load_sets(config: "EvaluateSettings", folder: Path) -> Sets:
    """The sets that the settings ask for. Raises KajiyaError for one that the folder does not have."""
    return {name: _load(config, name, splits) for name, splits in locate_sets(config, folder).items()}


def locate_sets(config: "EvaluateSettings", folder: Path) -> dict[str, Splits]:
    """Where they lie, unread. Raises KajiyaError as load_sets."""
    found = find_sets(folder)
    _check_skips(config, folder, found)
    asked = (*config.tasks, *(["english"] if config.english else []))
    return {name: _locate(config, folder, found, name) for name in asked if name not in config.skip}


def shots_of(config: "EvaluateSettings", task: str) -> tuple[int, ...]:
    return config.shots.get(task, facts_of(task).shots)


def versions(splits: dict[str, EvaluationSet]) -> dict[str, Any]:
    """Of the items asked, and of the split the examples come from where it is another file."""
    asked = splits["valid"]
    found = _version(asked)
    if "train" in splits:
        found["examples"] = _version(splits["train"])
    return found


def _version(one: EvaluationSet) -> dict[str, Any]:
    return {"split": one.split, "version": one.version, "sha256": one.sha256, "items": len(one.items)}


def _check_skips(config: "EvaluateSettings", folder: Path, found: dict[str, Splits]) -> None:
    for name, reason in config.skip.items():
        if name not in TASKS and name not in config.tasks:
            near = difflib.get_close_matches(name, [*TASKS, *config.tasks], 1)
            hint = f" Did you mean `{near[0]}`?" if near else f" Known: {', '.join(TASKS)}."
            raise KajiyaError(f"evaluate.skip: no task is called `{name}`.{hint}")
        if not reason.strip():
            raise KajiyaError(f"evaluate.skip.{name}: no reason given. Say in words why it is left out.")
        if name in config.data or _named(found, name):
            raise KajiyaError(
                f"evaluate.skip.{name}: the set is there, below {folder}. Take the entry out of evaluate.skip to run"
                " it; a task that nobody asks for is left out of evaluate.tasks."
            )


def _locate(config: "EvaluateSettings", folder: Path, found: dict[str, Splits], name: str) -> Splits:
    if name in config.data:
        return _named_path(config, folder, found, name)
    known = _named(found, name)
    if len(known) > 1:
        raise KajiyaError(
            f"{folder}: {' and '.join(known)} both hold the set {name}. Name one in evaluate.data.{name}."
        )
    if known:
        return found[known[0]]
    remedy = (
        "set evaluate.english to false"
        if name == "english"
        else f"give the reason in evaluate.skip.{name}, or leave it out of evaluate.tasks"
    )
    there = ", ".join(sorted(found)) or "none"
    raise KajiyaError(
        f"{folder / name}: no such folder. Put the set {name} there, name its folder in evaluate.data.{name}, or"
        f" {remedy}. Sets there are: {there}."
    )


def _named(found: dict[str, Splits], name: str) -> list[str]:
    return [one for one in found if name in (one, one.rpartition("/")[2], plain_name(one))]


def _named_path(config: "EvaluateSettings", folder: Path, found: dict[str, Splits], name: str) -> Splits:
    path = Path(config.data[name])
    where = f"evaluate.data.{name}: {path}"
    if path.is_absolute() or ".." in path.parts:
        raise KajiyaError(
            f"{where}: must lie below the evaluation sets, {folder}, which the corpus is cleared of."
        )
    if (folder / path).is_file():
        beside = next((splits for splits in found.values() if folder / path in splits.values()), {})
        return {"test": folder / path} | ({"train": beside["train"]} if "train" in beside else {})
    inside = [splits for splits in found.values() if _folder(splits) == folder / path]
    if len(inside) != 1:
        problem = "no evaluation set there" if not inside else "several sets there: name one file"
        raise KajiyaError(
            f"{where}: {problem}. Folders below {folder}: {', '.join(sorted(found)) or 'none'}."
        )
    return inside[0]


def _folder(splits: Splits) -> Path:
    path = next(iter(splits.values()))
    return path if path.is_dir() else path.parent


def _load(config: "EvaluateSettings", name: str, splits: Splits) -> dict[str, EvaluationSet]:
    asked = evaluation_split(splits)
    loaded = {"valid": _answerable(load_file(name, asked, splits[asked]))}
    # As the harness does: the training split, or else the development split beside a test split.
    examples = next((one for one in ("train", "valid") if one in splits and one != asked), None)
    if examples and name != "english" and max(shots_of(config, name), default=0) > 0:
        loaded["train"] = _answerable(load_file(name, examples, splits[examples]))
    return loaded


def _answerable(one: EvaluationSet) -> EvaluationSet:
    """JAQKET without the questions that none of the passages answers: the published scores leave them out."""
    items = tuple(
        item
        for item in one.items
        if not isinstance(item, JAQKET) or any(found.has_answer for found in item.ctxs)
    )
    if not items:
        raise KajiyaError(
            f"evaluate: no passage of {one.name} answers its question. Take the set with passages."
        )
    return replace(one, items=items)
