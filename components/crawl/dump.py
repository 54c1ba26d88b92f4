"""Read a Wikipedia XML dump, plain or multistream bz2, in memory that does not grow with its size.

A multistream dump is a row of bz2 archives of 100 pages each; its index says where each begins, so
workers can read it in parts.
"""

import bz2
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from lxml import etree

from kajiya.errors import KajiyaError

FILE_NAMESPACE, CATEGORY_NAMESPACE = "6", "14"


@dataclass(frozen=True)
class Page:
    """One page at its newest revision; `redirect` is the title it leads to."""

    id: str
    title: str
    namespace: str
    redirect: str | None
    timestamp: str | None
    wikitext: str


@dataclass(frozen=True)
class Site:
    """From the dump's siteinfo: the address before a title, and what files and categories are called."""

    page_url: str
    hidden_namespaces: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """Bytes start..end of a multistream dump, which hold so many pages."""

    path: Path
    start: int
    end: int
    pages: int
    is_last: bool


def read_site(path: Path, language: str) -> Site:
    """Siteinfo at the head of the dump; a dump without one gets the usual address."""
    page_url = f"https://{language}.wikipedia.org/wiki/"
    with bz2.open(path) as stream:
        for element in _elements(stream, path, ("siteinfo", "page")):
            if not element.tag.endswith("siteinfo"):
                break
            base = element.findtext("{*}base") or page_url
            hidden = [
                one.text
                for one in element.iterfind("{*}namespaces/{*}namespace")
                if one.get("key") in (FILE_NAMESPACE, CATEGORY_NAMESPACE) and one.text
            ]
            return Site(base.partition("/wiki/")[0] + "/wiki/", tuple(hidden))
    return Site(page_url)


def read_pages(path: Path) -> Iterator[Page]:
    """Every page of a bz2 dump, plain or multistream, one after the other."""
    with bz2.open(path) as stream:
        for element in _elements(stream, path, ("page",)):
            yield _page(element, path)


def read_part(part: Part) -> Iterator[Page]:
    """The pages of a part. Raises KajiyaError when they are not as many as the index says."""
    with open(part.path, "rb") as handle:
        handle.seek(part.start)
        packed = handle.read(part.end - part.start)
    try:
        xml = bz2.decompress(packed).rstrip()
    except (ValueError, OSError) as error:
        raise _damaged(part.path, f"bytes {part.start} to {part.end}: {error}") from error
    if part.is_last:
        if not xml.endswith(b"</mediawiki>"):
            raise _damaged(part.path, "its end </mediawiki> is missing")
        xml = xml.removesuffix(b"</mediawiki>")
    pages = 0
    for element in _elements(io.BytesIO(b"<pages>" + xml + b"</pages>"), part.path, ("page",)):
        pages += 1
        yield _page(element, part.path)
    if pages != part.pages:
        raise _damaged(
            part.path, f"bytes {part.start} to {part.end} hold {pages} pages, the index says {part.pages}"
        )


def plan_parts(path: Path, index: Path, part_bytes: int) -> list[Part]:
    """Split a multistream dump at stream borders into parts of about `part_bytes` compressed bytes."""
    borders = [*_stream_borders(index), (path.stat().st_size, 0)]
    parts, start, pages = [], borders[0][0], 0
    for (_, count), (end, _) in pairwise(borders):
        pages += count
        is_last = end == borders[-1][0]
        if end - start >= part_bytes or is_last:
            parts.append(Part(path, start, end, pages, is_last))
            start, pages = end, 0
    return parts


def _stream_borders(index: Path) -> list[tuple[int, int]]:
    """Offset and number of pages of each stream, from the lines `offset:page id:title`."""
    borders: list[tuple[int, int]] = []
    number = 0
    try:
        with bz2.open(index) as lines:
            for number, line in enumerate(lines, 1):  # noqa: B007 - the handler below names the line
                offset = int(line.partition(b":")[0])
                if borders and borders[-1][0] == offset:
                    borders[-1] = (offset, borders[-1][1] + 1)
                elif borders and borders[-1][0] > offset:
                    raise ValueError(f"offset {offset} after {borders[-1][0]}")
                else:
                    borders.append((offset, 1))
    except (EOFError, OSError, ValueError) as error:
        raise _damaged(index, f"line {number}: {error}") from error
    if not borders:
        raise _damaged(index, "it lists no page")
    return borders


def _elements(stream: BinaryIO, path: Path, tags: tuple[str, ...]) -> Iterator[etree._Element]:
    """Elements as they end, each emptied after use: lxml would keep the whole tree."""
    try:
        wanted = [f"{{*}}{tag}" for tag in tags]
        for _, element in etree.iterparse(
            stream, events=("end",), tag=wanted, resolve_entities=False, no_network=True, huge_tree=True
        ):
            yield element
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]
    except (EOFError, OSError, etree.XMLSyntaxError) as error:
        raise _damaged(path, str(error)) from error


def _page(element: etree._Element, path: Path) -> Page:
    redirect = element.find("{*}redirect")
    revision = element.find("{*}revision")
    page_id, title = element.findtext("{*}id"), element.findtext("{*}title")
    if not page_id or not title or revision is None:
        raise _damaged(path, f"page {page_id or title}: no id, title or revision")
    return Page(
        id=page_id,
        title=title,
        namespace=element.findtext("{*}ns") or "0",
        redirect=None if redirect is None else redirect.get("title"),
        timestamp=revision.findtext("{*}timestamp"),
        wikitext=revision.findtext("{*}text") or "",
    )


def _damaged(path: Path, what: str) -> KajiyaError:
    return KajiyaError(
        f"{path.name}: the dump is cut off or damaged ({what}). Fetch it again, or another date."
    )
