"""All documents of all sources, numbered in the order of priority, and the first pass over them."""

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from components.dedupe.candidates import same_keys
from components.dedupe.identifiers import join_ids, take_ids
from components.dedupe.minhash import Bands
from components.dedupe.scan import Scanned, ScanTask, scan_shard
from components.dedupe.settings import DedupeSettings
from components.dedupe.spill import SpillFile, ascending
from components.dedupe.stream import count_rows
from kajiya.engine import map_shards
from kajiya.errors import KajiyaError
from kajiya.shards import list_shards

_MOST_DOCUMENTS = (1 << 32) - 1  # a number is 32 bits wide in every record


class Corpus(NamedTuple):
    shards: list[Path]
    begins: np.ndarray
    """Number of the first document of each shard, and the number of documents at the end."""
    first_of_source: list[int]
    """Number of the first document of each source."""

    def parts(self) -> list[tuple[Path, int, int]]:
        """Each shard with its first document and the one after its last."""
        return [
            (path, a, b) for path, (a, b) in zip(self.shards, pairwise(self.begins.tolist()), strict=True)
        ]


def list_corpus(cleaned: Path, priority: tuple[str, ...]) -> Corpus:
    shards, counts, first_of_source = [], [0], []
    for folder in _sources_in_order(cleaned, priority):
        first_of_source.append(sum(counts))
        for shard in list_shards(folder):
            shards.append(shard)
            counts.append(count_rows(shard))
    if sum(counts) > _MOST_DOCUMENTS:
        raise KajiyaError(
            f"{cleaned}: {sum(counts)} documents, dedupe numbers {_MOST_DOCUMENTS} at most. Split the corpus."
        )
    return Corpus(shards, np.cumsum(counts), first_of_source)


def _sources_in_order(cleaned: Path, priority: tuple[str, ...]) -> list[Path]:
    """The folders of the sources, first the one whose copies stay.

    Raises KajiyaError unless the folders are those that `priority` names: a folder left from an
    earlier run must not slip into the corpus.
    """
    found = {path.name for path in cleaned.iterdir() if path.is_dir() and not path.name.startswith(".")}
    for name in sorted(found - set(priority)):
        raise KajiyaError(
            f"{cleaned / name}: not named in `dedupe.priority` ({', '.join(priority)})."
            " Add it there, or remove the folder if it is left from an earlier run."
        )
    for name in priority:
        if name not in found:
            raise KajiyaError(
                f"{cleaned / name}: named in `dedupe.priority`, but there is no such folder."
                f" Run `clean` for {name}, or take it out of the list."
            )
    return [cleaned / name for name in priority]


def scan(corpus: Corpus, config: DedupeSettings, bands: Bands, spill: Path) -> list[Scanned]:
    lines = config.boilerplate
    tasks = [
        ScanTask(
            path,
            begin,
            spill / f"{number:05d}",
            config.ngram_chars,
            config.permutations,
            bands,
            lines.min_line_chars if path.parent.name in lines.sources else 0,
        )
        for number, (path, begin, _) in enumerate(corpus.parts())
    ]
    scanned = list(map_shards(scan_shard, tasks, "signatures"))
    join_ids([task.spill for task in tasks], spill)
    return scanned


def spilled(scanned: list[Scanned], name: str) -> list[SpillFile]:
    return [one.spills[name] for one in scanned]


def check_ids(cleaned: Path, scanned: list[Scanned], spill: Path, limit_bytes: int) -> None:
    """Raise KajiyaError where two documents have one id."""
    for group in ascending(spilled(scanned, "ids"), limit_bytes):
        same = same_keys(group)
        names = take_ids(spill, same["document"]).to_pylist()
        for (name, other), (key, next_key) in zip(
            pairwise(names), pairwise(same["key"].tolist()), strict=True
        ):
            if key == next_key and name == other:
                raise KajiyaError(
                    f"{cleaned}: two documents have the id {name}. An id must be unique in the corpus:"
                    " crawl the sources again, each into a folder of its own name."
                )
