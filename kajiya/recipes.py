"""The recipes on this disk, and which of them are active."""

import difflib
from pathlib import Path

from kajiya.errors import KajiyaError
from kajiya.settings import load_yaml


def recipe_names(folder: Path) -> list[str]:
    """Every recipes/*.yaml by name."""
    return [path.stem for path in sorted(folder.glob("*.yaml"))]


def active_recipes(params: Path) -> list[str]:
    """Those under `recipes` in params.yaml, so that the pipeline has stages for them."""
    return list(load_yaml(params).get("recipes") or {})


def require_recipe(folder: Path, name: str) -> Path:
    """The file of a recipe. Raises KajiyaError with the nearest names."""
    path = folder / f"{name}.yaml"
    if Path(name).name != name or not path.exists():
        known = recipe_names(folder)
        near = difflib.get_close_matches(name, known, n=3)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(known) or 'none'}."
        raise KajiyaError(f"no recipe `{name}`: there is no {path}. {hint}")
    return path
