"""Read a recipe file, and refuse one whose parts do not hang together."""

import difflib
import re
from pathlib import Path, PurePosixPath

from kajiya.errors import KajiyaError
from kajiya.recipe_file import BASE, DATA, LISTS, NO_BASE, Recipe, Variant, setting_at
from kajiya.settings import line_of, load_settings

_NAME = re.compile(r"[a-z0-9][a-z0-9.]*(-[a-z0-9.]+)*")
_TAKEN = {
    BASE,
    "tokenizer",
    "tokens",
    "evaluation",
    "gates",
    "answers",
    "judgements",
}  # folders of models/<recipe>/


def load_recipe(path: Path) -> Recipe:
    """A recipe that hangs together. Raises KajiyaError with every problem, by file and line."""
    recipe: Recipe = load_settings(Recipe, path, [])
    problems = [
        f"{path}:{line_of(path, keys)}: {'.'.join(keys)}: {problem}" for keys, problem in _problems(recipe)
    ]
    if problems:
        raise KajiyaError("\n".join(problems))
    return recipe


def _problems(recipe: Recipe) -> list[tuple[list[str], str]]:
    found: list[tuple[list[str], str]] = []
    for name, variant in recipe.variants.items():
        found += [(["variants", name], problem) for problem in _problems_of(recipe, name, variant)]
    for section in LISTS:
        for name in getattr(recipe, section).keys() - recipe.variants.keys():
            found.append(([section, name], f"add `{name}: {{of: ...}}` under `variants`, or take it out."))
    return found or _problems_between(recipe)


def _problems_between(recipe: Recipe) -> list[tuple[list[str], str]]:
    """Where one part of the file speaks of another that is not so."""
    found: list[tuple[list[str], str]] = []
    if recipe.base and (problem := _problem_of_folder(recipe.base.folder)):
        found.append((["about", "base", "folder"], problem))
    for path in recipe.published:
        try:
            setting_at(recipe, path)
        except (KeyError, TypeError):
            found.append((["published", path], "no such setting in this file. Name one that stands here."))
    found += [
        (["evaluate", "chat_variants"], f"`{name}` is no tuned variant. Take it out.")
        for name in recipe.evaluate.get("chat_variants") or ()
        if name not in recipe.parents() or not recipe.is_tuned(name)
    ]
    found += [(["evaluate", "chat_variants"], problem) for problem in _problems_of_chat(recipe)]
    found += [
        (["gate", "variants", name], f"no variant `{name}` to judge. {_nearest(name, recipe)}")
        for name in recipe.gate.get("variants") or ()
        if name not in recipe.variants
    ]
    found += [(["judged"], problem) for problem in _problems_of_judging(recipe)]
    replayed = (recipe.pretrain.get("replay") or {}).get("sources") or ()
    if recipe.sources and (strange := sorted(set(replayed) - recipe.sources.keys())):
        found.append((["pretrain", "replay", "sources"], f"no source `{strange[0]}` under `sources`."))
    weighted = set(recipe.tokenize.get("weights") or {}) if recipe.sources else set()
    if strange := sorted(weighted - recipe.sources.keys()):
        found.append((["tokenize", "weights"], f"no source `{strange[0]}` under `sources`."))
    return found


def _nearest(name: str, recipe: Recipe) -> str:
    near = difflib.get_close_matches(name, recipe.variants, 1)
    return f"Did you mean `{near[0]}`?" if near else "Take it out."


def _problems_of_chat(recipe: Recipe) -> list[str]:
    """The gate holds a variant in 4 bits against its parent, and pairs only what was asked the same way."""
    asked = set(recipe.evaluate.get("chat_variants") or ())
    problems = []
    for name in recipe.quantize:
        parent = recipe.variants[name].of
        if recipe.is_tuned(name) and (name in asked) != (parent in asked):
            named, lacking = (name, parent) if name in asked else (parent, name)
            problems.append(
                f"`{named}` stands here and `{lacking}` does not, but `{name}` is `{parent}` in 4 bits, and the gate "
                "compares only what was asked the same way. Name both, or neither."
            )
    return problems


def _problems_of_judging(recipe: Recipe) -> list[str]:
    known = recipe.parents()
    problems = [
        f"no variant `{name}`. There are: {', '.join(known)}." for name in recipe.judged if name not in known
    ]
    problems += [
        f"`{name}` is not tuned, and from scratch: it has no chat template to be asked through. Take it out."
        for name in recipe.judged
        if name in known and recipe.base is None and not recipe.is_tuned(name)
    ]
    if len(set(recipe.judged)) < len(recipe.judged):
        problems.append("a variant is named twice. Keep one.")
    if recipe.judged and not recipe.judge.get("model"):
        problems.append("name the judge: `judge: {model: ...}`, as its endpoint calls it.")
    if recipe.judged and "answer" not in recipe.model_fields_set:
        problems.append("add the section `answer: {}`: DVC watches it.")
    return problems


def _problem_of_folder(folder: str) -> str | None:
    path = PurePosixPath(folder)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        return (
            f"`{folder}` does not lie inside the project. Write a folder such as inputs/llama-2-7b, and name the "
            "place where yours lies under `recipes` in params.yaml."
        )
    return f"{NO_BASE} stands for no base. Write another folder." if path == PurePosixPath(NO_BASE) else None


def _problems_of(recipe: Recipe, name: str, variant: Variant) -> list[str]:
    sections = [one for one in LISTS if name in getattr(recipe, one)]
    if name in _TAKEN or not _NAME.fullmatch(name):
        return ["no name for a variant. Take lower case letters, digits and single hyphens."]
    if len(sections) != 1:
        stands = f"its settings stand in {' and '.join(sections)}" if sections else "it has no settings"
        return [f"{stands}. Put them under `{name}` in one of {', '.join(LISTS)}."]
    wanted = DATA.get(sections[0])
    problems = [
        f"{key}: must be given: `{sections[0]}` reads that folder."
        if key == wanted
        else f"{key}: `{sections[0]}` reads no such folder. Take it out."
        for key in DATA.values()
        if (getattr(variant, key) is None) == (key == wanted)
    ]
    return problems + _problems_of_parent(recipe, name, variant)


def _problems_of_parent(recipe: Recipe, name: str, variant: Variant) -> list[str]:
    seen, parent = [name], variant.of
    while parent != BASE:
        if parent in seen:
            return [f"made from itself ({' of '.join([*seen, parent])}). One of them must be of `{BASE}`."]
        if parent not in recipe.variants:
            return [f"of: no variant `{parent}`. There are: {', '.join([BASE, *recipe.variants])}."]
        if parent in recipe.quantize:
            return [
                f"of: `{parent}` is in 4 bits, and nothing can be made from that. Name what it came from."
            ]
        seen.append(parent)
        parent = recipe.variants[parent].of
    return []
