"""The tokenizer of a model: SentencePiece trains it, its fast HF form encodes everywhere.

One form encodes the corpus, the conversations and the prompts of users, so training and use cannot
drift apart; `differences` proves that it equals the SentencePiece model it was built from. No import
of transformers here: it would cost every worker process five seconds.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer

from kajiya.errors import KajiyaError
from kajiya.shards import write_file

UNKNOWN, END_OF_SEQUENCE, PADDING = "<unk>", "</s>", "<pad>"

# Who speaks in a conversation; reserved from the start, so that tuning adds no untrained pieces.
ROLE_TOKENS = {role: f"<|{role}|>" for role in ("system", "user", "assistant")}

NEWLINE = "\n"

# A piece never reaches past a newline or a 。: Viterbi then runs over short segments, and rounding
# of long sums (float32 in SentencePiece, float64 in HF) cannot make the two disagree.
SEGMENT_PATTERN = r"[^。\n]*。|\n|[^。\n]+"
SEGMENT = re.compile(SEGMENT_PATTERN)

TOKENIZER_FILE, CONFIG_FILE, MODEL_FILE = "tokenizer.json", "tokenizer_config.json", "tokenizer.model"
EXTENSION_FILE = "extension.json"  # beside an extended tokenizer: docs/formats.md

# What may belong to a tokenizer in a Hugging Face folder.
_FILES = (
    TOKENIZER_FILE,
    CONFIG_FILE,
    MODEL_FILE,
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)

# Texts handed to the encoder at once: enough for its threads, little enough for memory.
_BATCH = 1000


def save_tokenizer(tokenizer: Tokenizer, config: dict[str, Any], folder: Path) -> None:
    """Write the HF files, under the class name that every transformers since version 4 can load.

    config: special tokens by role, and what else tokenizer_config.json should say.
    """
    told = config | {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    write_file(folder / TOKENIZER_FILE, tokenizer.to_str(pretty=True))
    write_file(folder / CONFIG_FILE, json.dumps(told, ensure_ascii=False, indent=2, sort_keys=True) + "\n")


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the tokenizer's files of a model or tokenizer folder, byte for byte."""
    for name in _FILES:
        if (source / name).is_file():
            write_file(target / name, (source / name).read_bytes())


def load_tokenizer(folder: Path) -> Tokenizer:
    """The fast tokenizer of a tokenizer or model folder. Raises KajiyaError where there is none."""
    path = folder / TOKENIZER_FILE
    if not path.is_file():
        raise KajiyaError(
            f"{folder}: no tokenizer.json, the fast form every stage reads. The stage `tokenizer` makes it from a "
            "SentencePiece tokenizer.model; set `tokenizer.kind: take` in the recipe."
        )
    try:
        return Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the Rust side raises no narrower class
        raise KajiyaError(f"{path}: not a tokenizer that this version reads: {error}") from error


def end_of_sequence(tokenizer: Tokenizer, folder: Path) -> int:
    """Id of the token that ends a document, as named in the folder's tokenizer_config.json."""
    path = folder / CONFIG_FILE
    try:
        token = json.loads(path.read_bytes()).get("eos_token")
    except (FileNotFoundError, json.JSONDecodeError, AttributeError) as error:
        raise KajiyaError(f"{path}: not readable ({error}). It must name the eos_token.") from None
    content = token["content"] if isinstance(token, dict) else token
    number = tokenizer.token_to_id(content) if content else None
    if number is None:
        raise KajiyaError(
            f"{path}: no eos_token of the vocabulary. Documents need one between them: name it there."
        )
    return int(number)


def vocabulary_size(tokenizer: Tokenizer) -> int:
    """Rows an embedding needs: the highest id + 1, holes included."""
    return int(max(tokenizer.get_vocab().values())) + 1


def encode_documents(tokenizer: Tokenizer, texts: Sequence[str]) -> Iterator[NDArray[np.int64]]:
    """Token ids of each text, without special tokens: a literal "</s>" in a text is only letters."""
    tokenizer.encode_special_tokens = True
    for start in range(0, len(texts), _BATCH):
        for encoding in tokenizer.encode_batch_fast(texts[start : start + _BATCH], add_special_tokens=False):
            yield np.array(encoding.ids, dtype=np.int64)


def differences(
    model: bytes, tokenizer: Tokenizer, texts: Iterable[str]
) -> list[tuple[str, list[int], list[int]]]:
    """(text, ids by SentencePiece, ids by the fast form) of each text that the two encode differently."""
    texts = list(texts)
    expected = SentencePieceProcessor(model_proto=model).encode(texts)
    found = (ids.tolist() for ids in encode_documents(tokenizer, texts))
    return [(text, a, b) for text, a, b in zip(texts, expected, found, strict=True) if a != b]
