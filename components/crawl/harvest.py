"""What a connector brings in: documents and rejects written as shards, and the count of both.

A worker that reads one file of a source has a harvest of its own in the work folder; `save` makes it
whole, and the source's harvest takes it over. So files that were read are not read again after a crash.
"""

import datetime
import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.crawl.http import Client
from components.crawl.shelf import Shelf
from kajiya.errors import KajiyaError
from kajiya.records import DOCUMENT, REJECTED
from kajiya.report import Flow, Report, add_flows
from kajiya.shards import list_shards, write_file


@dataclass
class Harvest:
    """Takes what a connector found. `source` is the key under `sources` in params.yaml."""

    source: str
    out: Path
    flow: Flow = field(default_factory=Flow)
    inputs: dict[str, str] = field(default_factory=dict)
    bytes_fetched: int = 0
    figures: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.documents = Shelf(self.out, DOCUMENT)
        self.rejects = Shelf(self.out / "rejected", REJECTED)
        self.first_reject = ""

    def read(self, name: str, sha256: str, size: int) -> None:
        """Note a raw file: the lineage of a model ends at these hashes."""
        if name in self.inputs:
            raise KajiyaError(f"{name}: two files of the source {self.source} have this name. Rename one.")
        self.inputs[name] = sha256
        self.bytes_fetched += size

    def add(self, document: dict[str, Any], reason: str | None = None, detail: str = "") -> None:
        """Keep a document (of `document()`'s form), or reject it with a reason. Blank ones are rejected."""
        document["id"] = f"{self.source}:{document['id']}"
        document["source"] = self.source
        document["text"] = document["text"].replace("\r\n", "\n").replace("\r", "\n")
        if reason is None and not document["text"].strip():
            reason = "empty"
        self.flow.came_in += 1
        if reason is None:
            self.flow.out += 1
            self.documents.add(document)
        else:
            self.flow.rejected[reason] += 1
            self.first_reject = self.first_reject or f"{document['id']} ({reason}{detail and ': '}{detail})"
            self.rejects.add({**document, "reason": reason, "detail": detail})

    def save(self) -> None:
        """Finish a worker's harvest, for the source's to take."""
        self.documents.close()
        self.rejects.close()
        record = {
            "flow": self.flow.model_dump(),
            "inputs": self.inputs,
            "bytes_fetched": self.bytes_fetched,
            "first_reject": self.first_reject,
        }
        write_file(self.out / _SAVED, json.dumps(record))

    def take(self, folder: Path) -> None:
        """Add what a worker saved, after all that came before."""
        record = json.loads((folder / _SAVED).read_bytes())
        add_flows({self.source: self.flow}, {self.source: Flow(**record["flow"])})
        for name, sha256 in record["inputs"].items():
            self.read(name, sha256, 0)
        self.bytes_fetched += record["bytes_fetched"]
        self.first_reject = self.first_reject or record["first_reject"]
        for shelf, dataset in ((self.documents, folder), (self.rejects, folder / "rejected")):
            for shard in list_shards(dataset):
                shelf.take(shard)

    def report(self) -> Report:
        """Finish the shards. Raises KajiyaError when the source gave nothing, or nothing but rejects."""
        if not self.flow.came_in:
            raise KajiyaError(
                f"the source {self.source} gave no documents: check its settings (dates, shards, patterns) in "
                f"the section crawl.{self.source}."
            )
        if not self.flow.out:
            reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(self.flow.rejected.items()))
            raise KajiyaError(
                f"the source {self.source}: all {self.flow.came_in} documents were rejected ({reasons}), first "
                f"{self.first_reject}. Check its settings in the section crawl.{self.source}."
            )
        self.documents.close()
        self.rejects.close()
        figures = {"bytes_fetched": self.bytes_fetched, "inputs": self.inputs, **self.figures}
        return Report(flows={self.source: self.flow}, figures=figures)


_SAVED = "saved.json"


def is_saved(folder: Path) -> bool:
    """Whether a worker's harvest is whole; what a killed one left is removed."""
    if (folder / _SAVED).exists():
        return True
    shutil.rmtree(folder, ignore_errors=True)
    return False


def document(native_id: str, text: str, **fields: Any) -> dict[str, Any]:
    """A row of the Document schema; absent fields are null, `id` still without its source."""
    return {**dict.fromkeys(DOCUMENT.names), "id": native_id, "text": text, **fields}


@dataclass(frozen=True)
class Place:
    """Where a connector works: what it may read, fetch from, keep between crashes and from run to run.

    connect(base_url, contact_required=False) gives a client for the duration of a `with` block,
    base(base_url) the address alone, for workers that fetch by themselves.
    """

    input: Path
    work: Path
    cache: Path
    connect: Callable[..., AbstractContextManager[Client]]
    base: Callable[[str], AbstractContextManager[str]]


def parse_date(value: str | datetime.date | None, where: str) -> datetime.date | None:
    """The day of an ISO date or timestamp. `where` names file and line for the error."""
    date, wrong = read_date(value)
    if wrong:
        raise KajiyaError(f"{where}: {value!r} does not begin with a date YYYY-MM-DD.")
    return date


def read_date(value: Any) -> tuple[datetime.date | None, str]:
    """The day of an ISO date or timestamp, and the value where it is none: reason `bad_date` and its detail."""
    if value is None or value == "":
        return None, ""
    if isinstance(value, datetime.datetime):
        return value.date(), ""
    if isinstance(value, datetime.date):
        return value, ""
    try:
        return datetime.date.fromisoformat(value[:10] if isinstance(value, str) else ""), ""
    except ValueError:
        return None, str(value)
