"""A recipe explained for the terminal."""

from collections.abc import Iterator
from typing import Any

from kajiya.lm.recipe_plan import RecipePlan, estimated_epochs, short_number, tuning_bytes
from kajiya.recipe_file import NO_BASE, Recipe, setting_at
from kajiya.settings_docs import settings_type


def recipe_lines(
    name: str, recipe: Recipe, plan: RecipePlan, active: bool, missing: list[str]
) -> Iterator[str]:
    """What it makes, from what, how large, of which text, what is published, what to bring, how to begin."""
    yield f"{name}: {' '.join(recipe.description.split())}"
    yield from _about(recipe)
    yield from _variants(recipe)
    yield from _gates(recipe)
    yield from _sizes(plan)
    yield from _tunings(recipe, plan)
    yield from _mixture(recipe)
    if recipe.published:
        yield "\nPublished by its makers (all other values are our choice; the file says why)"
        for path, place in recipe.published.items():
            value = setting_at(recipe, path)
            yield f"  {path} = {', '.join(value) if isinstance(value, dict) else value}  ({place})"
    if missing:
        yield "\nTo bring"
        yield from (f"  {one}" for one in missing)
    yield "\nHow to make it"
    if not active:
        yield f"  kajiya recipes add {name}"
    yield f"  kajiya run --recipe {name}"


def _about(recipe: Recipe) -> Iterator[str]:
    if (about := recipe.about) is None:
        return
    publisher = f", by {about.publisher}" if about.publisher else ""
    yield f"  {about.name}{publisher}{f', {about.license}' if about.license else ''}"
    yield from (f"  {link}" for link in about.links)


def _variants(recipe: Recipe) -> Iterator[str]:
    yield "\nVariants"
    for variant, parent in recipe.parents().items():
        made = recipe.variants.get(variant)
        data = (made.instructions or made.pairs) if made else None
        start = parent or (recipe.base.hub if recipe.base else "random weights")
        yield f"  {variant}: {recipe.stage_of(variant)} of {start}{f' on {data}' if data else ''}"
    if recipe.judged:
        yield f"  judged by {recipe.judge['model']}: {', '.join(recipe.judged)} (KAJIYA_JUDGE_URL)"


def _gates(recipe: Recipe) -> Iterator[str]:
    """What each variant may lose against the one it is made from."""
    if not recipe.variants:
        return
    settings: Any = settings_type("gate")(**recipe.gate)
    yield "\nGate: most points that may be lost"
    for variant, parent in list(recipe.parents().items())[1:]:
        kind = "quantized" if recipe.stage_of(variant) == "quantize" else "tuned"
        limits = settings.limits_of(variant, kind)
        yield (
            f"  {variant} against {parent}: {limits.mean_drop_points:g} in the mean, {limits.task_drop_points:g} in a task"
        )


def _sizes(plan: RecipePlan) -> Iterator[str]:
    shape = plan.shape
    groups = f" ({shape.key_value_heads} for keys and values)" if shape.key_value_heads < shape.heads else ""
    yield "\nSize, derived"
    yield (
        f"  {shape.layers} layers x {shape.hidden_size:,}, {shape.heads} heads{groups}, feed-forward "
        f"{shape.feed_forward_size:,}, {plan.vocabulary_size:,} pieces, "
        f"{'tied' if shape.tied_embeddings else 'untied'} embeddings"
    )
    yield f"  {plan.parameters:,} parameters"
    steps = f"{plan.steps:,} steps of " if plan.steps else ""
    yield (
        f"  {steps}{plan.sequences_per_step:,} sequences x {plan.context:,} tokens = {plan.tokens_per_step:,} a step"
        f"{f', {short_number(plan.tokens)} tokens in all' if plan.tokens else ''}"
    )
    yield f"  {plan.ranks} rank{'s' * (plan.ranks > 1)}, ZeRO stage {plan.zero_stage}"


def _tunings(recipe: Recipe, plan: RecipePlan) -> Iterator[str]:
    device = recipe.about.device if recipe.about else None
    for name, size in tuning_bytes(recipe, plan).items():
        yield (
            f"  tuning {name} takes {size / 1e9:,.3g} GB and activations, on one device"
            f"{f': {device}' if device else ''}"
        )


def _mixture(recipe: Recipe) -> Iterator[str]:
    weights, epochs = recipe.tokenize.get("weights") or {}, estimated_epochs(recipe)
    if recipe.sources:
        yield "\nMixture"
    for name, source in recipe.sources.items():
        share = f"{weights[name]:.0%} " if name in weights else ""
        pinned = ", ".join(
            f"{key} {source.crawl[key]}"
            for key in ("wiki", "date", "revision", "config", "from_date", "until_date")
            if key in source.crawl
        )
        kind = f"{source.crawl.get('connector')}{f' ({pinned})' if pinned else ''}"
        rules = source.clean.get("rules")
        place = "" if source.input == NO_BASE else f", {source.input}"
        read = ""
        if name in epochs and source.available_tokens:
            read = (
                f", read {epochs[name]:.1f} times if there are {short_number(source.available_tokens)} tokens"
            )
        yield f"  {share}{name}: {kind}{place}, rules {rules if isinstance(rules, str) else 'of its own'}{read}"
