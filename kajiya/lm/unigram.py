"""Unigram encoding as SentencePiece does it, exactly, and several times as fast.

The scores of kajiya's tokenizers are multiples of 1/256, so sums of integers decide and every tie is
a real one: the first found stays, as in SentencePiece and HF. No piece reaches past a newline or a
。, so the search runs over short segments that stay in the cache.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from kajiya.lm.export import BYTE, NORMAL, SCORE_STEPS, UNIGRAM, adds_exactly, read_proto
from kajiya.lm.tokenizer import SEGMENT
from kajiya.lm.trie import build_trie
from kajiya.utf8 import buffers

_UNKNOWN_PENALTY = 10 * SCORE_STEPS  # SentencePiece's: below the worst piece


class Encoded(NamedTuple):
    """Token ids of several texts one after another; text i has lengths[i] of them."""

    ids: NDArray[np.uint32]
    lengths: NDArray[np.int64]


class Unigram(NamedTuple):
    """What the search needs to know of a model."""

    nodes: NDArray[np.int32]
    """The trie of the pieces with a fourth column: the score of the piece that ends there, in steps of 1/256."""
    symbols: NDArray[np.int32]
    """Of the trie, per code point."""
    ids: NDArray[np.uint32]
    """Per string of the trie the id of its piece."""
    bytes: NDArray[np.uint32]
    """Id of each byte's piece."""

    def encode(self, texts: pa.LargeStringArray) -> Encoded:
        """Ids of texts without nulls; no piece is left out for what it looks like ("</s>" is letters)."""
        content, borders = buffers(texts)
        return Encoded(*_encode(content, borders, self.nodes, self.symbols, self.ids, self.bytes))


def unigram_of(model: bytes) -> Unigram | None:
    """The encoder of a serialised SentencePiece model; None for BPE, for one that puts a space before a text, and
    where sums of the scores would not be exact."""
    proto = read_proto(model)
    if proto.trainer_spec.model_type != UNIGRAM or proto.normalizer_spec.add_dummy_prefix:
        return None
    pieces = [(i, p.piece, p.score * SCORE_STEPS) for i, p in enumerate(proto.pieces) if p.type == NORMAL]
    inside = all(SEGMENT.fullmatch(piece) for _, piece, _ in pieces)
    bytes_ = [i for i, p in enumerate(proto.pieces) if p.type == BYTE]
    if not (adds_exactly(proto) and inside and len(bytes_) == 256):
        return None
    # SentencePiece writes a space as ▁, and a literal ▁ is a space to it.
    trie = build_trie([piece.replace("▁", " ") for _, piece, _ in pieces])
    trie.symbols[ord("▁")] = trie.symbols[ord(" ")]
    scores = np.array([round(score) for _, _, score in pieces], np.int32)
    ends = np.where(trie.nodes[:, 2] >= 0, scores[trie.nodes[:, 2]], 0)
    return Unigram(
        np.column_stack([trie.nodes, ends]).astype(np.int32),
        trie.symbols,
        np.array([i for i, _, _ in pieces], np.uint32),
        np.array(bytes_, np.uint32),
    )


@njit(cache=True, nogil=True)
def _encode(data, offsets, nodes, symbols, ids, bytes_):  # type: ignore[no-untyped-def]
    longest = np.max(np.diff(offsets)) + 1 if len(offsets) > 1 else 1
    segment = np.zeros((longest, 2), np.int32)  # per character its symbol, and the byte where it begins
    way = np.zeros((longest, 2), np.int32)  # the last piece of the best way to it, and that one's characters
    best = np.zeros(longest, np.int64)
    found = np.empty(offsets[-1] - offsets[0], np.uint32)  # a byte is at most one token
    lengths = np.empty(len(offsets) - 1, np.int64)
    unknown = np.int64(nodes[:, 3].min() - _UNKNOWN_PENALTY)
    count = 0
    for text in range(len(offsets) - 1):
        before = count
        begin, stop = offsets[text], offsets[text + 1]
        while begin < stop:
            size, end = _read_segment(data, begin, stop, symbols, segment)
            _search(segment, size, nodes, unknown, best, way)
            count = _collect(data[begin:end], segment, size, way, ids, bytes_, found, count)
            begin = end
        lengths[text] = count - before
    return found[:count].copy(), lengths


@njit(cache=True, nogil=True)
def _read_segment(data, begin, stop, symbols, segment):  # type: ignore[no-untyped-def]
    """Decode UTF-8 up to the next newline or 。; returns how many characters, and the byte after them.

    On its own, in 32 bits: kajiya.utf8.decode gives every character as a pair of 64-bit numbers, and this is
    the innermost loop of the tokenizer.
    """
    size, i = 0, begin
    while i < stop:
        segment[size, 1] = i - begin
        byte = np.int32(data[i])
        if byte < 0x80:
            point, i = byte, i + 1
        elif byte < 0xE0:
            point, i = (byte & 0x1F) << 6 | (data[i + 1] & 0x3F), i + 2
        elif byte < 0xF0:
            point, i = (byte & 0x0F) << 12 | (data[i + 1] & 0x3F) << 6 | (data[i + 2] & 0x3F), i + 3
        else:
            high = (byte & 0x07) << 18 | (data[i + 1] & 0x3F) << 12
            point, i = high | (data[i + 2] & 0x3F) << 6 | (data[i + 3] & 0x3F), i + 4
        segment[size, 0] = symbols[point]
        size += 1
        if point == 0x0A or point == 0x3002:  # noqa: PLR1714
            break
    segment[size, 1] = i - begin
    return size, i


@njit(cache=True, nogil=True)
def _search(segment, size, nodes, unknown, best, way):  # type: ignore[no-untyped-def]
    """Viterbi: the best way to every character, left in `way`."""
    way[: size + 1, 1] = 0
    best[0] = 0
    for begin in range(size):
        so_far = best[begin]
        alone = False
        node, base = np.int32(0), nodes[0, 0]
        for end in range(begin + 1, size + 1):
            symbol = segment[end - 1, 0]
            child = base + symbol
            if symbol == 0 or nodes[child, 1] != node:
                break
            node, base = child, nodes[child, 0]
            if nodes[child, 2] >= 0:
                score = so_far + nodes[child, 3]
                if way[end, 1] == 0 or score > best[end]:
                    best[end], way[end, 0], way[end, 1] = score, nodes[child, 2], end - begin
                if end == begin + 1:
                    alone = True
        if not alone:
            score, end = so_far + unknown, begin + 1
            if way[end, 1] == 0 or score > best[end]:
                best[end], way[end, 0], way[end, 1] = score, -1, 1


@njit(cache=True, nogil=True)
def _collect(  # type: ignore[no-untyped-def]  # noqa: PLR0913, PLR0917 - flat arrays, for numba
    data, segment, size, way, ids, bytes_, found, count
):
    """Append the ids of the best way through the segment; returns how many there are now."""
    end, low = size, count
    while end > 0:
        begin = end - way[end, 1]
        if way[end, 0] >= 0:
            found[count] = ids[way[end, 0]]
            count += 1
        else:
            for i in range(segment[end, 1] - 1, segment[begin, 1] - 1, -1):
                found[count] = bytes_[data[i]]
                count += 1
        end = begin
    high = count - 1
    while low < high:
        found[low], found[high] = found[high], found[low]
        low, high = low + 1, high - 1
    return count
