"""A recipe: one whole model per file in recipes/, its variants and what each is made from.

The sections of the stages (tokenizer, pretrain, sft, ...) are kept as they stand: each stage's own
settings class reads its section, and `kajiya run` has all of them read before the first stage begins.
kajiya/recipe_loading.py reads the file and tells where its parts do not hang together.
"""

from typing import Any

from pydantic import Field

from kajiya.settings import Settings

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


def setting_at(recipe: Recipe, path: str) -> Any:
    """The value at a dotted path of the file. Raises KeyError where it has none."""
    value: Any = recipe.model_dump(by_alias=True, exclude_unset=True)
    for key in path.split("."):
        value = value[key]
    return value
