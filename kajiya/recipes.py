"""The recipes on this disk: what each makes, and whether it is active."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kajiya.errors import KajiyaError
from kajiya.settings import load_yaml


@dataclass(frozen=True)
class Recipe:
    name: str
    active: bool
    """It stands under `recipes` in params.yaml, so that the pipeline has stages for it."""
    model: str
    """Its size in a few words, as far as the file says it."""
    description: str


def list_recipes(folder: Path, params: Path) -> list[Recipe]:
    """Every recipes/*.yaml by name."""
    active = _active(params)
    return [_read(path, path.stem in active) for path in sorted(folder.glob("*.yaml"))]


def require_recipe(folder: Path, name: str) -> Path:
    """The file of a recipe. Raises KajiyaError with the nearest names."""
    path = folder / f"{name}.yaml"
    if not path.exists():
        known = sorted(one.stem for one in folder.glob("*.yaml"))
        near = difflib.get_close_matches(name, known, n=3)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(known) or 'none'}."
        raise KajiyaError(f"no recipe `{name}`: there is no {path}. {hint}")
    return path


def recipe_text(folder: Path, params: Path, name: str) -> str:
    """A recipe in full, with what params.yaml says of it."""
    path = require_recipe(folder, name)
    inputs = _active(params).get(name)
    if inputs is None:
        head = f"# Not active: `kajiya recipes add {name}` puts it into {params}."
    else:
        head = f"# Active in {params}: " + ", ".join(f"{key} {value}" for key, value in inputs.items())
    return f"{head}\n{path.read_text(encoding='utf-8')}"


def _active(params: Path) -> dict[str, Any]:
    return load_yaml(params).get("recipes") or {}


def _read(path: Path, active: bool) -> Recipe:
    content = load_yaml(path)
    description = " ".join(str(content.get("description", "")).split())
    return Recipe(path.stem, active, _model(content), description)


def _model(content: dict[str, Any]) -> str:
    """`1500 pieces, 6 layers x 192, 400 steps`: what the file itself says of the size."""
    found = dict(_numbers(content))
    words = []
    for names, form in _WORDS:
        if all(name in found for name in names):
            words.append(form.format(*(found[name] for name in names)))
    return ", ".join(words)


_WORDS = (
    (("vocabulary_size",), "{:,} pieces"),
    (("layers", "hidden_size"), "{} layers x {}"),
)


def _numbers(content: Any) -> list[tuple[str, int]]:
    if not isinstance(content, dict):
        return []
    own = [
        (key, value)
        for key, value in content.items()
        if isinstance(value, int) and not isinstance(value, bool)
    ]
    return own + [pair for value in content.values() for pair in _numbers(value)]
