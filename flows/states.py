"""The state of every stage, as `kajiya status` shows it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.repo import Repo

from flows.graph import Stage, changes_by_stage, open_repo, read_graph, select
from kajiya.stage import beside


@dataclass(frozen=True)
class StageState:
    name: str
    state: str
    """current, changed, never (run), running, or waiting: current itself, but what it reads will be made anew."""
    reason: str
    """What changed."""
    seconds: float | None
    """Of its last run on this machine."""


def stage_states(root: Path, recipe: str | None = None) -> list[StageState]:
    """Every stage in the order of `dvc repro`, with what would make it run."""
    with open_repo(root) as repo:
        graph = select(read_graph(repo), recipe)
        changes = changes_by_stage(repo, graph)
        ever = _ever_run(repo)
    states: dict[str, StageState] = {}
    for name, stage in graph.items():
        before = sorted(need for need in stage.needs if states[need].state != "current")
        # DVC's locks also hold back whoever reads what a running stage writes.
        running = changes[name] is None and all(changes[need] is not None for need in stage.needs)
        state, reason = ("running", "") if running else _judge(changes[name] or [], name in ever, before)
        states[name] = StageState(name, state, reason, _seconds(stage, root))
    return list(states.values())


def _judge(changes: list[Any], ever: bool, before: list[str]) -> tuple[str, str]:
    if not ever:
        return "never", ""
    if changes:
        return "changed", _reason(changes)
    return ("waiting", f"for {', '.join(before)}") if before else ("current", "")


def _reason(changes: list[Any]) -> str:
    """`params.yaml dedupe.threshold modified, data/clean deleted`, from what DVC found."""
    words: list[str] = []
    for change in changes:
        if isinstance(change, str):  # "changed command"
            words.append(change.removeprefix("changed "))
            continue
        for what in change.values():
            for path, kind in what.items():
                if isinstance(kind, dict):  # the keys of a parameter file
                    words += [f"{path} {key} {how}" for key, how in kind.items()]
                else:
                    words.append(f"{path} {kind}")
    return ", ".join(words)


def _ever_run(repo: Repo) -> set[str]:
    return {stage.addressing for stage in repo.index.stages if any(out.hash_info for out in stage.outs)}


def _seconds(stage: Stage, root: Path) -> float | None:
    if stage.out is None:
        return None
    try:
        return float(json.loads(beside(root / stage.out, "run").read_bytes())["seconds"])
    except FileNotFoundError:
        return None
