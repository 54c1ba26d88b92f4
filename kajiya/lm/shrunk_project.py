"""`--shrink`: a project of its own in shrunk/<recipe>/, with the same dvc.yaml and code, and everything small.

Nothing of it touches the real project but DVC's cache, from which the corpus of the sample is restored
where it was made before.
"""

import hashlib
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from kajiya.errors import KajiyaError
from kajiya.git import list_files
from kajiya.lm.shape import LlamaShape
from kajiya.lm.shrink import SUFFIX, needs_conversations, shrink
from kajiya.recipe_entries import entries_of
from kajiya.recipe_file import NO_BASE, Recipe
from kajiya.recipe_loading import load_recipe
from kajiya.settings import load_yaml
from kajiya.shards import write_file

FOLDER = Path("shrunk")
RECIPES = Path("recipes")
_SAMPLE_RECIPE = RECIPES / "smoke.yaml"

# What dvc.yaml names of the repository: code, and what a person keeps in it.
_COPIED = ("kajiya", "components", "accepted")
_COPIED_FILES = ("dvc.yaml", "policy.yaml", "exclusions.yaml", ".dvcignore", "requirements.lock")
_CORPUS = ("sample", "sources", "crawl", "clean", "dedupe", "decontaminate", "validate")


def shrunk_name(recipe: str) -> str:
    """Of the recipe in the shrunk project, and so of its registered model."""
    return f"{recipe}{SUFFIX}"


def make_project(root: Path, recipe: str, cache: Path) -> Path:
    """Make or refresh the shrunk project of recipes/<recipe>.yaml; returns its folder. cache: DVC's, to share."""
    file = root / RECIPES / f"{recipe}.yaml"
    sample = _sample(root)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    has_nf4 = importlib.util.find_spec("bitsandbytes") is not None
    content = shrink(recipe, sha256, load_recipe(file), sample.sources, has_nf4)
    folder = root / FOLDER / recipe
    copy_code(root, folder)
    _write_yaml(folder / RECIPES / f"{shrunk_name(recipe)}.yaml", content)
    small = load_recipe(folder / RECIPES / f"{shrunk_name(recipe)}.yaml")
    _write_yaml(folder / "params.yaml", _params(root, sample, shrunk_name(recipe), small))
    make_inputs(folder, small, content)
    _write(folder / ".dvc" / "config", _dvc_config(cache))
    return folder


def copy_code(root: Path, folder: Path) -> None:
    """Bring the copy into line with the repository: files that are the same stay as they are."""
    names = {name for name in list_files(root) if name in _COPIED_FILES or name.partition("/")[0] in _COPIED}
    for name in sorted(names):
        _write(folder / name, (root / name).read_bytes())
    for path in (path for part in _COPIED for path in (folder / part).rglob("*") if path.is_file()):
        if path.relative_to(folder).as_posix() not in names and "__pycache__" not in path.parts:
            path.unlink()
    for name in ("accepted", NO_BASE):
        (folder / name).mkdir(parents=True, exist_ok=True)


def make_inputs(folder: Path, recipe: Recipe, content: dict[str, Any]) -> None:
    """The small base and the conversations that the recipe reads, unless they lie there from last time."""
    from kajiya.lm.small_base import make_small_base, write_human_conversations  # noqa: PLC0415 - seconds

    if base := recipe.base:
        dials = {"shape": base.shape, "vocabulary_size": base.vocabulary_size}
        _once(
            folder,
            base.folder,
            dials,
            lambda out: make_small_base(LlamaShape(**base.shape), base.vocabulary_size, out),
        )
    if needs_conversations(content):
        data = next(
            one.instructions
            for one in recipe.variants.values()
            if str(one.instructions).startswith("inputs/")
        )
        _once(folder, str(data), {}, write_human_conversations)


def _once(project: Path, name: str, dials: dict[str, Any], make: Any) -> None:
    """Make a folder whole, with a note beside it of what it was made by; not again while that is the same.

    What lies there is deleted first, so the folder must be the shrunk project's own, links followed.
    """
    out, inside = project / name, project.resolve()
    if out.resolve() == inside or not out.resolve().is_relative_to(inside):
        raise KajiyaError(
            f"{name}: leads to {out.resolve()}, which is not inside {inside}, and --shrink would replace what lies "
            "there. Nothing was touched. Remove the link that leads there, or name a folder inside the project."
        )
    code = hashlib.sha256(Path(__file__).with_name("small_base.py").read_bytes()).hexdigest()
    note = json.dumps({"dials": dials, "code": code}, sort_keys=True)
    beside = out.with_name(f"{out.name}.made.json")
    if out.exists() and beside.exists() and beside.read_text(encoding="utf-8") == note:
        return
    beside.unlink(missing_ok=True)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    make(out)
    write_file(beside, note)


def _sample(root: Path) -> Recipe:
    path = root / _SAMPLE_RECIPE
    sample = load_recipe(path) if path.exists() else None
    if sample is None or not sample.sources:
        raise KajiyaError(
            f"{path}: {'no such file' if sample is None else 'it names no sources'}. --shrink takes the sample's sources "
            f"from it: restore it (`git checkout {_SAMPLE_RECIPE}`)."
        )
    return sample


def _params(root: Path, sample: Recipe, name: str, recipe: Recipe) -> dict[str, Any]:
    """params.yaml: the sample's corpus, and the lists for this one recipe.

    The settings of a corpus from the sample are taken as they stand, so that its stages need not run again.
    """
    real = load_yaml(root / "params.yaml")
    corpus = {key: real.get(key) or {} for key in _CORPUS}
    wanted = {key: {"input": one.input} for key, one in sample.sources.items()}
    if corpus["sources"] != wanted:
        corpus["sources"] = wanted
        corpus["crawl"] = {key: one.crawl for key, one in sample.sources.items()}
        corpus["clean"] = {key: one.clean for key, one in sample.sources.items()}
        corpus["dedupe"] = {"priority": list(sample.sources)}
    entries = entries_of(name, recipe, recipe.base_folder)
    return {"evaluation_sets": "data/sample/evaluation", **entries, **corpus}


def _dvc_config(cache: Path) -> str:
    return f"[core]\n    analytics = false\n    no_scm = true\n[cache]\n    dir = {cache.resolve()}\n"


def _write_yaml(path: Path, content: dict[str, Any]) -> None:
    _write(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110))


def _write(path: Path, content: bytes | str) -> None:
    data = content.encode() if isinstance(content, str) else content
    if not path.is_file() or path.read_bytes() != data:
        write_file(path, data)
