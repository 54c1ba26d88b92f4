"""Train the tokenizer of a model, or take over the one of the base it continues from.

CORPUS is the decontaminated corpus, BASE the folder of the base model (inputs/none: from scratch).
A random sample of sentences trains a SentencePiece unigram model with byte fallback: no text is
unencodable, every digit stands alone, white space and newlines survive. OUT holds `tokenizer.model`
and the same tokenizer in the fast HF form, which the stage compares with the first on thousands of
strings: one difference, and nothing is published.
"""

from pathlib import Path
from typing import Any

from components.tokenizer.check import check_identity, check_round_trip, check_strings, measure
from components.tokenizer.sample import measure_sources, sample_sentences
from components.tokenizer.settings import TokenizerSettings
from components.tokenizer.train import train_model
from kajiya.errors import KajiyaError
from kajiya.lm.tokenizer import (
    copy_tokenizer,
    end_of_sequence,
    fast_tokenizer,
    load_tokenizer,
    save_tokenizer,
    vocabulary_size,
)
from kajiya.report import Report
from kajiya.shards import list_shards, write_file


def run(config: TokenizerSettings, corpus: Path, base: Path, *, out: Path) -> Report:
    _check_kind(config, base)
    shards = list_shards(corpus)
    sizes = measure_sources(shards)
    documents = sum(size.documents for size in sizes.values())
    strings = check_strings(shards, documents, config.check_strings, config.seed)
    figures: dict[str, Any] = {}
    if config.kind == "take":
        end_of_sequence(load_tokenizer(base), base)
        copy_tokenizer(base, out)
    else:
        sentences = sample_sentences(shards, sizes, config)
        model = train_model(sentences, config)
        write_file(out / "tokenizer.model", model)
        save_tokenizer(fast_tokenizer(model), out)
        figures["sample"] = {"sentences": len(sentences), "characters": sum(map(len, sentences))}
        figures["check"] = check_identity(model, load_tokenizer(out), strings)
        check_round_trip(load_tokenizer(out), strings)
    tokenizer = load_tokenizer(out)
    figures["pieces"] = vocabulary_size(tokenizer)
    return Report(figures=figures | measure(tokenizer, strings))


def _check_kind(config: TokenizerSettings, base: Path) -> None:
    has_model = (base / "config.json").is_file()
    if config.kind == "train" and has_model:
        raise KajiyaError(
            f"{base} holds a model, and its embeddings mean nothing under another tokenizer. "
            "Set `tokenizer.kind: take` in the recipe, or `base: inputs/none` in params.yaml."
        )
    if config.kind == "take" and not has_model:
        raise KajiyaError(
            f"{base}: no config.json, so no tokenizer to take. Set `tokenizer.kind: train` in the recipe, "
            "or name the folder of the base model under `recipes` in params.yaml."
        )
