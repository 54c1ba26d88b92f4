"""Fetch one source as Documents, from the place its settings name.

IN is a folder on this disk (inputs/none for a source that lies on the network), OUT names the
source: `data/crawl/wikipedia` takes its settings from `crawl.wikipedia`, whose `connector` says how:

    wikipedia  a dump, pinned by wiki and date: articles as plain text
    c4         shards of mC4 on the Hugging Face hub, pinned by commit
    diet       minutes of the National Diet in a closed window of dates
    files      JSON Lines, Parquet and plain text of your own, with stated licence

`base_url: sample` serves IN on loopback for as long as the crawl runs. Downloads resume after a
crash, are verified against the source's checksums, and their SHA-256 stands in the report. The real
dump and Diet sites want a contact: set KAJIYA_CONTACT in the environment.
"""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from components.crawl.c4 import crawl_c4
from components.crawl.diet import crawl_diet
from components.crawl.files import crawl_files
from components.crawl.harvest import Harvest, Place
from components.crawl.http import Client
from components.crawl.settings import CrawlSettings
from components.crawl.wikipedia import crawl_wikipedia
from kajiya.report import Report
from kajiya.sample.server import serve

CONNECTORS: dict[str, Callable[[Any, Place, Harvest], None]] = {
    "wikipedia": crawl_wikipedia,
    "c4": crawl_c4,
    "diet": crawl_diet,
    "files": crawl_files,
}


def run(config: CrawlSettings, source_input: Path, *, out: Path, work: Path, cache: Path) -> Report:
    """Fetch the source named by the last part of `out`; what is fetched waits in `work` or stays in `cache`."""
    harvest = Harvest(out.name, out)
    place = Place(source_input, work, cache, partial(_connect, source_input), partial(_base, source_input))
    CONNECTORS[config.connector](config, place, harvest)
    return harvest.report()


@contextlib.contextmanager
def _base(source_input: Path, base_url: str) -> Iterator[str]:
    """The address of a source: `sample` is IN, served for the duration, `input` IN itself."""
    if base_url == "sample":
        with serve(source_input) as url:
            yield url
    else:
        yield source_input.resolve().as_uri() if base_url == "input" else base_url.rstrip("/")


@contextlib.contextmanager
def _connect(source_input: Path, base_url: str, contact_required: bool = False) -> Iterator[Client]:
    with _base(source_input, base_url) as url, Client(url, contact_required) as client:
        yield client
