"""A recipe: one whole model per file in recipes/, its variants and what each is made from.

The sections of the stages (tokenizer, pretrain, sft, ...) are kept as they stand: each stage's own
settings class reads its section, and `kajiya run` has all of them read before the first stage begins.
"""

import re
from pathlib import Path
from typing import Any

from pydantic import Field

from kajiya.errors import KajiyaError
from kajiya.settings import Settings, line_of, load_settings

BASE = "base"
"""The variant that pretraining makes; all others come from it."""

LISTS = {"sft": "tunings", "dpo": "preferences", "quantize": "quantizations"}
"""For each section that makes variants, one per key: the list of params.yaml that activates them."""

DATA = {"sft": "instructions", "dpo": "pairs"}
"""What a variant of such a section must name beside its parent."""

_NAME = re.compile(r"[a-z0-9][a-z0-9.]*(-[a-z0-9.]+)*")
_TAKEN = {BASE, "tokenizer", "tokens", "evaluation"}  # folders of models/<recipe>/


class Variant(Settings):
    of: str
    """The variant it is made from."""
    instructions: str | None = None
    """Folder of the conversations it is tuned on (`sft`)."""
    pairs: str | None = None
    """Folder of the preferences it is tuned on (`dpo`)."""


class Recipe(Settings):
    description: str
    """What it makes, in a sentence."""
    variants: dict[str, Variant] = Field(default_factory=dict)
    """Every variant beside `base`; its settings stand under its name in `sft`, `dpo` or `quantize`."""
    tokenizer: dict[str, Any] = Field(default_factory=dict)
    """Settings of the stage `tokenizer`; so with those that follow."""
    tokenize: dict[str, Any] = Field(default_factory=dict)
    pretrain: dict[str, Any] = Field(default_factory=dict)
    sft: dict[str, dict[str, Any]] = Field(default_factory=dict)
    dpo: dict[str, dict[str, Any]] = Field(default_factory=dict)
    quantize: dict[str, dict[str, Any]] = Field(default_factory=dict)
    evaluate: dict[str, Any] = Field(default_factory=dict)
    register_: dict[str, Any] = Field(default_factory=dict, alias="register")

    def stage_of(self, variant: str) -> str:
        """The stage that makes a variant: `pretrain`, or the section that its settings stand in."""
        return "pretrain" if variant == BASE else next(one for one in LISTS if variant in getattr(self, one))

    def parents(self) -> dict[str, str | None]:
        """Every variant and what it is made from, parents first."""
        found: dict[str, str | None] = {BASE: None}
        while len(found) <= len(self.variants):
            found |= {
                name: one.of for name, one in self.variants.items() if one.of in found and name not in found
            }
        return found


def load_recipe(path: Path) -> Recipe:
    """A recipe whose variants hang together. Raises KajiyaError with every problem, by file and line."""
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
    return found


def _problems_of(recipe: Recipe, name: str, variant: Variant) -> list[str]:
    sections = [one for one in LISTS if name in getattr(recipe, one)]
    if name in _TAKEN or not _NAME.fullmatch(name):
        return ["no name for a variant. Take lower case letters, digits and single hyphens."]
    if len(sections) != 1:
        stands = f"its settings stand in {' and '.join(sections)}" if sections else "it has no settings"
        return [f"{stands}. Put them under `{name}` in one of {', '.join(LISTS)}."]
    wanted = DATA.get(sections[0])
    problems = [
        f"{key}: {'must be given' if key == wanted else 'is nothing that'} {sections[0]}"
        f"{': name the folder' if key == wanted else ' reads: take it out'}."
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
