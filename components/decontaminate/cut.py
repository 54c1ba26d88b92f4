"""Cut the sentences that hold evaluation items out of a text."""

import re
from typing import NamedTuple

import numpy as np

from kajiya.overlap import Watched, covered_characters

# Where a sentence ends: after its marks and what they close, or before the end of its line.
_BORDER = re.compile(r"[。！？!?]+[」』）)\]”’\"]*[ \t　]*|\.[\"”’)]*[ \t]+|(?=\n)|\n")


class Cut(NamedTuple):
    """A run of sentences taken out: text[begin:end] of the document as it came in, in characters."""

    begin: int
    end: int
    text: int
    """Number of the watched text that covers it; of several the one met first."""


def cut_covered(text: str, watched: Watched, max_overlap: float) -> tuple[str, list[Cut]]:
    """(what is left, what was cut). What is left covers no watched text by more than the bound.

    Measured again after each cut: what a cut brings together may cover something anew. Each round takes
    at least one sentence, so it ends.
    """
    pieces = sentences(text)
    owner = np.full(len(pieces), -1, np.int64)
    while True:
        left = np.flatnonzero(owner < 0)
        kept = [text[slice(*pieces[i])] for i in left]
        places, texts = covered_characters("".join(kept), watched, max_overlap)
        if not len(places):
            break
        ends = np.cumsum([len(one) for one in kept])
        hit, first = np.unique(np.searchsorted(ends, places, side="right"), return_index=True)
        owner[left[hit]] = texts[first]
        _take_empty_lines(text, pieces, owner)
    return "".join(kept), _runs(pieces, owner)


def sentences(text: str) -> list[tuple[int, int]]:
    """(begin, end) of each sentence and of each line break, together the whole text."""
    ends = sorted({found.end() for found in _BORDER.finditer(text)} | {len(text)} - {0})
    begins = [0, *ends[:-1]]
    return [(begin, end) for begin, end in zip(begins, ends, strict=True) if begin < end]


def _take_empty_lines(text: str, pieces: list[tuple[int, int]], owner: np.ndarray) -> None:
    """Where all sentences of a line went, its line break goes with them."""
    went, stays = -1, False
    for i, (begin, end) in enumerate(pieces):
        if text[begin:end] != "\n":
            went, stays = max(went, int(owner[i])), stays or owner[i] < 0
            continue
        if went >= 0 and not stays and owner[i] < 0:
            owner[i] = went
        went, stays = -1, False


def _runs(pieces: list[tuple[int, int]], owner: np.ndarray) -> list[Cut]:
    """Neighbouring pieces of one owner as one cut."""
    cuts: list[Cut] = []
    for (begin, end), text in zip(pieces, owner.tolist(), strict=True):
        if text < 0:
            continue
        if cuts and cuts[-1].end == begin and cuts[-1].text == text:
            cuts[-1] = cuts[-1]._replace(end=end)
        else:
            cuts.append(Cut(begin, end, text))
    return cuts
