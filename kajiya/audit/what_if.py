"""What would be kept if one threshold were another, all other bounds as they are.

Asked of the documents that pass every other bound: the rest stays out whatever this threshold is. The
page answers from steps, groups of neighbouring values that grow with the distance from the threshold:
a threshold between two steps has an exact answer, one inside a step has two numbers that enclose it.
"""

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kajiya.audit.bounds import Bound
from kajiya.audit.measures import read_measures
from kajiya.audit.sketch import Sketch
from kajiya.audit.summary import DECIDED, DECIDED_CHARS, Tally
from kajiya.engine import map_shards

STEP_SHARE = 0.02
"""A step holds at most this share of what lies between the threshold and its far end, unless it is a
single group of the sketch."""
TIGHTER = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5)
LOOSER = (0.25, 0.5, 0.75, 1.0)
"""What the table tries: shares of the kept documents to lose, of those that only this bound rejects to win."""


class Steps(NamedTuple):
    """Documents that pass all other bounds, by their value, in ascending order."""

    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    documents: npt.NDArray[np.int64]
    chars: npt.NDArray[np.int64]


class Between(NamedTuple):
    """What is kept: exactly so where both are equal."""

    least: Tally
    most: Tally


def steps(sketch: Sketch) -> Steps:
    """Few groups near the threshold are joined, many far from it."""
    decided = sketch.counts[:, DECIDED] > 0
    upper = np.flatnonzero(decided & sketch.above)
    lower = np.flatnonzero(decided & ~sketch.above)
    groups = [np.sort(one) for one in (*_joined(sketch, lower[::-1]), *_joined(sketch, upper))]
    groups.sort(key=lambda one: int(one[0]))
    return Steps(
        np.array([sketch.low[one[0]] for one in groups], np.float64),
        np.array([sketch.high[one[-1]] for one in groups], np.float64),
        np.array([sketch.counts[one, DECIDED].sum() for one in groups], np.int64),
        np.array([sketch.counts[one, DECIDED_CHARS].sum() for one in groups], np.int64),
    )


def _joined(sketch: Sketch, outward: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """Indexes of groups in runs; `outward` leads away from the threshold."""
    counts = sketch.counts[:, [DECIDED, DECIDED_CHARS]]
    passed = np.zeros(2, np.int64)
    begin, held = 0, np.zeros(2, np.int64)
    for position, index in enumerate(outward):
        if position > begin and (held + counts[index] > STEP_SHARE * (passed + held + counts[index])).any():
            yield outward[begin:position]
            begin, passed, held = position, passed + held, np.zeros(2, np.int64)
        held = held + counts[index]
    if begin < len(outward):
        yield outward[begin:]


def kept_at(found: Steps, bound: Bound, threshold: float) -> Between:
    """What would be kept at another threshold."""
    if bound.direction == "min":
        surely, possibly = found.low >= threshold, found.high >= threshold
    else:
        surely, possibly = found.high <= threshold, found.low <= threshold
    least, most = (
        Tally(int(found.documents[m].sum()), int(found.chars[m].sum())) for m in (surely, possibly)
    )
    return Between(least, most)


def worth_trying(found: Steps, bound: Bound) -> list[float]:
    """Thresholds at which much changes, in ascending order."""
    # A step passes whole when the threshold stands at this side of it.
    outer = found.low if bound.direction == "min" else found.high
    passes = bound.passes(outer)
    tried = set()
    for mask, shares in ((passes, TIGHTER), (~passes, LOOSER)):
        outward = np.flatnonzero(mask)
        outward = outward[np.argsort(np.abs(outer[outward] - bound.threshold), kind="stable")]
        counted = np.cumsum(found.documents[outward])
        for share in shares if len(outward) else ():
            index = int(np.searchsorted(counted, share * counted[-1], "right" if mask is passes else "left"))
            value = float(outer[outward[min(index, len(outward) - 1)]])
            tried.add(_round(value, up=bound.direction == "max"))
    return sorted(tried)


def _round(value: float, up: bool) -> float:
    """To three digits, outwards, so that what was aimed at passes."""
    if value == 0:
        return value
    digits = 2 - math.floor(math.log10(abs(value)))
    unit = Fraction(10) ** -digits
    steps_of_unit = Fraction(value) / unit
    # What is off by less than a float can tell was meant to be the round number.
    near = round(steps_of_unit)
    if abs(steps_of_unit - near) > Fraction(1, 10**9):
        near = math.ceil(steps_of_unit) if up else math.floor(steps_of_unit)
    return float(near * unit)


class _Question(NamedTuple):
    shard: Path
    bounds: Sequence[Bound]
    bound: int
    threshold: float


class Answer(NamedTuple):
    now: Tally
    then: Tally
    came_in: Tally


def count_at(shards: Sequence[Path], bounds: Sequence[Bound], bound: int, threshold: float) -> Answer:
    """The same from the measures themselves, exactly, whatever the threshold."""
    questions = [_Question(shard, bounds, bound, threshold) for shard in shards]
    total = Answer(Tally(), Tally(), Tally())
    for part in map_shards(_count_shard, questions, "audit: measures"):
        total = Answer(*(a + b for a, b in zip(total, part, strict=True)))
    return total


def _count_shard(question: _Question) -> Answer:
    measures = read_measures(question.shard, question.bounds)
    asked = question.bounds[question.bound]
    decided = measures.decided_by(question.bound)
    values = measures.values[asked.name]
    masks = (
        decided & asked.passes(values),
        decided & asked.passes(values, question.threshold),
        np.ones(len(values), bool),
    )
    return Answer(*(Tally(int(np.count_nonzero(m)), int(measures.chars[m].sum())) for m in masks))
