"""Find documents by id, by address, or by words that stand in them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from kajiya.engine import progress
from kajiya.errors import KajiyaError
from kajiya.trace.project import Project, shards

# Fewer letters stand in thousands of documents.
_SHORTEST_TEXT = 8


def find(project: Project, query: str) -> list[str]:
    """Ids of the documents that `query` means, in the order of the crawl.

    An id is `<source>:...`, an address begins with http:// or https://, all else is text that a
    document holds, as it was crawled or as it was cleaned. Raises KajiyaError where nothing matches.
    """
    crawled = project.items("crawl")
    source = query.partition(":")[0]
    if source in crawled and source != query:
        found = _matching([crawled[source]], "id", query)
    elif query.startswith(("http://", "https://")):
        found = _matching(crawled.values(), "url", query)
    else:
        if len(query) < _SHORTEST_TEXT:
            raise KajiyaError(
                f"{query!r}: too short to search for. Give at least {_SHORTEST_TEXT} characters of the text, "
                f"an address, or an id (sources here: {', '.join(crawled) or 'none'})."
            )
        found = _matching([*crawled.values(), *project.items("clean").values()], "text", query)
    ids = list(dict.fromkeys(found))
    if not ids:
        raise KajiyaError(
            f"{query!r}: no document here has it as its id, address or text. Sources on this disk: "
            f"{', '.join(name for name, folder in crawled.items() if folder.exists()) or 'none'}."
        )
    return ids


def _matching(folders: Iterable[Path], column: str, query: str) -> Iterator[str]:
    files = [file for folder in folders for place in (folder, folder / "rejected") for file in shards(place)]
    for file in progress(files, "search", len(files)):
        yield from _in_file(file, column, query)


def _in_file(file: Path, column: str, query: str) -> Iterator[str]:
    for batch in ds.dataset(file).scanner(columns=list({"id", column})).to_batches():
        values = batch[column]
        hit = pc.match_substring(values, query) if column == "text" else pc.equal(values, pa.scalar(query))
        yield from batch["id"].filter(hit).to_pylist()
