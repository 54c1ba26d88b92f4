"""Which boilerplate lines were taken out, over all shards: their texts lie on disk, once each."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.dedupe.boilerplate import CommonLines
from components.dedupe.identifiers import IdWriter, join_ids, take_ids
from components.dedupe.stream import BatchWriter

BOILERPLATE = pa.schema(
    [
        pa.field("line", pa.string(), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),  # that stay and hold it
        pa.field("removed", pa.int64(), nullable=False),  # occurrences taken out
    ]
)
_OF_A_SHARD = pa.schema([("index", pa.int64()), ("line", pa.string()), ("removed", pa.int64())])
_ROWS = 1 << 14


@dataclass
class RemovedLines:
    """Of one shard, by index among the common lines."""

    counts: Counter[int] = field(default_factory=Counter)
    texts: dict[int, str] = field(default_factory=dict)

    def add(self, index: int, line: str) -> None:
        self.counts[index] += 1
        self.texts.setdefault(index, line.strip())

    def write(self, path: Path) -> None:
        rows = [list(self.texts), list(self.texts.values()), [self.counts[i] for i in self.texts]]
        with BatchWriter(path, _OF_A_SHARD) as writer:
            writer.add(pa.table(rows, schema=_OF_A_SHARD))


class LineTotals:
    """Of all shards, folded in as they come: 16 bytes a common line in memory."""

    def __init__(self, lines: int, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._texts = IdWriter(folder / "texts")
        self.removed = np.zeros(lines, np.int64)
        self._numbers = np.full(lines, -1, np.int64)  # where in the file the text of a line stands
        self._written = 0

    def fold(self, shard: Path) -> None:
        """Add what RemovedLines wrote of one shard, and remove that file."""
        table = pq.read_table(shard, partitioning=None)
        index = table["index"].to_numpy()
        self.removed[index] += table["removed"].to_numpy()
        new = self._numbers[index] < 0
        self._numbers[index[new]] = np.arange(self._written, self._written + new.sum())
        self._written += int(new.sum())
        self._texts.add(table["line"].filter(pa.array(new)).combine_chunks())
        shard.unlink()

    def write(self, path: Path, common: CommonLines) -> None:
        """Every line that was taken out, the most frequent first, then by hash."""
        self._texts.__exit__()
        join_ids([self._folder / "texts"], self._folder)
        order = np.argsort(-common.documents, kind="stable")
        order = order[self.removed[order] > 0]
        with BatchWriter(path, BOILERPLATE) as writer:
            for begin in range(0, len(order), _ROWS):
                part = order[begin : begin + _ROWS]
                texts = take_ids(self._folder, self._numbers[part])
                rows = [texts, common.documents[part], self.removed[part]]
                writer.add(pa.table(rows, schema=BOILERPLATE))
