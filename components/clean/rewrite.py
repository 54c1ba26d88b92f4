"""Put other text in the place of some spans, keeping a document's lines tidy."""

from typing import NamedTuple

import numpy as np
from numba import njit

from kajiya.ngrams import Points, flatten


class Edits(NamedTuple):
    """Spans of a flat array in order, none over the other, and the text that comes in the place of each."""

    begins: list[int]
    ends: list[int]
    texts: list[str]


def rewritten(texts: Points, edits: Edits) -> Points:
    """The texts after the edits. A document that was edited has at most one blank line in a row again."""
    if not edits.begins:
        return texts
    new = flatten(edits.texts)
    begins, ends = np.array(edits.begins, np.int64), np.array(edits.ends, np.int64)
    points, offsets = _rewrite(*texts, begins, ends, new.points, new.offsets)
    return Points(points[: offsets[-1]], offsets)


@njit(cache=True, nogil=True)
def _rewrite(points, offsets, begins, ends, new, new_offsets):
    out = np.empty(len(points) + len(new), np.uint32)
    out_offsets = np.zeros(len(offsets), np.int64)
    j, edit = np.int64(0), np.int64(0)
    for document in range(len(offsets) - 1):
        i, last = offsets[document], offsets[document + 1]
        start = j
        if edit == len(begins) or begins[edit] >= last:
            j = _copy(points, i, last, out, j)
        else:
            while i < last:
                if edit < len(begins) and i == begins[edit]:
                    j = _copy(new, new_offsets[edit], new_offsets[edit + 1], out, j)
                    i = ends[edit]
                    edit += 1
                    continue
                point = points[i]
                i += 1
                blank = j >= start + 2 and out[j - 1] == 0x0A and out[j - 2] == 0x0A
                if point == 0x0A and (j == start or blank):
                    continue
                out[j] = point
                j += 1
            while j > start and (out[j - 1] == 0x20 or out[j - 1] == 0x09 or out[j - 1] == 0x0A):
                j -= 1
        out_offsets[document + 1] = j
    return out, out_offsets


@njit(cache=True, nogil=True)
def _copy(points, begin, end, out, j):
    """Put points[begin:end] at out[j]; returns the place after. Assigning slices would take a second to compile."""
    for i in range(begin, end):
        out[j] = points[i]
        j += 1
    return j
