"""Make a recipe active: write what it needs into params.yaml, and take it out again."""

import importlib.util
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kajiya.errors import KajiyaError
from kajiya.recipe_entries import RECIPES, entries_in, entries_of
from kajiya.recipe_file import Recipe, RecipeSource
from kajiya.recipe_loading import load_recipe
from kajiya.settings import line_of, load_yaml
from kajiya.shards import write_file
from kajiya.yaml_edit import drop_entry, set_entry, set_list

SOURCE_SECTIONS = ("sources", "crawl", "clean")


def add_recipe(params: Path, name: str, recipe: Recipe) -> list[str]:
    """Activate a recipe, or bring its entries into line; returns what was written, in words.

    Folders that a person has changed stay. Raises KajiyaError, and writes nothing, where an entry or a
    source of the name is there with other settings.
    """
    content = load_yaml(params)
    problems = [*_foreign_entries(params, content, name, recipe), *_other_sources(params, content, recipe)]
    if problems:
        raise KajiyaError("\n".join(problems))
    text, said = params.read_text(encoding="utf-8"), []
    found = entries_in(content, name)
    for listing, items in entries_of(name, recipe, recipe.base_folder).items():
        for key in found[listing].keys() - items.keys():
            text = drop_entry(text, listing, key)
            said.append(f"{listing}: {key} taken out")
        for key, item in items.items():
            kept = {
                part: value for part, value in found[listing].get(key, {}).items() if part in _folders(item)
            }
            changed = set_entry(text, listing, key, item | kept)
            if changed != text:
                said.append(f"{listing}: {key}")
            text = changed
    for source, one in recipe.sources.items():
        if source not in (content.get("sources") or {}):
            text = _add_source(text, source, one)
            said.append(f"sources, crawl, clean: {source}")
    _write(params, text)
    return said


def remove_recipe(params: Path, name: str, recipes: Path) -> list[str]:
    """Take a recipe out, and the sources that no other active recipe names; returns what was taken out."""
    content = load_yaml(params)
    found = entries_in(content, name)
    if not any(found.values()):
        active = ", ".join(content.get(RECIPES) or {}) or "none"
        raise KajiyaError(f"{params}: recipe `{name}` is not active. Active: {active}.")
    text, said = params.read_text(encoding="utf-8"), []
    for listing, items in found.items():
        for key in items:
            text = drop_entry(text, listing, key)
            said.append(f"{listing}: {key}")
    for source in _orphans(content, name, recipes):
        text = _drop_source(text, source)
        said.append(f"sources, crawl, clean: {source}")
    _write(params, text)
    return said


def still_to_do(root: Path, name: str, recipe: Recipe) -> Iterator[str]:
    """What a person must bring before the recipe can run, in words."""
    if recipe.base and not (root / recipe.base.folder / "config.json").exists():
        words = (f"the base model, {recipe.base.hub}", recipe.base.license, recipe.base.fetch)
        yield f"{recipe.base.folder}: {'. '.join(one for one in words if one)}"
    for folder, what in (recipe.about.bring if recipe.about else {}).items():
        if not (root / folder).exists():
            yield f"{folder}: {what}"
    named = [one.input for one in recipe.sources.values()]
    named += [data for one in recipe.variants.values() for data in (one.instructions, one.pairs) if data]
    told = recipe.about.bring if recipe.about else {}
    for folder in dict.fromkeys(named):
        if folder not in told and not folder.startswith("data/") and not (root / folder).exists():
            yield f"{folder}: named in {name}, and absent"
    tunings = [*recipe.sft.values(), *recipe.dpo.values()]
    in_nf4 = any((one.get("lora") or {}).get("base") == "nf4" for one in tunings)
    if in_nf4 and importlib.util.find_spec("bitsandbytes") is None:
        yield "bitsandbytes, for tuning in 4 bits: pip install 'kajiya[qlora]'"
    if recipe.judged and not os.environ.get("KAJIYA_JUDGE_URL"):
        yield f"KAJIYA_JUDGE_URL: the endpoint of {recipe.judge['model']}, which judges {', '.join(recipe.judged)} (docs/judging.md)"
    sets = str(load_yaml(root / "params.yaml").get("evaluation_sets", ""))
    if recipe.about and sets.startswith("data/sample"):
        yield f"evaluation_sets: {sets} are the sample's. Point it at a folder with the real ones (docs/formats.md)."


def _folders(item: dict[str, str]) -> set[str]:
    return item.keys() - {"recipe", "name", "of"}


def _foreign_entries(params: Path, content: dict[str, Any], name: str, recipe: Recipe) -> Iterator[str]:
    """`a-b` of recipe a and `b`, and of a recipe `a-b`: two recipes can claim one key."""
    for listing, items in entries_of(name, recipe, "").items():
        for key in items:
            there = (content.get(listing) or {}).get(key)
            if listing != RECIPES and there is not None and there.get("recipe") != name:
                yield (
                    f"{params}:{line_of(params, [listing, key])}: {listing}.{key} is of recipe "
                    f"{there.get('recipe')}. Rename one of the two recipes or variants."
                )


def _other_sources(params: Path, content: dict[str, Any], recipe: Recipe) -> Iterator[str]:
    for source, one in recipe.sources.items():
        if source not in (content.get("sources") or {}):
            continue
        wanted = _as_params(one)
        for section in SOURCE_SECTIONS:
            there = (content.get(section) or {}).get(source)
            if there != wanted[section]:
                yield (
                    f"{params}:{line_of(params, [section, source])}: {section}.{source} is {there}, the recipe wants "
                    f"{wanted[section]}. Remove the recipe that brought it (`kajiya recipes remove NAME`), take the source "
                    "out, or change one of the two."
                )


def _as_params(source: RecipeSource) -> dict[str, Any]:
    return {"sources": {"input": source.input}, "crawl": source.crawl, "clean": source.clean}


def _add_source(text: str, name: str, source: RecipeSource) -> str:
    for section, value in _as_params(source).items():
        text = set_entry(text, section, name, value)
    for path in _lists_of(source):
        text = _change_list(text, path, lambda there: [*(one for one in there if one != name), name])
    return text


def _drop_source(text: str, name: str) -> str:
    for section in SOURCE_SECTIONS:
        text = drop_entry(text, section, name)
    for path in (_PRIORITY, _BOILERPLATE):
        text = _change_list(text, path, lambda there: [one for one in there if one != name])
    return text


_PRIORITY, _BOILERPLATE = ["dedupe", "priority"], ["dedupe", "boilerplate", "sources"]


def _lists_of(source: RecipeSource) -> Iterable[list[str]]:
    """Japanese web pages share menus and footers that no rule knows; other texts have none."""
    web = source.clean.get("rules") == "web-ja"
    return (_PRIORITY, _BOILERPLATE) if web else (_PRIORITY,)


def _change_list(text: str, path: list[str], change: Any) -> str:
    there: Any = _parsed(text)
    for key in path:
        there = there.get(key) if isinstance(there, dict) else None
    if not isinstance(there, list):
        return text
    changed = change(there)
    return text if changed == there else set_list(text, path, changed)


def _orphans(content: dict[str, Any], name: str, recipes: Path) -> list[str]:
    """Sources of a recipe as it names them that no other active recipe names."""
    path = recipes / f"{name}.yaml"
    if not path.exists():
        return []
    others = [one for one in content.get(RECIPES) or {} if one != name]
    kept = {source for one in others for source in load_recipe(recipes / f"{one}.yaml").sources}
    # A recipe that names none is made from whatever there is.
    if any(not load_recipe(recipes / f"{one}.yaml").sources for one in others):
        return []
    return [
        source
        for source, one in load_recipe(path).sources.items()
        if source not in kept
        and all((content.get(key) or {}).get(source) == value for key, value in _as_params(one).items())
    ]


def _parsed(text: str) -> dict[str, Any]:
    import yaml  # noqa: PLC0415

    return yaml.safe_load(text) or {}


def _write(params: Path, text: str) -> None:
    _parsed(text)  # never a file that cannot be read again
    write_file(params, text)
