"""What params.yaml must hold for a recipe to be made: DVC's foreach reads its lists, not the recipes."""

from collections.abc import Mapping
from typing import Any

from kajiya.recipe_file import DATA, LISTS, Recipe

VARIANTS = "variants"
JUDGED = "judged"
RECIPES = "recipes"
GATES = "gates"

Entries = dict[str, dict[str, dict[str, str]]]
"""Entries by list and key: {"tunings": {"smoke-instruct": {"recipe": "smoke", ...}}}."""


def entries_of(name: str, recipe: Recipe, base: str) -> Entries:
    """Every entry of a recipe. base: folder of the model that it continues from."""
    found: Entries = {
        RECIPES: {name: {"base": base}},
        **{one: {} for one in (*LISTS.values(), VARIANTS, GATES)},
    }
    found[JUDGED] = {f"{name}-{variant}": {"recipe": name, "name": variant} for variant in recipe.judged}
    for variant, parent in recipe.parents().items():
        item = {"recipe": name, "name": variant}
        found[VARIANTS][f"{name}-{variant}"] = item
        if parent:
            found[GATES][f"{name}-{variant}"] = {**item, "of": parent}
        stage = recipe.stage_of(variant)
        if stage in LISTS:
            made = recipe.variants[variant]
            data = {DATA[stage]: str(getattr(made, DATA[stage]))} if stage in DATA else {}
            found[LISTS[stage]][f"{name}-{variant}"] = {**item, "of": made.of, **data}
    return found


def entries_in(params: Mapping[str, Any], name: str) -> Entries:
    """What params.yaml holds for a recipe now."""
    found: Entries = {RECIPES: {key: one for key, one in (params.get(RECIPES) or {}).items() if key == name}}
    for listing in (*LISTS.values(), VARIANTS, GATES, JUDGED):
        items = (params.get(listing) or {}).items()
        found[listing] = {key: one for key, one in items if one.get("recipe") == name}
    return found


def drift(params: Mapping[str, Any], name: str, recipe: Recipe) -> list[str]:
    """Where params.yaml and the recipe name other variants, in words.

    Folders may differ: where a person keeps a base or conversations is their own affair.
    """
    wanted, found = entries_of(name, recipe, ""), entries_in(params, name)
    problems = []
    for listing, items in wanted.items():
        if listing == RECIPES:
            continue
        for key in sorted(items.keys() | found[listing].keys()):
            want, have = items.get(key), found[listing].get(key)
            if have is None:
                problems.append(f"`{listing}` lacks {key}")
            elif want is None:
                problems.append(f"`{listing}` holds {key}, which the recipe does not name")
            elif differing := [part for part in ("name", "of") if want.get(part) != have.get(part)]:
                part = differing[0]
                problems.append(f"{listing}.{key}.{part} is {have.get(part)}, in the recipe {want.get(part)}")
    return problems
