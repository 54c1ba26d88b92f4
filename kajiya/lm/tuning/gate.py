"""What the model may learn from: by licence, by who wrote it, and not what it is measured on."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from kajiya.errors import KajiyaError
from kajiya.lm.tuning.records import Record
from kajiya.lm.tuning.settings import TuningSettings
from kajiya.overlap import load_watched, overlap_of
from kajiya.policy import Refusal, load_policy

_BATCH = 4096  # records measured at once

R = TypeVar("R", bound=Record)


class Rejected(NamedTuple):
    """A refused record, without its text: what may not be used is not handed on with the model."""

    id: str
    where: str
    license: str
    generator: str
    """All who wrote in it, parted by commas."""
    reason: str
    detail: str

    @classmethod
    def of(cls, record: Record, reason: str, detail: str) -> "Rejected":
        return cls(record.id, record.where, record.license, ", ".join(record.generators()), reason, detail)


class Gate(Generic[R]):
    """Lets records through, or says why not."""

    def __init__(self, stage: str, config: TuningSettings, evaluation_sets: Path, policy: Path) -> None:
        self._stage, self._config = stage, config
        self._path, self._policy = policy, load_policy(policy)
        self._watched = load_watched(config.evaluation_overlap, evaluation_sets, config.evaluation_splits)
        self._told: set[str] = set()

    def judge(self, records: Iterable[R]) -> Iterator[tuple[R, Rejected | None]]:
        """Each record in order, with its refusal or None."""
        batch: list[R] = []
        for record in records:
            batch.append(record)
            if len(batch) == _BATCH:
                yield from self._judge(batch)
                batch = []
        yield from self._judge(batch)

    def _judge(self, batch: list[R]) -> Iterator[tuple[R, Rejected | None]]:
        # All messages together: an item's context may stand in one and its question in the next.
        texts = [record.text() for record in batch]
        found = overlap_of(texts, self._watched, self._config.evaluation_overlap.max_overlap)
        for number, record in enumerate(batch):
            refused = self._by_policy(record)
            if refused is None and found.over[number]:
                item = self._watched.label(int(found.worst_text[number]))
                detail = f"{item} {found.worst_share[number]:.4g}"
                refused = Rejected.of(record, "evaluation_overlap", detail)
            yield record, refused

    def _by_policy(self, record: Record) -> Rejected | None:
        for part, name in record.writers():
            if refusal := self._policy.refusal("generator", name, "tuning"):
                return self._refuse(record, refusal, part)
        if refusal := self._policy.refusal("license", record.license, "tuning"):
            return self._refuse(record, refusal, "")
        return None

    def _refuse(self, record: Record, refusal: Refusal, part: str) -> Rejected:
        place = f"{record.where} ({record.id}{', ' * bool(part)}{part})"
        message = refusal.explain(place, self._path)
        if self._config.on_forbidden == "stop":
            raise KajiyaError(
                f"{message}\nOr take the record out, or set `{self._stage}.on_forbidden: drop` to leave such "
                "records out."
            )
        if refusal.reason not in self._told:  # once per name: the records themselves are counted and kept
            self._told.add(refusal.reason)
            print(f"{self._stage}: left out, and all alike: {message}", file=sys.stderr)
        line = f"line {refusal.line}" if refusal.line else "no line"
        detail = f"{part}{': ' * bool(part)}{line} of {self._path.name}"
        return Rejected.of(record, refusal.reason, detail)
