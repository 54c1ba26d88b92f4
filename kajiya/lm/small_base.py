"""A small base model of a given architecture, made on the spot: random weights under a tokenizer like Llama 2's.

It stands in for the real base where a recipe is tried at toy size: the same files, the same keys in its
config.json, a SentencePiece BPE with bytes, <s> before and a space at the beginning of a text.
"""

import io
import json
import random
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sentencepiece

from kajiya.lm.export import fast_tokenizer
from kajiya.lm.shape import LlamaShape
from kajiya.lm.tokenizer import save_tokenizer
from kajiya.sample.answer_key import AnswerKey
from kajiya.sample.files import write_files
from kajiya.sample.instructions import write_instructions
from kajiya.shards import write_file

_SEED = 20260101
_ENGLISH_PAGES, _CONVERSATIONS = 60, 40
_SPECIAL = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
_SPECIAL_IDS: dict[str, int | None] = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}


def make_small_base(shape: LlamaShape, vocabulary_size: int, out: Path) -> None:
    """Write the HF folder: config, safetensors, tokenizer.model and its fast form. The same bytes each time."""
    from transformers.utils.logging import disable_progress_bar  # noqa: PLC0415 - torch takes seconds

    from kajiya.lm.model import fresh_model, llama_config, save_model  # noqa: PLC0415

    disable_progress_bar()  # one shard written needs no bar

    model = train_llama_like(base_texts(), vocabulary_size)
    write_file(out / "tokenizer.model", model)
    save_tokenizer(fast_tokenizer(model, begin=True), {**_SPECIAL, "model_max_length": shape.context}, out)
    network = fresh_model(llama_config(shape, vocabulary_size, _SPECIAL_IDS), _SEED)
    save_model(network, network.state_dict(), out, out)


def base_texts() -> list[str]:
    """English of the sample and a little Japanese: what a Llama has read, in about its proportion."""
    key, rng = AnswerKey(), random.Random(_SEED)  # noqa: S311 - a repeatable model, no secret
    with tempfile.TemporaryDirectory(prefix="kajiya-base-") as folder:
        write_files(Path(folder) / "files", rng, _ENGLISH_PAGES, key)
        write_instructions(Path(folder) / "talk", rng, _CONVERSATIONS, key)
        english = [
            one["text"] for path in sorted(Path(folder).glob("files/*.jsonl")) for one in _records(path)
        ]
        talks = [one for path in sorted(Path(folder).glob("talk/human-*.jsonl")) for one in _records(path)]
    return english + [message["content"] for talk in talks for message in talk["messages"]]


def train_llama_like(texts: Iterable[str], vocabulary_size: int) -> bytes:
    """A SentencePiece model with the settings that Llama 2's own tells: BPE, bytes, digits alone, a space before."""
    model = io.BytesIO()
    options: dict[str, Any] = {
        "model_type": "bpe",
        "vocab_size": vocabulary_size,
        "byte_fallback": True,
        "split_digits": True,
        "add_dummy_prefix": True,
        "remove_extra_whitespaces": False,
        "allow_whitespace_only_pieces": True,
        "normalization_rule_name": "identity",
        # Llama 2 has few kanji; the rest is spelt in bytes.
        "character_coverage": 0.98,
        "num_threads": 1,
        "minloglevel": 2,
    }
    sentences = (line for text in texts for line in text.splitlines() if line)
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=sentences, model_writer=model, **options)
    return model.getvalue()


def write_human_conversations(out: Path) -> None:
    """Conversations by people alone, for a recipe that stops at any other."""
    with tempfile.TemporaryDirectory(prefix="kajiya-talk-") as folder:
        write_instructions(Path(folder), random.Random(_SEED), _CONVERSATIONS * 4, AnswerKey())  # noqa: S311
        for path in sorted(Path(folder).glob("human-*.jsonl")):
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            human = [
                one
                for one, record in zip(lines, _records(path), strict=True)
                if record["generator"] == "human"
            ]
            write_file(out / path.name, "".join(human))


def _records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
