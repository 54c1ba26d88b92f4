"""Encode a corpus: by SentencePiece where the fast tokenizer is its image, else by the fast one.

The two give the same ids (the stage `tokenizer` proves it), SentencePiece three times as fast.
"""

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sentencepiece import SentencePieceProcessor

from kajiya.errors import KajiyaError
from kajiya.lm.tokenizer import NEWLINE, encode_documents, fast_tokenizer, load_tokenizer

# SentencePiece adds scores as float32: exact for the some 6,000 pieces that 65,536 holds, so a long
# document goes in parts, cut where no piece reaches across.
_PART_CHARACTERS = 2000
_LONGEST_EXACT_PART = 2 * _PART_CHARACTERS
_BORDERS = ("。", NEWLINE)


class Encoded(NamedTuple):
    """Token ids of several texts one after another; text i has lengths[i] of them."""

    ids: NDArray[np.uint32]
    lengths: NDArray[np.int64]


class Encoder:
    """The encoder of a tokenizer's folder. Raises KajiyaError where the folder holds no tokenizer."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        """threads: of SentencePiece; they change the speed alone."""
        self._fast = load_tokenizer(folder)
        self._threads = threads
        self._sentencepiece = _same_in_sentencepiece(folder / "tokenizer.model", self._fast.to_str())
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false" if threads == 1 else "true")

    @property
    def uses_sentencepiece(self) -> bool:
        return self._sentencepiece is not None

    def encode(self, texts: list[str]) -> Encoded:
        """Token ids without special tokens: a literal "</s>" in a text is only letters."""
        if self._sentencepiece is None:
            return _together(list(encode_documents(self._fast, texts)))
        parts = [list(_parts(text)) for text in texts]
        flat = self._sentencepiece.encode(list(chain.from_iterable(parts)), num_threads=self._threads)
        for index, part in enumerate(chain.from_iterable(parts)):
            if len(part) > _LONGEST_EXACT_PART:
                flat[index] = next(encode_documents(self._fast, [part])).tolist()
        sizes = np.fromiter(map(len, flat), np.int64, len(flat))
        ids = np.fromiter(chain.from_iterable(flat), np.uint32, int(sizes.sum()))
        ends = np.cumsum([0, *map(len, parts)])
        tokens_before = np.concatenate([[0], np.cumsum(sizes)])
        return Encoded(ids, np.diff(tokens_before[ends]))


def _together(encoded: list[NDArray[np.int64]]) -> Encoded:
    ids = np.concatenate([np.empty(0, np.int64), *encoded]).astype(np.uint32)
    return Encoded(ids, np.array([len(one) for one in encoded], np.int64))


def _same_in_sentencepiece(model: Path, fast: str) -> SentencePieceProcessor | None:
    """SentencePiece, if the fast tokenizer is what kajiya makes of this model: a foreign one may differ from its own."""
    if not model.is_file():
        return None
    content = model.read_bytes()
    try:
        same = fast_tokenizer(content).to_str() == fast
    except KajiyaError:  # not a model that can be converted exactly
        return None
    return SentencePieceProcessor(model_proto=content) if same else None


def _parts(text: str) -> Iterator[str]:
    """The text in parts of about _PART_CHARACTERS, each ending in a border (longer where there is none)."""
    begin = 0
    while len(text) - begin > _PART_CHARACTERS:
        end = begin + _PART_CHARACTERS
        cut = max(text.rfind(border, begin, end) for border in _BORDERS) + 1
        if not cut:
            cut = (
                min((at for border in _BORDERS if (at := text.find(border, end)) >= 0), default=len(text) - 1)
                + 1
            )
        yield text[begin:cut]
        begin = cut
    if begin < len(text):
        yield text[begin:]
