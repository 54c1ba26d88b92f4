"""The stages of dvc.yaml, in order, with what each needs: read through DVC, written nowhere else."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.lock import LockError
from dvc.repo import Repo
from dvc.repo.reproduce import plan_repro
from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

from kajiya.errors import KajiyaError
from kajiya.shards import write_file

RECIPES = Path("recipes")


@dataclass(frozen=True)
class Stage:
    """One node of the graph."""

    name: str
    """As DVC addresses it: `clean@c4`."""
    needs: frozenset[str]
    """Names of the stages whose outputs it reads."""
    out: Path | None
    """Its output folder; the reports stand beside it."""
    reads: frozenset[str]
    """Paths of its dependencies and parameter files."""
    settings: tuple[tuple[Path, tuple[str, ...]], ...] = ()
    """Files and sections it takes its settings from; empty for commands that are no component of ours."""
    retries: int = 0
    retry_delay_seconds: float = 0


Graph = dict[str, Stage]
"""Stages by name, in the order in which `dvc repro` takes them."""


@contextmanager
def open_repo(root: Path) -> Iterator[Repo]:
    """The DVC repository at `root`; what DVC finds wrong in dvc.yaml is said without a traceback."""
    try:
        with Repo(str(root), _wait_for_lock=True) as repo:
            yield repo
    except NotDvcRepoError:
        raise KajiyaError(
            f"{root}: no DVC repository. Run from the root of a clone of the project."
        ) from None
    except DvcException as error:
        raise KajiyaError(f"dvc.yaml: {error}{_cause(error)}") from None


def cache_folder(root: Path) -> Path:
    """Where DVC keeps the outputs of the project at `root`."""
    with open_repo(root) as repo:
        return Path(repo.cache.local_cache_dir)


def read_graph(repo: Repo) -> Graph:
    """Every stage of dvc.yaml that the active sources and recipes give."""
    edges = repo.index.graph  # an edge points to what a stage needs
    return {
        stage.addressing: _stage(stage, frozenset(need.addressing for need in edges.successors(stage)))
        for stage in plan_repro(edges)
    }


def _stage(stage: Any, needs: frozenset[str]) -> Stage:
    meta = stage.meta or {}
    root = stage.repo.root_dir
    outs = [Path(out.fs_path) for out in stage.outs if not out.metric]
    return Stage(
        name=stage.addressing,
        needs=needs,
        out=outs[0].relative_to(root) if outs else None,
        reads=frozenset(str(Path(dep.fs_path).relative_to(root)) for dep in stage.deps if _inside(dep, root)),
        settings=tuple(_settings(stage, root)),
        retries=_number(stage, meta, "retries"),
        retry_delay_seconds=_number(stage, meta, "retry_delay_seconds"),
    )


def _settings(stage: Any, root: str) -> Iterator[tuple[Path, tuple[str, ...]]]:
    if str(stage.cmd).startswith("python -m components."):
        for dependency in stage.deps:
            for section in getattr(dependency, "params", ()):
                yield Path(dependency.fs_path).relative_to(root), tuple(section.split("."))


def _inside(dependency: Any, root: str) -> bool:
    return dependency.protocol == "local" and Path(dependency.fs_path).is_relative_to(root)


def _number(stage: Any, meta: dict[str, Any], key: str) -> Any:
    value = meta.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise KajiyaError(
            f"dvc.yaml: {stage.addressing}: meta.{key}: expected a number from 0 up, found {value!r}."
        )
    return value


def _cause(error: BaseException) -> str:
    return f": {error.__cause__}" if error.__cause__ else ""


def select(graph: Graph, recipe: str | None = None, until: str | None = None) -> Graph:
    """The stages to walk: all, or those one recipe, or one stage, stands on.

    until: a stage (`clean@c4`) or all stages of one name (`clean`).
    Raises KajiyaError, with the nearest known names, where there is no such recipe or stage.
    """
    names = set(graph)
    if recipe is not None:
        names = _with_ancestors(graph, _of_recipe(graph, recipe))
    if until is not None:
        targets = {name for name in names if until in (name, name.partition("@")[0])}
        if not targets:
            raise KajiyaError(_unknown_stage(until, graph, recipe))
        names = _with_ancestors(graph, targets)
    return {name: stage for name, stage in graph.items() if name in names}


def _of_recipe(graph: Graph, recipe: str) -> set[str]:
    """The stages that read recipes/<recipe>.yaml, as dependency or as parameters."""
    path = str(RECIPES / f"{recipe}.yaml")
    found = {name for name, stage in graph.items() if path in stage.reads}
    if found:
        return found
    active = sorted({Path(p).stem for stage in graph.values() for p in stage.reads if _is_recipe(p)})
    if Path(path).exists():
        raise KajiyaError(
            f"recipe `{recipe}` is not active: `kajiya recipes add {recipe}` puts it into params.yaml. "
            f"Active: {', '.join(active) or 'none'}."
        )
    known = sorted({*active, *(file.stem for file in RECIPES.glob("*.yaml"))})
    raise KajiyaError(f"no recipe `{recipe}`: there is no {path}.{_nearest(recipe, known)}")


def _is_recipe(path: str) -> bool:
    return Path(path).parent == RECIPES


def _unknown_stage(until: str, graph: Graph, recipe: str | None) -> str:
    if any(until in (name, name.partition("@")[0]) for name in graph):
        return f"stage `{until}` is no part of recipe `{recipe}`."
    known = [*graph, *sorted({name.partition("@")[0] for name in graph if "@" in name})]
    return f"no stage `{until}` in dvc.yaml.{_nearest(until, known)}"


def _nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=3)
    return f" Did you mean {' or '.join(near)}?" if near else f" There are: {', '.join(known) or 'none'}."


def _with_ancestors(graph: Graph, names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    stack = list(names)
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack.extend(graph[name].needs)
    return found


def unchanged(repo: Repo, graph: Graph) -> set[str]:
    """Stages whose command, settings, inputs and outputs are as dvc.lock has them."""
    return {name for name, changes in changes_by_stage(repo, graph).items() if changes == []}


def changes_by_stage(repo: Repo, graph: Graph) -> dict[str, list[Any] | None]:
    """What DVC finds changed, per stage; None for a stage that a running process holds."""
    found: dict[str, list[Any] | None] = {}
    with repo.lock:
        for stage in repo.index.stages:
            if stage.addressing in graph:
                try:
                    found[stage.addressing] = stage.status().get(stage.addressing, [])
                except LockError:  # it is being run at this moment
                    found[stage.addressing] = None
    return found


def sort_lock(repo: Repo, graph: Graph) -> None:
    """Put dvc.lock into the order of `dvc repro`.

    DVC appends stages as they finish, so runs that take stages in parallel would differ in nothing
    but this order.
    """
    path = Path(repo.root_dir) / "dvc.lock"
    with repo.lock:
        if not path.exists():
            return
        content = parse_yaml_for_update(path.read_text(encoding="utf-8"), str(path))
        stages = content["stages"]
        order = [name for name in graph if name in stages]
        order += [name for name in stages if name not in graph]
        if list(stages) != order:
            content["stages"] = {name: stages[name] for name in order}
            write_file(path, dumps_yaml(content))
