"""What was really trained on: every rank logs what it feeds to the model, and the end of the stage proves it.

A row is one sequence in one step: its number, a digest of the token ids as they went into the forward pass,
and the rank. Rows are committed with the checkpoint of their step (`samples/until-<step>-<digest>.npy`, named
in its manifest); those after it belong to steps that a restart undoes, and are cut. Steps count from 1, as in
metrics.jsonl.
"""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import xxhash
from numpy.typing import NDArray

from kajiya.errors import KajiyaError
from kajiya.lm.checkpoint import checksum, flush
from kajiya.lm.packing import mix

ROW = np.dtype([("step", "<i8"), ("sequence", "<i8"), ("digest", "<i8"), ("rank", "<i8")])

TRAINED = "trained"
TABLE = pa.schema(
    [
        ("step", pa.int64()),
        ("sequence", pa.int64()),
        ("state", pa.dictionary(pa.int8(), pa.string())),
    ]
)

# Sequences per block of the final check and per row group: some MiB, whatever the batch.
_BLOCK_SEQUENCES = 1 << 17


class Plan(Protocol):
    """What each step is meant to read: components.pretrain.batches.Batches."""

    batch: int

    def sequence_indices(self, step: int) -> NDArray[np.int64]: ...

    def token_ids(self, sequences: NDArray[np.int64]) -> NDArray[np.int64]: ...


class SampleLog:
    """Rows of one rank since the last checkpoint. Nothing is waited for: the digests stay on the device."""

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self._fed: list[tuple[int, NDArray[np.int64], torch.Tensor]] = []

    def add(self, step: int, sequences: NDArray[np.int64], tokens: torch.Tensor) -> None:
        """tokens: what the model is given in `step`, shape (sequences, tokens), on its device."""
        self._fed.append((step, sequences, digests(tokens)))

    def take(self) -> NDArray[Any]:
        """The rows, and begin anew."""
        fed, self._fed = self._fed, []
        rows = np.zeros(sum(len(sequences) for _, sequences, _ in fed), ROW)
        if fed:
            rows["step"] = np.repeat([step for step, _, _ in fed], [len(numbers) for _, numbers, _ in fed])
            rows["sequence"] = np.concatenate([numbers for _, numbers, _ in fed])
            rows["digest"] = torch.cat([digest for _, _, digest in fed]).cpu().numpy()
        rows["rank"] = self._rank
        return rows

    def clear(self) -> None:
        self._fed.clear()


def digests(tokens: torch.Tensor) -> torch.Tensor:
    """One 64-bit number per row of token ids, equal to `digests_of` on every device.

    A multilinear hash: sums modulo 2**64 of the ids, each times a fixed random number of its place. Integer
    sums give the same in any order, and a GPU makes them without a copy to the host.
    """
    return ((tokens.long() + 1) * _weights_on(tokens.device, tokens.shape[1])).sum(1)


def digests_of(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    with np.errstate(over="ignore"):
        result: NDArray[np.int64] = ((tokens + 1) * _weights(tokens.shape[1])).sum(1)
    return result


def commit(rows: NDArray[Any], folder: Path, step: int) -> str:
    """Put the rows of all ranks, up to the checkpoint of `step`, on the disk; returns the file's name."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".until-{step:08d}.tmp"
    with open(aside, "wb") as handle:
        np.save(handle, rows[np.lexsort((rows["sequence"], rows["step"]))])
    flush(aside)
    path = folder / f"until-{step:08d}-{checksum(aside)}.npy"
    aside.replace(path)
    flush(folder)
    return path.name


def damages(folder: Path, names: list[str]) -> Iterator[str]:
    """What is wrong with the committed files; each carries its checksum in its name."""
    for name in names:
        path = folder / name
        if not path.is_file():
            yield f"samples/{name} is missing"
        elif checksum(path) != path.stem.rpartition("-")[2]:
            yield f"samples/{name} has another checksum than when it was written"


def cut(folder: Path, names: list[str]) -> None:
    """Remove the rows of steps that were undone: all files but those of the checkpoint continued from."""
    for path in folder.glob("*until-*"):
        if path.name not in names:
            path.unlink()


def check(
    files: list[Path],
    plan: Plan,
    steps: int,
    states: dict[int, str],
    pulse: Callable[[], None] = lambda: None,
) -> Iterator[pa.Table]:
    """Prove from the rows that every planned sequence of each step was seen exactly once, and nothing else.

    states: steps that were not trained on as planned, with the reason: `left out ...` was not read at all,
    anything else was read, and its update not applied. pulse: called every few thousand sequences. Gives the canonical log, block by block: the same
    whatever crashes and ranks there were. Raises KajiyaError naming step and sequence.
    """
    arrays = [array for array in (np.load(path, mmap_mode="r") for path in files) if len(array)]
    block = max(1, _BLOCK_SEQUENCES // plan.batch)
    for first in range(1, steps + 1, block):
        last = min(steps, first + block - 1)
        rows = _rows_between(arrays, first, last)
        planned = np.zeros((last - first + 1) * plan.batch, ROW)
        planned["step"] = np.repeat(np.arange(first, last + 1), plan.batch)
        planned["sequence"] = np.concatenate([plan.sequence_indices(s - 1) for s in range(first, last + 1)])
        planned = _sorted(planned)
        read = ~np.isin(planned["step"], [step for step, state in states.items() if is_left_out(state)])
        _require_same(planned[read], rows)
        _require_tokens(rows, plan, pulse)
        yield _table(planned, states)
    stray = [row for array in arrays for row in array[array["step"] > steps]]
    if stray:
        raise KajiyaError(f"step {stray[0]['step']}: the log holds a step after the last. {_DEFECT}")


def write_table(tables: Iterator[pa.Table], path: Path) -> dict[str, Any]:
    """Write the canonical log, one row group a block. Returns how many sequences met which state."""
    counts: dict[str, int] = {}
    digest = xxhash.xxh3_128()
    with pq.ParquetWriter(path, TABLE, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table, row_group_size=max(1, table.num_rows))
            for name in ("step", "sequence"):
                digest.update(np.ascontiguousarray(table[name].to_numpy()))
            for entry in table["state"].value_counts().to_pylist():
                counts[entry["values"]] = counts.get(entry["values"], 0) + entry["counts"]
    return {**{state: counts[state] for state in sorted(counts)}, "order_digest": digest.hexdigest()}


def is_left_out(state: str) -> bool:
    return state.startswith("left out")


_DEFECT = (
    "The training did not see what was planned: this is a defect of kajiya or of the machine; the model was not "
    "published. Remove the work folder to train anew."
)


@cache
def _weights_on(device: torch.device, length: int) -> torch.Tensor:
    return torch.from_numpy(_weights(length)).to(device)


def _weights(length: int) -> NDArray[np.int64]:
    return mix(np.arange(length, dtype=np.uint64)).view(np.int64)


def _sorted(rows: NDArray[Any]) -> NDArray[Any]:
    return rows[np.lexsort((rows["sequence"], rows["step"]))]


def _rows_between(arrays: list[NDArray[Any]], first: int, last: int) -> NDArray[Any]:
    parts = [
        array[np.searchsorted(array["step"], first) : np.searchsorted(array["step"], last, side="right")]
        for array in arrays
        if array["step"][0] <= last and array["step"][-1] >= first
    ]
    return _sorted(np.concatenate([np.zeros(0, ROW), *parts]))


def _require_same(planned: NDArray[Any], rows: NDArray[Any]) -> None:
    length = min(len(planned), len(rows))
    pairs = [array[["step", "sequence"]] for array in (planned[:length], rows[:length])]
    different = np.flatnonzero(pairs[0] != pairs[1])
    if not len(different) and len(planned) == len(rows):
        return
    place = int(different[0]) if len(different) else length
    expected = tuple(planned[["step", "sequence"]][place]) if place < len(planned) else None
    found = tuple(rows[["step", "sequence"]][place]) if place < len(rows) else None
    if expected is not None and (found is None or expected < found):
        step, sequence, what = *expected, "was planned and never seen"
    else:
        assert found is not None
        step, sequence = found
        twice = place > 0 and tuple(rows[["step", "sequence"]][place - 1]) == found
        what = f"was seen {'more than once' if twice else 'and not planned'} (by rank {rows['rank'][place]})"
    raise KajiyaError(f"step {step}: sequence {sequence} {what}. {_DEFECT}")


def _require_tokens(rows: NDArray[Any], plan: Plan, pulse: Callable[[], None]) -> None:
    if not len(rows):
        return
    # A few thousand sequences at a time: their token ids are copied.
    for part in np.array_split(rows, -(-len(rows) // 4096)):
        pulse()
        wrong = np.flatnonzero(digests_of(plan.token_ids(part["sequence"])) != part["digest"])
        if len(wrong):
            row = part[wrong[0]]
            raise KajiyaError(
                f"step {row['step']}: rank {row['rank']} gave the model other token ids than those of sequence "
                f"{row['sequence']}. {_DEFECT}"
            )


def _table(planned: NDArray[Any], states: dict[int, str]) -> pa.Table:
    names = [TRAINED, *sorted({*states.values()})]
    codes = {step: names.index(state) for step, state in states.items()}
    place = np.array([codes.get(int(step), 0) for step in np.unique(planned["step"])], np.int8)
    steps, repeated = np.unique(planned["step"], return_inverse=True)
    assert len(steps) == len(place)
    state = pa.DictionaryArray.from_arrays(place[repeated], pa.array(names))
    return pa.table([planned["step"], planned["sequence"], state], schema=TABLE)
