"""Documents to look at for each bound: the nearest on both sides of the threshold, and some it rejected.

The choice depends on the measures alone. Of documents that are equally near, a hash of their place in
the corpus decides, so that they do not all come from its beginning.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from kajiya.audit.bounds import labels
from kajiya.audit.measures import Measures
from kajiya.engine import map_shards
from kajiya.errors import KajiyaError
from kajiya.shards import shard_path

NEAR = 6
"""Documents to show on each side of a threshold."""
TYPICAL = 3
"""Documents to show of all those a bound rejected."""
HEAD_CHARS, TAIL_CHARS = 160, 50
"""How much is shown of the beginning and of the end of a long text."""


class Candidate(NamedTuple):
    """A document that may be shown; of two, the lesser one is."""

    among_others: bool
    """It fails another bound too, so that this threshold does not decide on it."""
    distance: float
    """From the threshold; 0 where the choice is by chance."""
    chance: int
    shard: int
    id: str
    value: float
    kept: bool
    also_fails: tuple[str, ...]


class Candidates(NamedTuple):
    """For one bound, each list in the order of preference."""

    passing: tuple[Candidate, ...]
    failing: tuple[Candidate, ...]
    typical: tuple[Candidate, ...]


class Excerpt(NamedTuple):
    """What is shown of a document."""

    title: str
    url: str
    language: str
    text: str
    chars: int


def choose(measures: Measures, bound: int, shard: int) -> Candidates:
    """The candidates of one shard."""
    asked = measures.judged
    fails = measures.fails[bound]
    values = measures.values[measures.bounds[bound].name]
    distance = np.abs(values - measures.bounds[bound].threshold)
    chance = _chance(shard, len(values))
    others = measures.failures - fails > 0
    rows = (
        _least(np.flatnonzero(asked & ~fails), NEAR, others, distance, chance),
        _least(np.flatnonzero(asked & fails), NEAR, others, distance, chance),
        _least(np.flatnonzero(asked & (measures.first == bound)), TYPICAL, chance),
    )
    names = labels(measures.bounds)

    def candidate(row: int, by_distance: bool) -> Candidate:
        also = tuple(n for i, n in enumerate(names) if i != bound and measures.fails[i][row])
        return Candidate(
            among_others=bool(also) and by_distance,
            distance=float(distance[row]) if by_distance else 0.0,
            chance=int(chance[row]),
            shard=shard,
            id=measures.ids[row].as_py(),
            value=float(values[row]),
            kept=bool(measures.kept[row]),
            also_fails=also,
        )

    passing, failing, typical = (
        tuple(sorted(candidate(int(row), by_distance=kind < 2) for row in found))
        for kind, found in enumerate(rows)
    )
    return Candidates(passing, failing, typical)


def fewest(one: Candidates, other: Candidates) -> Candidates:
    """The candidates of two parts of the corpus together."""
    limits = (NEAR, NEAR, TYPICAL)
    return Candidates(*(tuple(sorted(a + b)[:n]) for a, b, n in zip(one, other, limits, strict=True)))


def _chance(shard: int, rows: int) -> np.ndarray:
    """A number per document that looks like a random one (splitmix64 of its place)."""
    x = (np.uint64(shard) << np.uint64(40)) + np.arange(1, rows + 1, dtype=np.uint64)
    x = x * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _least(rows: np.ndarray, count: int, *keys: np.ndarray) -> np.ndarray:
    """The `count` least of the rows by the keys, the first of which weighs most; in no order."""
    if len(rows) <= count or not keys:
        return rows[:count]
    key = keys[0][rows]
    limit = np.partition(key, count - 1)[count - 1]
    surely = rows[key < limit]
    return np.concatenate([surely, _least(rows[key == limit], count - len(surely), *keys[1:])])


class _Reading(NamedTuple):
    shard: Path
    rejected: Path
    ids: tuple[str, ...]


def read_excerpts(folder: Path, candidates: Iterable[Candidate]) -> dict[str, Excerpt]:
    """What to show of each candidate, by id, from the shards of the kept and the rejected."""
    wanted: dict[int, set[str]] = {}
    for one in candidates:
        wanted.setdefault(one.shard, set()).add(one.id)
    tasks = [
        _Reading(shard_path(folder, index), shard_path(folder / "rejected", index), tuple(sorted(ids)))
        for index, ids in sorted(wanted.items())
    ]
    found: dict[str, Excerpt] = {}
    for part in map_shards(_read, tasks, "audit: texts"):
        found |= part
    return found


def _read(task: _Reading) -> dict[str, Excerpt]:
    found: dict[str, Excerpt] = {}
    for path in (task.shard, task.rejected):
        # Polars reads the ids first, and of the texts only those of the rows it keeps.
        rows = pl.scan_parquet(path).filter(pl.col("id").is_in(task.ids))
        columns = rows.select("id", "title", "url", "language", "text").collect()
        found |= {
            row["id"]: Excerpt(
                row["title"] or "", row["url"] or "", row["language"], excerpt(row["text"]), len(row["text"])
            )
            for row in columns.iter_rows(named=True)
        }
    missing = sorted(set(task.ids) - found.keys())
    if missing:
        raise KajiyaError(
            f"{task.shard}: {missing[0]} stands in the measures, but neither here nor in {task.rejected}. "
            "They are of different runs: run the stage again."
        )
    return found


def excerpt(text: str) -> str:
    """Beginning and end of a text on one line, its line breaks shown."""
    if len(text) > HEAD_CHARS + TAIL_CHARS:
        text = f"{text[:HEAD_CHARS]} […] {text[-TAIL_CHARS:]}"
    return " ↵ ".join(line.strip() for line in text.splitlines() if line.strip())


def in_order(candidates: Sequence[Candidate], nearest_last: bool) -> list[Candidate]:
    """For reading: towards the threshold, or away from it."""
    return sorted(candidates, key=lambda one: (one.distance, one.chance), reverse=nearest_last)
