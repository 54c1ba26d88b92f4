"""A recipe: one whole model per file in recipes/, its variants and what each is made from.

The sections of the stages (tokenizer, pretrain, sft, ...) are kept as they stand: each stage's own
settings class reads its section, and `kajiya run` has all of them read before the first stage begins.
"""

import difflib
import re
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field

from kajiya.errors import KajiyaError
from kajiya.settings import Settings, line_of, load_settings

NO_BASE = "inputs/none"

BASE = "base"
"""The variant that pretraining makes; all others come from it."""

LISTS = {"sft": "tunings", "dpo": "preferences", "quantize": "quantizations"}
"""For each section that makes variants, one per key: the list of params.yaml that activates them."""

DATA = {"sft": "instructions", "dpo": "pairs"}
"""What a variant of such a section must name beside its parent."""

STAGES = (
    "tokenizer", "tokenize", "pretrain", "sft", "dpo", "quantize", "evaluate", "gate", "answer", "judge", "register",
)  # fmt: skip

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


class Variant(Settings):
    of: str
    """The variant it is made from."""
    instructions: str | None = None
    """Folder of the conversations it is tuned on (`sft`)."""
    pairs: str | None = None
    """Folder of the preferences it is tuned on (`dpo`)."""


class BaseModelNote(Settings):
    """The model that a recipe continues from."""

    hub: str
    """Its name on the Hugging Face hub, or yours for it."""
    revision: str | None = None
    """Which commit of it is meant, in words."""
    license: str | None = None
    """What its publisher asks of users."""
    folder: str
    """Where the recipe expects it: inside the project. A base that lies elsewhere is named in params.yaml
    (`recipes`)."""
    fetch: str | None = None
    """The command that brings it there."""
    shape: dict[str, Any]
    """Its dials, as under `pretrain.model`: to count parameters before it is fetched, and to make a small one of
    its kind for --shrink."""
    vocabulary_size: int = Field(ge=1)
    """Pieces of its tokenizer."""


class About(Settings):
    """What a person should know; nothing here changes a byte of the model."""

    name: str
    """What it is called by those who published it."""
    publisher: str | None = None
    """Who published it."""
    links: tuple[str, ...] = ()
    """Where it is described."""
    license: str | None = None
    """Licence of the published weights."""
    base: BaseModelNote | None = None
    """What it continues from; null: from scratch."""
    bring: dict[str, str] = Field(default_factory=dict)
    """Folders that a person fills before the run, each with what belongs there and where to get it."""
    device: str | None = Field(None, pattern=r"^[A-Z][\w ]* \d+ GB$")
    """The GPU that it is planned for, as `A100 80 GB`: what each variant's tuning takes must fit on one."""

    @property
    def device_gigabytes(self) -> int | None:
        return int(self.device.split()[-2]) if self.device else None


class RecipeSource(Settings):
    """One source of the mixture, as params.yaml has it under `sources`, `crawl` and `clean`."""

    input: str = NO_BASE
    """Folder that the crawl reads; inputs/none for a source that comes over the network."""
    crawl: dict[str, Any]
    """Settings of the crawl: connector, revision, dates, ..."""
    clean: dict[str, Any]
    """Settings of the cleaning: rules."""
    available_tokens: int | None = Field(None, ge=1)
    """What is left of it for training, in tokens of this recipe: an estimate, from which `kajiya recipes show` tells
    how often the mixture reads it. The stage `tokenize` counts, and refuses what is read too often."""


class Shrunk(Settings):
    """The recipe of which this one is a trial at toy size; written by --shrink."""

    recipe: str
    """Its name."""
    sha256: str
    """SHA-256 of its file."""
    instead: dict[str, str] = Field(default_factory=dict)
    """Settings whose kind was not kept, by their path in the file: what stands there instead, and why."""


class Recipe(Settings):
    description: str
    """What it makes, in a sentence."""
    about: About | None = None
    """Who published it, what it continues from, what to bring."""
    shrunk: Shrunk | None = None
    """Of a trial at toy size: what was shrunk."""
    published: dict[str, str] = Field(default_factory=dict)
    """Settings whose values its makers published, by their path in this file, with the place where they stand.
    All other values are our choice."""
    sources: dict[str, RecipeSource] = Field(default_factory=dict)
    """Sources of the corpus that it is made from, in the order in which dedupe keeps copies."""
    variants: dict[str, Variant] = Field(default_factory=dict)
    """Every variant beside `base`; its settings stand under its name in `sft`, `dpo` or `quantize`."""
    judged: tuple[str, ...] = ()
    """Variants whose answers an LLM judges; where it is reached is environment (KAJIYA_JUDGE_URL)."""
    tokenizer: dict[str, Any] = Field(default_factory=dict)
    """Settings of the stage `tokenizer`; so with those that follow."""
    tokenize: dict[str, Any] = Field(default_factory=dict)
    pretrain: dict[str, Any] = Field(default_factory=dict)
    sft: dict[str, dict[str, Any]] = Field(default_factory=dict)
    dpo: dict[str, dict[str, Any]] = Field(default_factory=dict)
    quantize: dict[str, dict[str, Any]] = Field(default_factory=dict)
    evaluate: dict[str, Any] = Field(default_factory=dict)
    gate: dict[str, Any] = Field(default_factory=dict)
    answer: dict[str, Any] = Field(default_factory=dict)
    judge: dict[str, Any] = Field(default_factory=dict)
    register_: dict[str, Any] = Field(default_factory=dict, alias="register")

    @property
    def base(self) -> BaseModelNote | None:
        return self.about.base if self.about else None

    @property
    def base_folder(self) -> str:
        return self.base.folder if self.base else NO_BASE

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

    def is_tuned(self, variant: str) -> bool:
        """Whether tuning stands anywhere between `base` and the variant, itself included."""
        if variant == BASE:
            return False
        return self.stage_of(variant) in DATA or self.is_tuned(self.variants[variant].of)


def load_recipe(path: Path) -> Recipe:
    """A recipe that hangs together. Raises KajiyaError with every problem, by file and line."""
    recipe: Recipe = load_settings(Recipe, path, [])
    problems = [
        f"{path}:{line_of(path, keys)}: {'.'.join(keys)}: {problem}" for keys, problem in _problems(recipe)
    ]
    if problems:
        raise KajiyaError("\n".join(problems))
    return recipe


def setting_at(recipe: Recipe, path: str) -> Any:
    """The value at a dotted path of the file. Raises KeyError where it has none."""
    value: Any = recipe.model_dump(by_alias=True, exclude_unset=True)
    for key in path.split("."):
        value = value[key]
    return value


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
