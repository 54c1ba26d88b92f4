"""What a recipe comes to, derived from its dials before anything is fetched: shape, parameters, tokens, steps."""

from dataclasses import dataclass
from typing import Any

from kajiya.errors import KajiyaError
from kajiya.lm.shape import LlamaShape, parameter_count, updated_parameter_count
from kajiya.lm.tuning.settings import LoraSettings
from kajiya.recipe_file import DATA, Recipe
from kajiya.settings_docs import settings_type

# Of weights that are trained: fp32 weight, gradient and Adam's two moments. Of frozen ones: in bf16, and in nf4 with
# its scales and the embeddings, which stay in bf16.
_TRAINED_BYTES, _STORED_BYTES, _NF4_BYTES = 16, 2, 0.55


@dataclass(frozen=True)
class RecipePlan:
    starts_from: str
    """The base's name on the hub, or `scratch`."""
    shape: LlamaShape
    vocabulary_size: int
    context: int
    """Tokens of a training sequence."""
    sequences_per_step: int
    steps: int | None
    """None: as many as the corpus gives."""
    ranks: int
    zero_stage: int

    @property
    def parameters(self) -> int:
        return parameter_count(self.shape, self.vocabulary_size)

    @property
    def tokens_per_step(self) -> int:
        return self.sequences_per_step * self.context

    @property
    def tokens(self) -> int | None:
        """Tokens of pretraining, repetitions counted."""
        return self.steps * self.tokens_per_step if self.steps else None


def plan_recipe(recipe: Recipe) -> RecipePlan:
    """Read the sections that decide the size. Raises pydantic's ValidationError where one is wrong."""
    tokenizer: Any = settings_type("tokenizer")(**recipe.tokenizer)
    pretrain: Any = settings_type("pretrain")(**recipe.pretrain)
    base = recipe.base
    if tokenizer.kind != "train" and base is None:
        raise KajiyaError(
            f"tokenizer.kind {tokenizer.kind} needs `about.base`: there is nothing to take it from."
        )
    return RecipePlan(
        starts_from=base.hub if base else "scratch",
        shape=LlamaShape(**base.shape) if base else pretrain.model,
        vocabulary_size=base.vocabulary_size
        if base and tokenizer.kind == "take"
        else tokenizer.vocabulary_size,
        context=pretrain.model.context,
        sequences_per_step=pretrain.global_batch_sequences,
        steps=pretrain.steps,
        ranks=pretrain.ranks,
        zero_stage=pretrain.zero_stage,
    )


def tuning_bytes(recipe: Recipe, plan: RecipePlan) -> dict[str, float]:
    """What weights, gradients and optimizer of each tuned variant take on its one device, without activations."""
    found = {}
    for section in DATA:
        for name, settings in getattr(recipe, section).items():
            if settings.get("lora") is None:
                found[name] = float(_TRAINED_BYTES * plan.parameters)
                continue
            lora = LoraSettings(**settings["lora"])
            frozen = (_NF4_BYTES if lora.base == "nf4" else _STORED_BYTES) * plan.parameters
            found[name] = frozen + _TRAINED_BYTES * updated_parameter_count(plan.shape, lora.rank)
    return found


def estimated_epochs(recipe: Recipe) -> dict[str, float]:
    """How often the mixture reads each source, where the recipe estimates what there is of it."""
    tokens, weights = recipe.tokenize.get("tokens"), recipe.tokenize.get("weights") or {}
    return {
        name: weights[name] * tokens / source.available_tokens
        for name, source in recipe.sources.items()
        if tokens and name in weights and source.available_tokens
    }


def short_number(value: float) -> str:
    """`1.44B`, `450M`, `12k`: three digits are enough to compare."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"
