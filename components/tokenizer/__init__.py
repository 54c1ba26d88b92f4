"""Train the tokenizer of a model, take over the one of the base it continues from, or extend that one.

CORPUS is the decontaminated corpus, BASE the folder of the base model (inputs/none: from scratch).
A random sample of sentences trains a SentencePiece model (unigram or BPE) with byte fallback: no text is
unencodable, white space and newlines survive. A base's own is copied, or converted where it has only
tokenizer.model, or gets Japanese pieces behind its own. OUT holds `tokenizer.model` and the same
tokenizer in the fast HF form, which the stage compares with the first on thousands of strings: one
difference, and nothing is published. Beside an extended one lies `extension.json`.
"""

import shutil
from pathlib import Path
from typing import Any

from components.tokenizer.base import publish, read_config, read_model
from components.tokenizer.check import (
    HARD_STRINGS,
    check_identity,
    check_one_tokenizer,
    check_round_trip,
    check_strings,
    check_unchanged,
)
from components.tokenizer.extend import extend, without_japanese
from components.tokenizer.sample import Sample, Size, measure_sources, sample_sentences
from components.tokenizer.settings import TokenizerSettings
from components.tokenizer.train import train_model
from kajiya.errors import KajiyaError
from kajiya.lm.export import fast_tokenizer
from kajiya.lm.extension import write_extension
from kajiya.lm.fertility import fast_counter, fertility
from kajiya.lm.tokenizer import (
    MODEL_FILE,
    TOKENIZER_FILE,
    copy_tokenizer,
    end_of_sequence,
    load_tokenizer,
    vocabulary_size,
)
from kajiya.report import Report
from kajiya.shards import list_shards


def run(config: TokenizerSettings, corpus: Path, base: Path, *, out: Path) -> Report:
    _check_kind(config, base)
    shards = list_shards(corpus)
    sizes = measure_sources(shards)
    documents = sum(size.documents for size in sizes.values())
    strings = check_strings(shards, documents, config.check_strings, config.seed)
    if config.kind == "take":
        figures = _take(base, strings, out)
    else:
        figures = _learn(config, (shards, sizes), base, strings, out)
    tokenizer = load_tokenizer(out)
    end_of_sequence(tokenizer, out)
    figures["pieces"] = vocabulary_size(tokenizer)
    return Report(figures=figures | {"sources": fertility(fast_counter(tokenizer), strings)})


def _take(base: Path, strings: dict[str, list[str]], out: Path) -> dict[str, Any]:
    if (base / TOKENIZER_FILE).is_file():
        copy_tokenizer(base, out)
        return {}
    copy_tokenizer(base, out)  # its chat template, among others
    publish(read_model(base), read_config(base), out)
    return {"check": _check(strings, out)}


def _learn(
    config: TokenizerSettings,
    corpus: tuple[list[Path], dict[str, Size]],
    base: Path,
    strings: dict[str, list[str]],
    out: Path,
) -> dict[str, Any]:
    """A new or an extended tokenizer in `out`."""
    drawn = out / "sample"
    sample = sample_sentences(*corpus, config, drawn)
    figures: dict[str, Any] = {"sample": {"sentences": sample.count, "characters": sample.characters}}
    if config.kind == "train":
        publish(train_model(sample, config), {}, out)
    else:
        figures["extension"] = _extend(config, sample, base, strings, out)
    shutil.rmtree(drawn)
    return figures | {"check": _check(strings, out)}


def _extend(
    config: TokenizerSettings, sample: Sample, base: Path, strings: dict[str, list[str]], out: Path
) -> dict[str, Any]:
    old = read_model(base)
    before = fast_tokenizer(old)
    rest = [without_japanese(text) for part in (HARD_STRINGS, *strings.values()) for text in part]
    if (base / TOKENIZER_FILE).is_file():
        check_one_tokenizer(before, load_tokenizer(base), rest, base)
    model, extension = extend(old, sample, config)
    copy_tokenizer(base, out)
    publish(model, read_config(base), out)
    write_extension(extension, out)
    return {
        "base_pieces": extension.base_pieces,
        "new_pieces": len(extension.pieces),
        "unchanged": check_unchanged(before, load_tokenizer(out), rest),
        "before": fertility(fast_counter(before), strings),
    }


def _check(strings: dict[str, list[str]], out: Path) -> dict[str, int]:
    tokenizer = load_tokenizer(out)
    checked = check_identity((out / MODEL_FILE).read_bytes(), tokenizer, strings)
    check_round_trip(tokenizer, strings)
    return checked


def _check_kind(config: TokenizerSettings, base: Path) -> None:
    has_model = (base / "config.json").is_file()
    if config.kind == "train" and has_model:
        raise KajiyaError(
            f"{base} holds a model, and its embeddings mean nothing under another tokenizer. "
            "Set `tokenizer.kind: take` or `extend` in the recipe, or `base: inputs/none` in params.yaml."
        )
    if config.kind != "train" and not has_model:
        raise KajiyaError(
            f"{base}: no config.json, so no tokenizer to {config.kind}. Set `tokenizer.kind: train` in the recipe, "
            "or name the folder of the base model under `recipes` in params.yaml."
        )
