"""The list of everything planted in the sample world, for tests to count what was caught."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from kajiya.shards import write_file


class AnswerKey:
    """One entry per planted defect: `kind`, `id` of the document, and what helps to check it."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def add(self, kind: str, document_id: str, **details: Any) -> None:
        self.entries.append({"kind": kind, "id": document_id, **details})

    def counts(self) -> dict[str, int]:
        return dict(sorted(Counter(entry["kind"] for entry in self.entries).items()))

    def write(self, path: Path) -> None:
        write_lines(path, self.entries)


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    """JSON Lines."""
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    write_file(path, "".join(lines))
