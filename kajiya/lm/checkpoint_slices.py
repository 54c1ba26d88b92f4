"""The state in a checkpoint as slices of named parameters, which any number of ranks can read.

A slice is a run of a flattened parameter's fp32 values, or of one of its two Adam moments, and is named
`<kind>/<parameter>@<offset>`; whoever reads asks for a range and gets it from whatever slices hold it.
"""

import json
import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import safe_open

from kajiya.errors import KajiyaError

_BLOCK = 1 << 22
_FLUSHED_BYTES = 1 << 30


def slice_key(kind: str, name: str, offset: int) -> str:
    return f"{kind}/{name}@{offset}"


def write_slices(
    path: Path, slices: dict[str, torch.Tensor], pulse: Callable[[], None] = lambda: None
) -> str:
    """Write flat fp32 tensors of the CPU as safetensors and flush them to the disk; returns the checksum.

    pulse: called after each block. Every GiB is flushed before the next: a slow disk then shows how it gets on,
    and the one flush at the end does not stand still for minutes.

    Written here and not by the library, which copies each tensor twice and holds the interpreter meanwhile:
    this runs beside the training.
    """
    header, end = {}, 0
    for key, tensor in slices.items():
        begin, end = end, end + 4 * tensor.numel()
        header[key] = {"dtype": "F32", "shape": [tensor.numel()], "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    digest, unflushed = xxhash.xxh3_128(), 0
    with open(path, "wb") as handle:
        blocks = [memoryview(len(text).to_bytes(8, "little") + text), *map(_bytes, slices.values())]
        for block in blocks:
            for begin in range(0, len(block), _BLOCK):
                piece = block[begin : begin + _BLOCK]
                handle.write(piece)
                digest.update(piece)
                unflushed += len(piece)
                if unflushed >= _FLUSHED_BYTES:
                    handle.flush()
                    os.fdatasync(handle.fileno())
                    unflushed = 0
                pulse()
        handle.flush()
        os.fsync(handle.fileno())
    return digest.hexdigest()


class SliceReader:
    """Reads any range of the state from the parts of one checkpoint, however many ranks wrote them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[str, list[tuple[int, int, Any, str]]] = defaultdict(list)
        for path in sorted(folder.glob("rank-*.safetensors")):
            part = safe_open(path, framework="pt")
            for key in part.keys():  # noqa: SIM118 - no mapping
                tensor, _, offset = key.rpartition("@")
                length = part.get_slice(key).get_shape()[0]
                self._places[tensor].append((int(offset), length, part, key))

    def read(self, kind: str, name: str, offset: int, target: torch.Tensor) -> None:
        """Fill the flat `target` with the values from `offset` on. Raises KajiyaError where some are missing."""
        end, filled = offset + target.numel(), 0
        for begin, length, part, key in self._places.get(f"{kind}/{name}", ()):
            low, high = max(begin, offset), min(begin + length, end)
            if low < high:
                values = part.get_slice(key)[low - begin : high - begin]
                target[low - offset : high - offset].copy_(values)
                filled += high - low
        if filled != target.numel():
            raise KajiyaError(
                f"{self._folder}: holds {filled} of the values {offset} to {end} of {kind}/{name}. It is of another "
                "model or an older version: remove the folder to train from an earlier checkpoint or the start."
            )


def _bytes(tensor: Any) -> memoryview:
    return memoryview(tensor.numpy()).cast("B") if tensor.numel() else memoryview(b"")
