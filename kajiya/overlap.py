"""How much of each text of the evaluation sets a document covers, in character n-grams.

Texts are compared by their letters and digits alone, lower case and one width: a leaked item rarely
keeps its punctuation and line breaks. Documents are read straight from Arrow's buffers, one pass of
decoding and rolling hash for all lengths of n-grams together; see docs/validation.md for the speed.
"""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from kajiya.errors import KajiyaError
from kajiya.evaluation_sets import EvaluationSet, load_all
from kajiya.ngrams import LETTERS_AND_DIGITS
from kajiya.overlap_kernels import (
    Keys,
    find_covered,
    fold_all,
    gram_keys,
    make_filter,
    make_table,
    measure,
)
from kajiya.settings import Settings
from kajiya.utf8 import buffers

_MAX_SETS = 64  # a document's sets are the bits of one integer


class OverlapSettings(Settings):
    """When a text counts as overlapping with an evaluation set."""

    ngram_chars: Annotated[int, Field(ge=5, le=100)] = 13
    """Letters of an n-gram for Japanese sets."""
    english_ngram_chars: Annotated[int, Field(ge=5, le=200)] = 40
    """Letters of an n-gram for English sets: 13 letters are three words, and a long book holds most
    combinations of three words."""
    max_overlap: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """A document may cover this share of an item's n-grams, and no more."""
    min_chars: Annotated[int, Field(ge=1)] = 10
    """Items of fewer letters are not looked for: they are everyday phrases. Below 8 everything slows down,
    since all n-grams are first looked up by so many letters."""


class Watched(NamedTuple):
    """Every text of the evaluation sets, ready to be looked for."""

    sets: tuple[str, ...]
    """Names such as "jsquad/valid-v1.3"."""
    set_of: npt.NDArray[np.int64]
    """Per text the number of its set."""
    names: list[str]
    """Per text the id of the first item that has it."""
    items: list[tuple[int, list[int]]]
    """Per item the number of its set and its texts."""
    sizes: npt.NDArray[np.int64]
    """Different n-grams per text; 0 for texts too short to look for."""
    keys: Keys

    def label(self, text: int) -> str:
        """Set and item, as rejected documents name them; empty for -1."""
        return f"{self.sets[self.set_of[text]]}:{self.names[text]}" if text >= 0 else ""


class Overlap(NamedTuple):
    """What documents cover of the watched texts."""

    worst_text: npt.NDArray[np.int64]
    """Per document the text it covers most of (the first of equals); -1 where it covers none."""
    worst_share: npt.NDArray[np.float64]
    touched: npt.NDArray[np.uint64]
    """Per document the sets it shares an n-gram with, as bits."""
    over: npt.NDArray[np.uint64]
    """Per document the sets of which it covers a text by more than the bound, as bits."""
    text_share: npt.NDArray[np.float64]
    """Per text the largest share that one document covers."""
    left: npt.NDArray[np.bool_]
    """Per key whether a document under the bound has it: what stays in the corpus."""


@lru_cache(maxsize=1)  # once in every worker process
def load_watched(settings: OverlapSettings, folder: Path, splits: tuple[str, ...] | None = None) -> Watched:
    """The texts of the sets in `folder`; splits: only these, such as ("valid",)."""
    chosen = [one for one in load_all(folder) if splits is None or one.split in splits]
    if not chosen:
        raise KajiyaError(f"{folder}: no evaluation set has a split {' or '.join(splits or ())}. Add one.")
    return watch(settings, chosen)


def watch(settings: OverlapSettings, evaluation_sets: list[EvaluationSet]) -> Watched:
    """Index every text of the sets."""
    if len(evaluation_sets) > _MAX_SETS:
        raise KajiyaError(
            f"{len(evaluation_sets)} splits of evaluation sets; {_MAX_SETS} at most can be watched."
        )
    set_of: list[int] = []
    names: list[str] = []
    texts: list[str] = []
    lengths: list[int] = []
    items = []
    for number, one in enumerate(evaluation_sets):
        length = settings.english_ngram_chars if one.language == "en" else settings.ngram_chars
        known: dict[str, int] = {}
        for item in one.items:
            own = []
            for passage in item.passages():
                place = known.setdefault(passage.text, len(texts))
                if place == len(texts):
                    set_of.append(number)
                    names.append(passage.item)
                    texts.append(passage.text)
                    lengths.append(length)
                own.append(place)
            items.append((number, own))
    sizes, keys = _index(texts, np.array(lengths, np.int64), settings.min_chars)
    sets = tuple(f"{one.name}/{one.split}-{one.version}" for one in evaluation_sets)
    return Watched(sets, np.array(set_of, np.int64), names, items, sizes, keys)


def overlap(texts: pa.ChunkedArray, watched: Watched, max_overlap: float) -> Overlap:
    """What each text of a large_string column covers."""
    left = np.zeros(len(watched.keys.values), np.bool_)
    text_share = np.zeros(len(watched.names))
    parts = [
        measure(*buffers(chunk), LETTERS_AND_DIGITS, watched.keys, watched.sizes, watched.set_of, max_overlap,
                text_share, left)
        for chunk in texts.chunks
    ]  # fmt: skip
    none = (np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.uint64), np.zeros(0, np.uint64))
    worst_text, worst_share, touched, over = map(np.concatenate, zip(none, *parts, strict=True))
    return Overlap(worst_text, worst_share, touched, over, text_share, left)


def overlap_of(texts: list[str], watched: Watched, max_overlap: float) -> Overlap:
    """The same for a list of texts."""
    return overlap(pa.chunked_array([pa.array(texts, pa.large_string())]), watched, max_overlap)


def covered_characters(
    text: str, watched: Watched, max_overlap: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(positions, texts): the characters of `text` covered by a watched text over the bound, and by which."""
    data = np.frombuffer(text.encode(), np.uint8)
    return find_covered(data, LETTERS_AND_DIGITS, watched.keys, watched.sizes, max_overlap)


def share_left(watched: Watched, left: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Per watched text the share of its n-grams that stay in the corpus, all documents taken together."""
    keys = watched.keys
    entries = np.repeat(left, np.diff(keys.starts))
    found = np.bincount(keys.owners[entries], minlength=len(watched.sizes))
    return found / np.maximum(watched.sizes, 1)


def _index(texts: list[str], ngram_chars: npt.NDArray[np.int64], min_chars: int) -> tuple:
    """(sizes, keys). A text shorter than its n-gram is one n-gram, itself: it must be contained whole."""
    data, places = buffers(pa.array(texts, pa.large_string()))
    letters, offsets = fold_all(data, places, LETTERS_AND_DIGITS)
    chars = np.diff(offsets)
    lengths = np.where(chars >= min_chars, np.minimum(chars, ngram_chars), 0)
    used = np.unique(lengths[lengths > 0])
    shortest = int(used[0]) if len(used) else min_chars
    grams, heads, owners = gram_keys(letters, offsets, lengths, shortest)
    order = np.lexsort((owners, grams))
    grams, owners = grams[order], owners[order]
    new = np.ones(len(grams), np.bool_)  # once per text, however often it says it
    new[1:] = (grams[1:] != grams[:-1]) | (owners[1:] != owners[:-1])
    grams, owners = grams[new], owners[new]
    values, starts = np.unique(grams, return_index=True)
    ends = np.append(starts, len(grams))
    keys = Keys(used, shortest, make_filter(np.unique(heads)), make_table(values), values, ends, owners)
    return np.bincount(owners, minlength=len(texts)), keys
