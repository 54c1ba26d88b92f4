"""Texts as they lie in Arrow's buffers, decoded inside numba kernels without a Python string in between."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit


def buffers(chunk: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """(bytes, offsets) of an array of strings; text i is bytes[offsets[i]:offsets[i + 1]], a null is empty."""
    if not len(chunk):
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    if chunk.type != pa.large_string():
        chunk = chunk.cast(pa.large_string())
    _, offsets, data = chunk.buffers()
    places = np.frombuffer(offsets, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
    return (np.frombuffer(data, np.uint8) if data and data.size else np.zeros(0, np.uint8)), places


@njit(cache=True, nogil=True, inline="always")
def decode(data, i):  # type: ignore[no-untyped-def]
    """(code point, bytes) of the character that begins at byte i of valid UTF-8.

    The one decoder for text that Arrow has checked, but for two that do other work in the same step: clean's
    takes any bytes and counts what is wrong with them, and the search of kajiya.lm.unigram.
    """
    lead = np.int64(data[i])
    if lead < 0x80:
        return lead, 1
    if lead < 0xE0:
        return ((lead & 0x1F) << 6) | (data[i + 1] & 0x3F), 2
    if lead < 0xF0:
        return ((lead & 0x0F) << 12) | ((data[i + 1] & 0x3F) << 6) | (data[i + 2] & 0x3F), 3
    high = ((lead & 0x07) << 18) | ((data[i + 1] & 0x3F) << 12)
    return high | ((data[i + 2] & 0x3F) << 6) | (data[i + 3] & 0x3F), 4
