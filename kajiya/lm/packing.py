"""Packed token arrays as training sequences, in an order that needs no state.

The i-th sequence that a training run sees is a pure function of (seed, epoch, i): a run that resumes
asks for number i and gets it, whatever it had read before it was killed.
"""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kajiya.errors import KajiyaError

Split = Literal["train", "validation"]

# Rounds of the Feistel network. Four make it a pseudorandom permutation (Luby and Rackoff 1988);
# the halves are few bits wide on small corpora, where two more mix visibly better.
_ROUNDS = 6


class TokenDataset:
    """Sequences of `context` + 1 tokens over one split of a tokens folder, read through a memory map.

    Neighbours overlap by one token, so that every token but the first is predicted exactly once per
    epoch. The tail that does not fill a sequence is left out.
    """

    def __init__(self, folder: Path, split: Split, context: int) -> None:
        self.folder = folder
        self.split = split
        self.context = context
        self.facts = read_facts(folder)
        self.token_ids: NDArray[Any] = _open_array(folder / f"{split}.npy")
        if len(self) == 0:
            raise KajiyaError(
                f"{folder}/{split}.npy: {len(self.token_ids)} tokens do not fill one sequence of {context}. "
                "Lower the context length in the recipe or bring more text."
            )

    def __len__(self) -> int:
        return max(0, (len(self.token_ids) - 1) // self.context)

    def sequence(self, index: int) -> NDArray[np.int64]:
        """Token ids of sequence `index`, shape (context + 1,): inputs are [:-1], labels are [1:]."""
        if not 0 <= index < len(self):
            raise IndexError(f"sequence {index} of {len(self)} in {self.folder}/{self.split}.npy")
        start = index * self.context
        return self.token_ids[start : start + self.context + 1].astype(np.int64)


def positions(inputs: NDArray[np.int64], end_of_sequence: int) -> NDArray[np.int64]:
    """Position of each token within its document's part of the sequence, same shape as `inputs`.

    Given to the model as position_ids, with use_cache=False, they keep packed documents from
    attending to each other; with a cache in use transformers ignores the borders silently.
    """
    index = np.broadcast_to(np.arange(inputs.shape[-1]), inputs.shape)
    begins = np.zeros(inputs.shape, dtype=bool)
    begins[..., 1:] = inputs[..., :-1] == end_of_sequence
    return index - np.maximum.accumulate(np.where(begins, index, 0), axis=-1)


def order(seed: int, epoch: int, n: int, at: ArrayLike | None = None) -> NDArray[np.int64]:
    """Which of `n` sequences stands at each place of the shuffled epoch; `at` selects places.

    A Feistel network over the next power of four, walked until it falls below n (Black and Rogaway
    2002): any place of any epoch costs the same, no permutation of the whole is held in memory, and
    no library's random stream, which may change between versions, is involved.
    """
    places = np.arange(n, dtype=np.uint64) if at is None else np.array(at, dtype=np.uint64, ndmin=1)
    if places.size and int(places.max()) >= n:
        raise IndexError(f"place {int(places.max())} in an order of {n}")
    half_bits = max(1, ((n - 1).bit_length() + 1) // 2)
    first_key = mix(mix(np.uint64(seed)) ^ np.uint64(epoch))
    keys: NDArray[np.uint64] = mix(first_key + np.arange(_ROUNDS, dtype=np.uint64))
    result = _feistel(places, keys, half_bits)
    while (outside := result >= n).any():
        result[outside] = _feistel(result[outside], keys, half_bits)
    return result.astype(np.int64)


def mix(values: ArrayLike) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele et al. 2014): spreads every input bit over all 64 output bits."""
    mixed = np.array(values, dtype=np.uint64, ndmin=1)
    with np.errstate(over="ignore"):
        mixed += np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _feistel(values: NDArray[np.uint64], keys: NDArray[np.uint64], half_bits: int) -> NDArray[np.uint64]:
    shift, mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
    left, right = values >> shift, values & mask
    for key in keys:
        left, right = right, left ^ (mix(right ^ key) & mask)
    return (left << shift) | right


def read_facts(folder: Path) -> dict[str, Any]:
    """tokens.json of a tokens folder: vocabulary_size, end_of_sequence, tokens per split and source."""
    path = folder / "tokens.json"
    try:
        facts: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise KajiyaError(f"{path}: no such file. Run the stage `tokenize` first.") from None
    except json.JSONDecodeError as error:
        raise KajiyaError(f"{path}: invalid JSON ({error}). Rerun the stage `tokenize`.") from None
    return facts


def _open_array(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError) as error:
        raise KajiyaError(f"{path}: not a readable token array ({error}). Rerun `tokenize`.") from None
    return array
