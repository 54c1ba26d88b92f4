"""Read the settings of every stage before the first one runs: a typo, or a set that is missing, must not wait for
days of training."""

from pathlib import Path
from typing import Any

from flows.graph import RECIPES, Graph
from kajiya.errors import KajiyaError
from kajiya.recipe_entries import drift
from kajiya.recipe_file import Recipe
from kajiya.recipe_loading import load_recipe
from kajiya.settings import load_settings, load_yaml
from kajiya.settings_docs import settings_type


def check_settings(graph: Graph, unchanged: set[str]) -> None:
    """Validate what the stages that may run will read. Raises KajiyaError with every problem found."""
    problems = []
    sets = _sets_on_disk(graph)
    for stage in graph.values():
        for path, section in stage.settings if stage.name not in unchanged else ():
            try:
                settings = load_settings(settings_type(section[0]), path, list(section))
                if sets:
                    settings.check_sets(sets)
            except KajiyaError as error:
                problems.append(str(error))
    problems += _sources_without_priority(graph)
    if problems:
        raise KajiyaError("\n".join(dict.fromkeys(problems)))


def _sets_on_disk(graph: Graph) -> Path | None:
    """The folder of the evaluation sets; None where a stage makes it (the sample), or where it is not there."""
    params = Path("params.yaml")
    named = load_yaml(params).get("evaluation_sets") if params.exists() else None
    if not isinstance(named, str) or not Path(named).is_dir():
        return None
    made = any(stage.out and Path(named).is_relative_to(stage.out) for stage in graph.values())
    return None if made else Path(named)


def check_recipes(root: Path, recipe: str | None) -> None:
    """Raise KajiyaError where params.yaml and the active recipes (or this one) name other variants."""
    params = root / "params.yaml"
    if not params.exists():  # a pipeline without recipes
        return
    content = load_yaml(params)
    problems = []
    for name in content.get("recipes") or {} if recipe is None else [recipe]:
        file = RECIPES / f"{name}.yaml"
        read = load_recipe(root / file)
        problems += _sources_without_weight(content, file, read)
        found = drift(content, name, read)
        if found:
            problems.append(
                f"params.yaml and {file} name other variants: {'; '.join(found)}. "
                f"`kajiya recipes add {name}` brings params.yaml into line."
            )
    if problems:
        raise KajiyaError("\n".join(problems))


def _sources_without_weight(params: dict[str, Any], file: Path, recipe: Recipe) -> list[str]:
    """Sources that tokenize would refuse, known before the corpus is made."""
    weights, sources = recipe.tokenize.get("weights"), params.get("sources")
    if not weights or not sources:
        return []
    problems = []
    if unknown := sorted(weights.keys() - sources.keys()):
        problems.append(
            f"{file}: tokenize.weights names {', '.join(unknown)}, which params.yaml has not under `sources`."
        )
    if missing := sorted(sources.keys() - weights.keys()):
        problems.append(
            f"{file}: tokenize.weights lacks {', '.join(missing)}, which params.yaml has under `sources`: give each a share "
            "(0 leaves it out of this recipe), or take the source out of params.yaml."
        )
    return problems


def _sources_without_priority(graph: Graph) -> list[str]:
    """Sources that dedupe would refuse, known before they are crawled for days."""
    if "dedupe" not in graph:
        return []
    path, section = next(iter(graph["dedupe"].settings))
    try:
        priority = load_settings(settings_type("dedupe"), path, list(section)).priority
    except KajiyaError:  # said already
        return []
    crawled = [name.partition("@")[2] for name in graph if name.startswith("clean@")]
    missing = [name for name in crawled if name not in priority]
    if not missing:
        return []
    return [
        f"{path}: dedupe.priority lacks {', '.join(missing)}: add every source, the one whose copy stays first."
    ]
