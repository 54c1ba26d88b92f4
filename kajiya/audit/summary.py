"""What the measures of a source come to: counts per bound, distributions, documents near each threshold.

One pass over the shards; memory does not grow with the number of documents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kajiya.audit import sketch as distributions
from kajiya.audit.bounds import Bound
from kajiya.audit.measures import Measures, read_measures
from kajiya.audit.samples import Candidates, choose, fewest
from kajiya.audit.sketch import Sketch
from kajiya.engine import map_shards

# Columns of a sketch's counts.
ALL, KEPT, DECIDED, DECIDED_CHARS = range(4)


@dataclass(frozen=True)
class Tally:
    """Documents, and their characters (white space aside)."""

    documents: int = 0
    chars: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.documents + other.documents, self.chars + other.chars)


class OfBound(NamedTuple):
    """What one bound did."""

    reached: Tally
    """Passed everything before it."""
    first: Tally
    """Rejected here: it is the first bound they fail."""
    fails: Tally
    """Beyond it at all, whatever else they fail."""
    alone: Tally
    """Beyond it and within all others: what this bound costs."""
    sketch: Sketch
    candidates: Candidates


class Summary(NamedTuple):
    came_in: Tally
    kept: Tally
    taken_down: Tally
    empty: Tally
    disagreeing: int
    """Documents whose reason is not what their values and the bounds say."""
    bounds: tuple[OfBound, ...]


class _Task(NamedTuple):
    shard: Path
    number: int
    bounds: Sequence[Bound]


def summarize(shards: Sequence[Path], bounds: Sequence[Bound]) -> Summary:
    """Read every shard once."""
    tasks = [_Task(shard, index, bounds) for index, shard in enumerate(shards)]
    return reduce(_add, map_shards(_summarize_shard, tasks, "audit: measures"))


def _summarize_shard(task: _Task) -> Summary:
    return summary_of(read_measures(task.shard, task.bounds), task.number)


def summary_of(measures: Measures, shard: int) -> Summary:
    """shard: number of the shard, for finding its documents again."""

    def tally(mask: np.ndarray) -> Tally:
        return Tally(int(np.count_nonzero(mask)), int(measures.chars[mask].sum()))

    asked = ~measures.taken_down
    found = []
    for index, bound in enumerate(measures.bounds):
        fails = measures.fails[index] & asked
        decided = measures.decided_by(index)
        found.append(
            OfBound(
                reached=tally(asked & (measures.first >= index)),
                first=tally(asked & (measures.first == index)),
                fails=tally(fails),
                alone=tally(fails & decided),
                sketch=_sketch(measures, bound, asked, decided),
                candidates=choose(measures, index, shard),
            )
        )
    return Summary(
        came_in=tally(np.ones(len(asked), bool)),
        kept=tally(measures.kept),
        taken_down=tally(~asked),
        empty=tally(asked & (measures.failures == 0) & (measures.chars == 0)),
        disagreeing=measures.disagreeing,
        bounds=tuple(found),
    )


def _sketch(measures: Measures, bound: Bound, asked: np.ndarray, decided: np.ndarray) -> Sketch:
    values = measures.values[bound.name][asked]
    above = bound.passes(values) == (bound.direction == "min")
    counts = np.stack(
        [np.ones(len(asked), bool), measures.kept, decided, np.where(decided, measures.chars, 0)], axis=1
    )
    return distributions.sketch(values, above, counts[asked].astype(np.int64))


def _add(one: Summary, other: Summary) -> Summary:
    bounds = tuple(
        OfBound(
            a.reached + b.reached,
            a.first + b.first,
            a.fails + b.fails,
            a.alone + b.alone,
            distributions.merge([a.sketch, b.sketch]),
            fewest(a.candidates, b.candidates),
        )
        for a, b in zip(one.bounds, other.bounds, strict=True)
    )
    return Summary(
        one.came_in + other.came_in,
        one.kept + other.kept,
        one.taken_down + other.taken_down,
        one.empty + other.empty,
        one.disagreeing + other.disagreeing,
        bounds,
    )
