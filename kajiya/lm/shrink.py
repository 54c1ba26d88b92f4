"""A recipe at toy size: the same stages with the same kinds of everything, in a minute on two CPU cores.

Ratios stay (groups of attention, feed-forward to width, warmup to steps, new pieces to old ones), sizes go.
Text comes from the embedded sample, since the real sources are not there.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from kajiya.lm.shape import LlamaShape
from kajiya.recipe_file import Recipe, RecipeSource

SUFFIX = "-shrunk"

CONTEXT_DIVISOR = 16
"""Contexts of 4096 become 256: the sample's conversations fit in."""

_STEPS = 8
_BATCH = {"global_batch_sequences": 8, "micro_batch_sequences": 2}
_HEAD_SIZE, _FFN_MULTIPLE = 16, 32
_VOCABULARY = {"train": 3000, "base": 1600}
# The sample holds some 400,000 characters; a share of each source as the recipe has it.
_MIXED_TOKENS = 30_000

_SAMPLE = "data/sample"
_BROUGHT = "inputs/shrunk-conversations"

_SAMPLE_TASKS = ("jcommonsenseqa", "jnli", "marc_ja", "jsquad")
_NOT_JUDGED = "nothing: a trial has no endpoint to ask, and the sample no questions for a judge"
_STORED = "stored, not nf4: bitsandbytes (kajiya[qlora]) is not installed here"


def shrink(
    name: str, sha256: str, recipe: Recipe, sample: Mapping[str, RecipeSource], has_nf4: bool = True
) -> dict[str, Any]:
    """The content of the shrunk recipe's file.

    sha256: of the recipe's file, for the lineage. sample: the sample's sources, as the smoke recipe names them.
    has_nf4: whether this machine can hold weights in 4 bits while they are tuned.
    """
    instead = {} if has_nf4 else dict.fromkeys(_held_in_nf4(recipe), _STORED)
    if recipe.judged:
        instead["judged"] = _NOT_JUDGED
    instead |= _left_out(recipe.evaluate)
    return {
        "description": f"{name} at toy size, to try its pipeline: {' '.join(recipe.description.split())}",
        "shrunk": {"recipe": name, "sha256": sha256, **({"instead": instead} if instead else {})},
        **({"about": _about(recipe)} if recipe.base else {}),
        "sources": {key: one.model_dump(exclude={"available_tokens"}) for key, one in sample.items()},
        "variants": {key: _variant(recipe, key) for key in recipe.variants},
        "tokenizer": _tokenizer(recipe, sample),
        "tokenize": _tokenize(recipe, sample),
        "pretrain": _pretrain(recipe, sample),
        **{
            key: {k: _tuning(one, recipe, has_nf4) for k, one in getattr(recipe, key).items()}
            for key in ("sft", "dpo")
        },
        "quantize": {key: _quantize(one) for key, one in recipe.quantize.items()},
        "evaluate": _evaluate(recipe.evaluate),
        "gate": _gate(recipe.gate),
        "register": {
            **recipe.register_,
            "notes_en": f"A trial of the recipe {name} at toy size; of no use as a model.",
        },
    }


def shrink_shape(shape: LlamaShape) -> LlamaShape:
    """A few thin layers that share heads, feed-forward, embeddings and positions as the large ones do."""
    group = shape.heads // shape.key_value_heads
    heads = max(4, group)
    width = heads * _HEAD_SIZE
    ffn = round(shape.feed_forward_size / shape.hidden_size * width / _FFN_MULTIPLE) * _FFN_MULTIPLE
    return LlamaShape(
        hidden_size=width,
        layers=min(4, max(2, shape.layers // 16)),
        heads=heads,
        kv_heads=heads // group,
        ffn_size=ffn,
        context=shape.context // CONTEXT_DIVISOR,
        tied_embeddings=shape.tied_embeddings,
        rope_theta=shape.rope_theta,
        initializer_range=shape.initializer_range,
    )


def needs_conversations(recipe: Mapping[str, Any]) -> bool:
    """Whether a shrunk recipe reads conversations that the sample does not hold: those by people alone."""
    return any(one.get("instructions") == _BROUGHT for one in recipe["variants"].values())


def sample_source(source: RecipeSource, sample: Mapping[str, RecipeSource]) -> str:
    """The sample's source that stands in for a real one: of its connector and language, else of its language."""
    connector, english = source.crawl.get("connector"), _is_english(source)
    alike = [key for key, one in sample.items() if _is_english(one) == english]
    same = [key for key in alike if sample[key].crawl.get("connector") == connector]
    # Japanese files are web pages more often than not.
    web = [key for key in alike if sample[key].crawl.get("connector") == "c4"]
    return (same or web or alike or list(sample))[0]


def _is_english(source: RecipeSource) -> bool:
    crawl = source.crawl
    return "en" in (crawl.get("language"), crawl.get("config")) or str(crawl.get("wiki", "")).startswith("en")


def _about(recipe: Recipe) -> dict[str, Any]:
    base = recipe.base
    assert base is not None
    assert recipe.about is not None
    small = {
        **base.model_dump(),
        # Of its own, wherever the real one lies: what is in it is replaced.
        "folder": f"inputs/{PurePosixPath(base.folder).name}",
        "shape": shrink_shape(LlamaShape(**base.shape)).model_dump(exclude={"size"}),
        "vocabulary_size": _VOCABULARY["base"],
        "fetch": "made on the spot, with random weights",
    }
    return {"name": f"{recipe.about.name}, shrunk", "base": small}


def _variant(recipe: Recipe, name: str) -> dict[str, Any]:
    variant = recipe.variants[name]
    given = variant.model_dump(exclude_none=True)
    if variant.instructions:
        stops = recipe.sft[name].get("on_forbidden") == "stop"
        several = "chat" in f"{name} {variant.instructions}"
        given["instructions"] = _BROUGHT if stops else f"{_SAMPLE}/{'chat' if several else 'instructions'}"
    if variant.pairs:
        given["pairs"] = f"{_SAMPLE}/preferences"
    return given


def _tokenizer(recipe: Recipe, sample: Mapping[str, RecipeSource]) -> dict[str, Any]:
    small = {**recipe.tokenizer, "check_strings": 300}
    kind = small.get("kind", "train")
    if kind == "train":
        small |= {"vocabulary_size": _VOCABULARY["train"], "sample_characters": 300_000}
    elif kind == "extend":
        assert recipe.base is not None
        growth = small["vocabulary_size"] / recipe.base.vocabulary_size
        small |= {"vocabulary_size": round(_VOCABULARY["base"] * growth), "sample_characters": 300_000}
        small["character_coverage"] = 0.98  # so few new pieces cannot hold every kanji of the sample
    return _with_weights(small, recipe, sample)


def _tokenize(recipe: Recipe, sample: Mapping[str, RecipeSource]) -> dict[str, Any]:
    small = {**recipe.tokenize, "validation_share": 0.05}
    if "tokens" in small:
        small["tokens"] = _MIXED_TOKENS
    if "keep_together" in small:
        small["keep_together"] = _stand_ins(small["keep_together"], recipe, sample)
    return _with_weights(small, recipe, sample)


def _with_weights(
    settings: dict[str, Any], recipe: Recipe, sample: Mapping[str, RecipeSource]
) -> dict[str, Any]:
    """Shares of the sources that stand in, summed; a source that stands for none gets nothing."""
    if weights := settings.get("weights"):
        summed = Counter(dict.fromkeys(sample, 0.0))
        for name, share in weights.items():
            summed[_stand_in(name, recipe, sample)] += share
        settings["weights"] = {name: round(share, 9) for name, share in summed.items()}
    return settings


def _stand_in(name: str, recipe: Recipe, sample: Mapping[str, RecipeSource]) -> str:
    return sample_source(recipe.sources[name], sample) if name in recipe.sources else name


def _stand_ins(names: Iterable[str], recipe: Recipe, sample: Mapping[str, RecipeSource]) -> list[str]:
    return list(dict.fromkeys(_stand_in(name, recipe, sample) for name in names))


def _pretrain(recipe: Recipe, sample: Mapping[str, RecipeSource]) -> dict[str, Any]:
    given = recipe.pretrain
    real = LlamaShape(**given.get("model", {}))
    context = real.context // CONTEXT_DIVISOR
    shape = {"context": context} if recipe.base else shrink_shape(real).model_dump(exclude={"size"})
    fewer = _STEPS / given["steps"] if given.get("steps") else 1 / 1000
    scaled = _scale_steps(given, fewer)
    ranks = min(2, given.get("ranks", 1))
    if replay := scaled.get("replay"):
        scaled["replay"] = {**replay, "sources": _stand_ins(replay["sources"], recipe, sample)}
    if forgetting := scaled.get("forgetting"):
        scaled["forgetting"] = _forgetting(forgetting, recipe, sample)
    return {
        # Compiling takes half a minute on a CPU, far longer than the training.
        **{key: one for key, one in scaled.items() if key not in {"epochs", "compile"}},
        **_BATCH,
        "model": shape,
        "steps": _STEPS,
        "max_epochs": 50,
        "ranks": ranks,
        "threads_per_rank": 1,
        "save_every_steps": _STEPS // 2,
        "validate_every_steps": _STEPS // 2,
        "log_every_steps": 1,
        "validation_sequences": 32,
    }


def _forgetting(
    settings: Mapping[str, Any], recipe: Recipe, sample: Mapping[str, RecipeSource]
) -> dict[str, Any]:
    """The same kinds of measures; the sample has one set of texts in English, and one of multiple choice."""
    small = {**settings, "every_steps": _STEPS // 2, "text_tokens": 1000}
    if "sources" in small:
        small["sources"] = _stand_ins(small["sources"], recipe, sample)
    if small.get("texts"):
        small["texts"] = ["english"]
    if tasks := small.get("tasks"):
        few = {"items": 4, "shots": min(1, max(task.get("shots", 0) for task in tasks.values()))}
        small["tasks"] = {"jcommonsenseqa": {**next(iter(tasks.values())), **few}}
    return small


def _scale_steps(settings: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Settings with every count of steps made smaller, at any depth; guards judge by the scatter of many steps."""
    return {
        key: _scale_steps(one, factor)
        if isinstance(one, dict) and key != "guards"
        else max(1, round(one * factor))
        if key.endswith("_steps") and isinstance(one, int)
        else one
        for key, one in settings.items()
    }


def _held_in_nf4(recipe: Recipe) -> Iterator[str]:
    for section in ("sft", "dpo"):
        for name, settings in getattr(recipe, section).items():
            if (settings.get("lora") or {}).get("base") == "nf4":
                yield f"{section}.{name}.lora.base"


def _tuning(settings: dict[str, Any], recipe: Recipe, has_nf4: bool) -> dict[str, Any]:
    context = LlamaShape(**recipe.pretrain.get("model", {})).context
    small = {
        **_scale_steps(settings, 1 / 100),
        # As much of the context as the real one uses.
        "max_tokens": min(settings.get("max_tokens", 2048) * 4, context) // CONTEXT_DIVISOR,
        "epochs": 0.1,
        "batch_size": 8,
        "micro_batch_size": 4,
        "log_every_steps": 1,
        "threads": 1,
    }
    if lora := settings.get("lora"):
        rank = min(4, lora.get("rank", 16))
        small["lora"] = {**lora, "rank": rank, "alpha": rank * lora.get("alpha", 32) / lora.get("rank", 16)}
        if not has_nf4:
            small["lora"].pop("base", None)
    return small


def _quantize(settings: dict[str, Any]) -> dict[str, Any]:
    small = {**settings, "group_size": 16, "calibration_sequences": 4, "held_out_sequences": 4}
    small.pop("sequence_tokens", None)  # the model's context is short enough
    return small


def _gate(settings: dict[str, Any]) -> dict[str, Any]:
    """No limit: a handful of items asked of a model that learnt nothing cannot tell of any loss."""
    no_limit = {"mean_drop_points": 100, "task_drop_points": 100}
    names = settings.get("variants") or {}
    return {
        **settings,
        "quantized": no_limit,
        "tuned": no_limit,
        "unjudged": "pass",
        **({"variants": {name: {} for name in names}} if names else {}),
    }


def _evaluate(settings: dict[str, Any]) -> dict[str, Any]:
    """Only tasks that the sample has sets of, in the shortest wording: a trial's context is small."""
    tasks = [task for task in settings.get("tasks", _SAMPLE_TASKS) if task in _SAMPLE_TASKS]
    shots = {task: number for task, number in settings.get("shots", {}).items() if task in tasks}
    kept = {key: settings[key] for key in settings if key not in ("data", "skip", "prompts", "prompts_of")}
    limit = {task: 1 if task == "jsquad" else 4 for task in tasks}
    sizes = {"limit": limit, "perplexity_tokens": 1000, "batch_tokens": 1024, "dtype": "float32"}
    return kept | {"tasks": tasks, "shots": shots} | sizes


def _left_out(settings: dict[str, Any]) -> dict[str, str]:
    """Settings of the evaluation that a trial does without, and why."""
    others = ", ".join(task for task in settings.get("tasks", ()) if task not in _SAMPLE_TASKS)
    worded = sorted({"prompts", "prompts_of"} & settings.keys())
    found = {f"evaluate.{key}": "0.1: the others want longer contexts" for key in worded}
    return found | ({"evaluate.tasks": f"{others} left out: the sample has no such sets"} if others else {})
