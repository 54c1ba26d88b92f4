"""Texts of a wanted likeness, a run of dedupe over them, and what it rejected."""

import random
from pathlib import Path

from corpus_folders import write_source

from components.dedupe import DedupeSettings, run
from kajiya.records import REJECTED
from kajiya.shards import read_dataset
from kajiya.stage import execute

LETTERS = (
    "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん山川海空町人"
)


def prose(seed: int, length: int = 300) -> str:
    return "".join(random.Random(seed).choices(LETTERS, k=length))


def changed(text: str, places: int) -> str:
    """The text with `places` characters replaced, evenly spread."""
    letters = list(text)
    for i in range(places):
        letters[(i * len(text)) // places] = "☆"
    return "".join(letters)


def jaccard(a: str, b: str) -> float:
    x, y = ({t[i : i + 5] for i in range(len(t) - 4)} for t in (a, b))
    return len(x & y) / len(x | y)


def dedupe(tmp_path: Path, sources: dict[str, dict[str, str]], shard_bytes: int = 1 << 20, **changes) -> Path:
    for name, texts in sources.items():
        write_source(tmp_path / "clean" / name, texts, shard_bytes)
    out = tmp_path / "deduped"
    execute(run, DedupeSettings(priority=tuple(sources), **changes), [tmp_path / "clean"], out)
    return out


def rejected(out: Path) -> dict[str, tuple[str, str]]:
    """Reason and detail by id, in order."""
    return {name: (row["reason"], row["detail"]) for name, row in rejected_rows(out).items()}


def rejected_rows(out: Path) -> dict[str, dict]:
    return {row["id"]: row for table in read_dataset(out / "rejected", REJECTED) for row in table.to_pylist()}
