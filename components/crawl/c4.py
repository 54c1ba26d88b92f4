"""mC4 shards from the Hugging Face hub or a mirror of it: gzip of JSON Lines, pinned by commit.

Each worker fetches one shard, reads it and removes it, so that no more raw shards than workers lie on
this disk; a shard whose documents are in the work folder is neither fetched nor read again.
"""

import datetime
from dataclasses import dataclass
from pathlib import Path

from components.crawl.fetched import Fetched
from components.crawl.harvest import Harvest, Place, document, is_saved, read_date
from components.crawl.json_lines import read_json_lines
from components.crawl.settings import C4Settings
from components.crawl.stores import fetch
from kajiya.engine import map_shards
from kajiya.errors import KajiyaError


@dataclass(frozen=True)
class ShardTask:
    """One shard to fetch and read, with all that a worker needs to know."""

    config: C4Settings
    source: str
    base: str
    number: int
    work: Path

    @property
    def name(self) -> str:
        return shard_name(self.config, self.number)

    @property
    def saved(self) -> Path:
        return self.work / "read" / f"{self.number:05d}"


def crawl_c4(config: C4Settings, place: Place, harvest: Harvest) -> None:
    """Every line of the shards asked for, as a document `<shard>:<line from 0>`."""
    with place.base(config.base_url) as base:
        numbers = range(config.from_shard, config.until_shard + 1)
        tasks = [ShardTask(config, harvest.source, base, number, place.work) for number in numbers]
        for saved in map_shards(read_shard, tasks, f"read {harvest.source}"):
            harvest.take(saved)


def read_shard(task: ShardTask) -> Path:
    """The folder that holds the shard's documents."""
    if is_saved(task.saved):
        return task.saved
    folder = task.config.folder.replace("{revision}", task.config.revision).strip("/")
    raw = task.work / "raw" / task.name
    raw.parent.mkdir(parents=True, exist_ok=True)
    fetched = fetch("/".join(filter(None, (task.base, folder, task.name))), raw)
    harvest = Harvest(task.source, task.saved)
    harvest.read(task.name, fetched.sha256, fetched.bytes)
    try:
        _read_lines(task, fetched, harvest)
    finally:
        if fetched.path == raw:  # not a file of IN; a damaged one too, to be fetched anew by the next run
            fetched.forget()
    harvest.save()
    return task.saved


def shard_name(config: C4Settings, shard: int) -> str:
    return f"c4-{config.config}.tfrecord-{shard:05d}-of-{config.shard_count:05d}.json.gz"


def _read_lines(task: ShardTask, fetched: Fetched, harvest: Harvest) -> None:
    config = task.config
    for number, record in read_json_lines(fetched.path):
        where = f"{task.name}: line {number + 1}"
        if record is None or not isinstance(record.get("text"), str):
            raise KajiyaError(f"{where}: no `text`: not a C4 record. Check revision, config and base_url.")
        date, wrong_date = read_date(record.get("timestamp"))
        row = document(
            f"{task.number}:{number}",
            record["text"],
            url=record.get("url"),
            date=date,
            license=config.license,
            generator="human",
            language=config.config,
        )
        if wrong_date:
            harvest.add(row, "bad_date", wrong_date)
        else:
            harvest.add(row, _outside(config, date), str(date or ""))


def _outside(config: C4Settings, date: datetime.date | None) -> str | None:
    """Reason why a page is not of the days asked for, or None."""
    if config.from_date is None and config.until_date is None:
        return None
    if date is None:
        return "no_date"
    inside = (config.from_date or date) <= date <= (config.until_date or date)
    return None if inside else "outside_dates"
