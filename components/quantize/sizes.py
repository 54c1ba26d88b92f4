"""Bytes of a model folder before and after, read from the headers of its safetensors files.

Embeddings and head keep their precision, and in a small model they are most of its bytes: the ratio is told
with them, which is what a disk sees, and without, which is what the method did.
"""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import safe_open

_EMBEDDINGS = ("embed_tokens.weight", "lm_head.weight")
_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1}


def model_sizes(full: Path, quantized: Path, layers: list[str]) -> dict[str, Any]:
    """Bytes of weights in both folders, embeddings apart, and bits per quantized weight."""
    before, after = dict(_tensors(full)), dict(_tensors(quantized))
    prefixes = tuple(f"{layer}." for layer in layers)
    weights = sum(math.prod(before[f"{layer}.weight"][0]) for layer in layers)
    packed = sum(size for name, (_, size) in after.items() if name.startswith(prefixes))
    sizes = {
        name: sum(size for _, size in tensors.values())
        for name, tensors in (("before", before), ("after", after))
    }
    kept = {"before": _embedding_bytes(before), "after": _embedding_bytes(after)}
    return {
        "layers_quantized": len(layers),
        "weights_quantized": weights,
        "bits_per_weight": packed * 8 / weights,
        "stored_before": stored_type(full),
        "bytes_before": sizes["before"],
        "bytes_after": sizes["after"],
        "bytes_embeddings_before": kept["before"],
        "bytes_embeddings_after": kept["after"],
        "times_smaller": sizes["before"] / sizes["after"],
        "times_smaller_without_embeddings": (sizes["before"] - kept["before"])
        / (sizes["after"] - kept["after"]),
    }


def _embedding_bytes(tensors: dict[str, tuple[list[int], int]]) -> int:
    return sum(size for name, (_, size) in tensors.items() if name.endswith(_EMBEDDINGS))


def stored_type(folder: Path) -> str:
    """The type that most bytes of a folder are in: half of them, of F32, are no merit of a quantization."""
    bytes_by_type: Counter[str] = Counter()
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "np") as file:
            for name in file.keys():  # noqa: SIM118 - not a mapping
                part = file.get_slice(name)
                bytes_by_type[part.get_dtype()] += math.prod(part.get_shape()) * _BYTES[part.get_dtype()]
    return bytes_by_type.most_common(1)[0][0]


def _tensors(folder: Path) -> Iterator[tuple[str, tuple[list[int], int]]]:
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "np") as file:
            for name in file.keys():  # noqa: SIM118 - not a mapping
                part = file.get_slice(name)
                shape = part.get_shape()
                yield name, (shape, math.prod(shape) * _BYTES[part.get_dtype()])
