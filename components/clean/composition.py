"""Canonical composition (NFC) of the few texts that it may change."""

import re
import unicodedata
from functools import lru_cache

import numpy as np

from components.clean.characters import TRANSLATION
from kajiya.ngrams import Points, flatten

_FIRST_MARK, _BEYOND_MARKS = 0x300, 0x1F000
_LONG = 31  # one more than Unicode's stream-safe text has (UAX 15)


def composed(texts: Points, which: np.ndarray) -> Points:
    """The texts numbered `which` in canonical composition; few texts need it, and it is slow."""
    if not len(which):
        return texts
    pieces, lengths, done = [], np.diff(texts.offsets), 0
    for document in which:
        begin, end = texts.offsets[document], texts.offsets[document + 1]
        text = texts.points[begin:end].tobytes().decode("utf-32-le")
        # Folded first: a letter that loses its width could compose with the mark after it.
        points = flatten([compose(text.translate(TRANSLATION))]).points
        pieces += [texts.points[done:begin], points]
        lengths[document], done = len(points), end
    pieces.append(texts.points[done:])
    return Points(np.concatenate(pieces), np.concatenate([[0], np.cumsum(lengths)]))


def compose(text: str) -> str:
    """unicodedata.normalize("NFC", text), whose time grows with the square of a run of marks out of order."""
    return unicodedata.normalize("NFC", _long_runs().sub(_in_order, text))


def _in_order(run: re.Match[str]) -> str:
    """The marks in canonical order, as normalising would put them one by one."""
    marks = "".join(unicodedata.normalize("NFD", mark) for mark in run.group())
    return "".join(sorted(marks, key=unicodedata.combining))


@lru_cache
def _long_runs() -> re.Pattern[str]:
    """Runs of marks: of what is, or decomposes into, characters of a combining class."""
    marks = [
        chr(point)
        for point in range(_FIRST_MARK, _BEYOND_MARKS)
        if not 0xD800 <= point < 0xE000 and unicodedata.combining(unicodedata.normalize("NFD", chr(point))[0])
    ]
    return re.compile(f"[{''.join(map(re.escape, marks))}]{{{_LONG},}}")
