"""How well a tokenizer fits a text: characters per token and share of byte tokens, per source and in all.

Fertility decides what a context holds and what a token of training costs: at twice the characters per
token the same text takes half the steps.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer

from kajiya.errors import KajiyaError
from kajiya.lm.export import BYTE, read_proto
from kajiya.lm.tokenizer import (
    MODEL_FILE,
    TOKENIZER_FILE,
    encode_documents,
    load_tokenizer,
    vocabulary_size,
)

ALL = "all"
"""Name of the row over all sources; a source of that name is called `all (source)`."""


class Counter(NamedTuple):
    """What counting asks of a tokenizer, whatever its form."""

    pieces: int
    is_byte: NDArray[np.bool_]
    """Per id, whether it spells one byte of a character that has no piece."""
    encode: Callable[[Sequence[str]], Iterator[NDArray[np.int64]]]


def open_counter(path: Path) -> Counter:
    """The tokenizer at `path`: a folder, or a tokenizer.json or SentencePiece model of any name.

    A SentencePiece model is asked itself, so that one that cannot be converted is counted too.
    """
    if path.is_dir():
        return open_counter(path / (TOKENIZER_FILE if (path / TOKENIZER_FILE).is_file() else MODEL_FILE))
    if not path.is_file():
        raise KajiyaError(f"{path}: no such file. Name a tokenizer's folder, or its .json or .model file.")
    if path.name == TOKENIZER_FILE:
        return fast_counter(load_tokenizer(path.parent))
    model = path.read_bytes()
    is_byte = np.array([piece.type == BYTE for piece in read_proto(model).pieces])
    processor = SentencePieceProcessor(model_proto=model)
    return Counter(
        len(is_byte),
        is_byte,
        lambda texts: (np.array(ids, np.int64) for ids in processor.encode(list(texts))),
    )


def fast_counter(tokenizer: Tokenizer) -> Counter:
    is_byte = np.zeros(vocabulary_size(tokenizer), dtype=bool)
    is_byte[[i for piece, i in tokenizer.get_vocab().items() if _is_byte(piece)]] = True
    return Counter(len(is_byte), is_byte, lambda texts: encode_documents(tokenizer, texts))


def fertility(counter: Counter, texts: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """characters_per_token and byte_token_share of each source, and of `all` together."""
    counts: dict[str, NDArray[np.int64]] = {}
    for source, part in texts.items():
        tokens = bytes_ = 0
        for ids in counter.encode(part):
            tokens, bytes_ = tokens + len(ids), bytes_ + int(counter.is_byte[ids].sum())
        counts[f"{ALL} (source)" if source == ALL else source] = np.array(
            [sum(map(len, part)), tokens, bytes_]
        )
    total = sum(counts.values(), np.zeros(3, np.int64))
    return {source: _figures(*count.tolist()) for source, count in [*counts.items(), (ALL, total)]}


def _figures(characters: int, tokens: int, bytes_: int) -> dict[str, float]:
    return {
        "characters_per_token": round(characters / max(1, tokens), 4),
        "byte_token_share": round(bytes_ / max(1, tokens), 6),
    }


def _is_byte(piece: str) -> bool:
    return len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")
