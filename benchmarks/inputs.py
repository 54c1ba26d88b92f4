"""The text that both sides work on, as shards of Documents below one folder.

Real text from KAJIYA_SHARED_DATA (by default ../shared/data), else the sample world. One shuffled order,
so that the first megabytes are a fair part of the whole: slow peers get only those.
"""

import gzip
import itertools
import json
import os
import random
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.sample import SampleSettings
from components.sample import run as make_sample
from components.tokenizer import TokenizerSettings
from components.tokenizer import run as train_tokenizer
from kajiya.records import DOCUMENT
from kajiya.sample.deck import Deck
from kajiya.sample.webpages import page
from kajiya.shards import write_dataset, write_file
from kajiya.stage import execute

ROOT = Path(__file__).parent.parent
SHARED = Path(os.environ.get("KAJIYA_SHARED_DATA", ROOT / ".." / "shared" / "data"))
# JSQuAD's contexts stay out: they are in the evaluation sets.
_TEXTS = "aozora diet_fragments diet_full_speeches ja_js_primer ja_react_docs ja_rust_book ja_vue_docs jaquad_contexts ku_wikipedia_leads"
# A few whole novels would make slices of one corpus unlike each other.
_MAX_DOCUMENT_BYTES = 200_000
_SHARDS = 4
_SEED = 1
_CHINESE = (0x4E00, 0x9FFF)

SOURCE = "mixed"


@dataclass(frozen=True)
class Inputs:
    """Folders below `root`; each is made when it is first asked for, and kept."""

    root: Path
    megabytes: float
    """Of the mixed text, 10^6 bytes of UTF-8."""

    def describe(self, copies: int = 0, megabytes: float | None = None) -> str:
        """What the text is, for the reader of the results."""
        kind = "mixed real Japanese text" if SHARED.is_dir() else "text of the sample world"
        size = min(megabytes or self.megabytes, self.megabytes)
        return f"{copies} times {size:g} MB of {kind}" if copies else f"{size:g} MB of {kind}"

    @property
    def evaluation_sets(self) -> Path:
        return SHARED / "jglue" if SHARED.is_dir() else self._sample / "evaluation"

    @property
    def exclusions(self) -> Path:
        return ROOT / "exclusions.yaml"

    def mixed(self, megabytes: float | None = None) -> Path:
        """The first megabytes of the mix, one source in a folder of its own."""
        megabytes = min(megabytes or self.megabytes, self.megabytes)
        folder = self.root / f"text-{megabytes:g}" / SOURCE
        if not folder.is_dir():
            texts = first(self._texts(), megabytes)
            _write(texts, folder, sum(map(len, texts)), _SHARDS)
        return folder

    def sample_pages(self) -> Path:
        """As many megabytes of pages as the sample world's sites have, none of them damaged."""
        folder = self.root / f"pages-{self.megabytes:g}" / SOURCE
        if not folder.is_dir():
            deck = Deck(random.Random(_SEED))  # noqa: S311 - no secret
            texts: list[str] = []
            size = 0
            while size < self.megabytes * 1e6:
                texts.append(page(random.Random(f"{_SEED}:{len(texts)}"), deck))  # noqa: S311
                size += len(texts[-1].encode())
            _write(texts, folder, size, _SHARDS)
        return folder

    def long(self, copies: int, distinct: bool = False) -> Path:
        """The mix many times over: two processes need work that lasts.

        distinct: each copy writes other kanji, so that dedupe finds no more duplicates than in one.
        """
        folder = self.root / f"{'distinct' if distinct else 'text'}-{self.megabytes:g}-x{copies}" / SOURCE
        if not folder.is_dir():
            texts = first(self._texts(), self.megabytes)
            shifts = [_shifted(copy) if distinct else {} for copy in range(copies)]
            copied = (text.translate(shift) if shift else text for shift in shifts for text in texts)
            _write(copied, folder, sum(map(len, texts)) * copies, 2 * _SHARDS)
        return folder

    def tokenizer(self) -> Path:
        """16,000 pieces trained on the mix by the tokenizer stage."""
        folder = self.root / "tokenizer"
        if not folder.is_dir():
            none = self.root / "none"
            none.mkdir(exist_ok=True)
            pieces = 16_000 if self.megabytes >= 10 else 1000
            config = TokenizerSettings(
                vocabulary_size=pieces, sample_characters=2_000_000, check_strings=1000
            )
            execute(train_tokenizer, config, [self.mixed(), none], folder)
        return folder

    def dump(self) -> tuple[Path, str]:
        """A Wikipedia dump and its language."""
        real = sorted((SHARED / "wikipedia").glob("*pages-articles*.bz2"))
        if real:
            return real[0], "en"
        return next(self._sample.rglob("*pages-articles.xml.bz2")), "ja"

    @property
    def _sample(self) -> Path:
        folder = self.root / "sample"
        if not folder.is_dir():
            execute(make_sample, SampleSettings(scale=20 if self.megabytes >= 10 else 0.2), [], folder)
        return folder

    def _texts(self) -> list[str]:
        found = list(_real() if SHARED.is_dir() else _of_sample(self._sample))
        random.Random(_SEED).shuffle(found)  # noqa: S311 - an order, no secret
        return found


def open_inputs(root: Path, megabytes: float) -> Inputs:
    """The inputs below `root`, which is emptied when it holds those of other data or another size."""
    identity = json.dumps([str(SHARED.resolve()), SHARED.is_dir(), megabytes, _SEED, _MAX_DOCUMENT_BYTES])
    record = root / "identity.json"
    if not record.is_file() or record.read_text(encoding="utf-8") != identity:
        shutil.rmtree(root, ignore_errors=True)
        write_file(record, identity)
    return Inputs(root, megabytes)


def first(texts: list[str], megabytes: float) -> list[str]:
    """As many as the megabytes hold."""
    sizes = itertools.accumulate(len(text.encode()) for text in texts)
    return [one for one, size in zip(texts, sizes, strict=True) if size <= megabytes * 1e6]


def _real() -> Iterator[str]:
    for name in _TEXTS.split():
        for text in _lines(SHARED / "text" / f"{name}.jsonl.gz"):
            if text and len(text.encode()) <= _MAX_DOCUMENT_BYTES:
                yield text


def _of_sample(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("c4-ja*.json.gz")):
        yield from _lines(path)
    yield from _speeches(json.loads((folder / "diet" / "meetings.json").read_text(encoding="utf-8")))


def _lines(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]


def _speeches(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("speech"), str):
            yield node["speech"]
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from _speeches(one)


def _shifted(steps: int) -> dict[int, int]:
    begin, end = _CHINESE
    size = end - begin + 1
    return {begin + i: begin + (i + 977 * steps) % size for i in range(size)}


def _write(texts: Iterable[str], folder: Path, chars: int, shards: int) -> None:
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    rows = (
        {
            "id": f"{SOURCE}:{i}",
            "source": SOURCE,
            "text": text,
            "license": "benchmark",
            "generator": "human",
            "language": "ja",
        }
        for i, text in enumerate(texts)
    )
    write_dataset(rows, partial, DOCUMENT, max(1, -(-3 * chars // shards)))  # it reckons 3 bytes a character
    partial.replace(folder)
