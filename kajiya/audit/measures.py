"""What every rule measured on every document, shard by shard, with which bounds each document fails."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kajiya.audit.bounds import Bound
from kajiya.errors import KajiyaError
from kajiya.shards import list_shards, read_shard

TAKEDOWN, EMPTY = "takedown", "empty"
"""Reasons that are no rules: asked before all of them, and after."""

Mask = npt.NDArray[np.bool_]


def measure_shards(folder: Path, remedy: str) -> list[Path]:
    """The measures of a cleaned source in the order of its shards."""
    measures = folder / "measures"
    if not measures.is_dir():
        raise KajiyaError(f"{measures}: no such folder. This output was written without measures. {remedy}")
    shards = list_shards(measures)
    for kind in (folder, folder / "rejected"):
        if [one.name for one in list_shards(kind)] != [one.name for one in shards]:
            raise KajiyaError(f"{measures}: not the same shards as in {kind}. {remedy}")
    return shards


@dataclass(frozen=True)
class Measures:
    """One shard of measures; every array has one entry per document."""

    bounds: Sequence[Bound]
    ids: pa.ChunkedArray
    kept: Mask
    reasons: pa.ChunkedArray
    chars: npt.NDArray[np.int64]
    """Characters of the cleaned text, white space aside."""
    values: dict[str, npt.NDArray[np.float64]]

    @cached_property
    def fails(self) -> Mask:
        """[bounds, documents]: whether a document is beyond a bound."""
        rows = [~bound.passes(self.values[bound.name]) for bound in self.bounds]
        return np.array(rows, bool).reshape(len(rows), len(self.kept))

    @cached_property
    def failures(self) -> npt.NDArray[np.int64]:
        """How many bounds each document fails."""
        return self.fails.sum(axis=0)

    @cached_property
    def taken_down(self) -> Mask:
        return _equal(self.reasons, TAKEDOWN)

    @cached_property
    def judged(self) -> Mask:
        """Documents that the rules were asked about and could keep: neither taken down nor empty."""
        return ~self.taken_down & (self.chars > 0)

    def decided_by(self, bound: int) -> Mask:
        """Documents that this bound alone keeps or rejects: they pass all the others."""
        return self.judged & (self.failures == self.fails[bound])

    @cached_property
    def first(self) -> npt.NDArray[np.int64]:
        """Index of the first bound a document fails; as many as there are bounds where it fails none."""
        none = np.ones((1, len(self.kept)), bool)
        return np.argmax(np.concatenate([self.fails, none]), axis=0)

    @cached_property
    def disagreeing(self) -> int:
        """Documents whose reason is not what their values and the bounds say."""
        names = [*(bound.name for bound in self.bounds), EMPTY]
        expected = pa.array(names).take(pa.array(self.first))
        passed = (self.failures == 0) & (self.chars > 0)
        right = np.where(passed, self.kept, ~self.kept & _equal(self.reasons, expected))
        return int(np.count_nonzero(~right & ~self.taken_down))


def read_measures(path: Path, bounds: Sequence[Bound]) -> Measures:
    """One shard of measures. Raises KajiyaError unless it has the columns of the bounds, all finite."""
    names = list(dict.fromkeys(bound.name for bound in bounds))
    schema = pa.schema(
        [("id", pa.string()), ("kept", pa.bool_()), ("reason", pa.string()), ("chars", pa.int64())]
        + [(name, pa.float64()) for name in names]
    )
    table = read_shard(path, schema)
    values = {name: table[name].to_numpy() for name in names}
    for name, column in values.items():
        if not np.isfinite(column).all():
            row = int(np.argmin(np.isfinite(column)))
            raise KajiyaError(f"{path}: {name} of {table['id'][row]} is no number. Rerun its stage.")
    return Measures(
        bounds, table["id"], table["kept"].to_numpy(), table["reason"], table["chars"].to_numpy(), values
    )


def _equal(column: pa.ChunkedArray, other: str | pa.Array) -> Mask:
    """Whether entries are equal; null equals nothing."""
    return pc.fill_null(pc.equal(column, other), fill_value=False).to_numpy()
