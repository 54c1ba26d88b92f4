"""Read a Wikipedia dump, plain or multistream bz2, in memory that does not grow with its size.

A multistream dump is a row of bz2 archives of 100 pages each; its index says where each begins, so
workers can read it in parts.
"""

import bz2
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from components.crawl.dump_xml import Page, Site, damaged, pages_of, parse_site, split_pages

_BLOCK_BYTES = 1 << 20  # of XML, in a dump that is read in one stream


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
    head = bytearray()
    for block in _blocks(path, 1 << 16):
        head += block
        if b"</siteinfo>" in head or b"<page>" in head:
            break
    return parse_site(bytes(head), language, path)


def read_pages(path: Path) -> Iterator[Page]:
    """Every page of a bz2 dump, plain or multistream, one after the other."""
    rest = b""
    for block in _blocks(path, _BLOCK_BYTES):
        sources, rest = split_pages(rest + block)
        yield from pages_of(sources, path)
    if not rest.rstrip().endswith(b"</mediawiki>") or b"<page>" in rest:
        raise damaged(path, "its end </mediawiki> is missing")


def _blocks(path: Path, size: int) -> Iterator[bytes]:
    try:
        with bz2.open(path) as stream:
            while block := stream.read(size):
                yield block
    except (EOFError, OSError) as error:
        raise damaged(path, str(error)) from error


def read_part(part: Part) -> Iterator[Page]:
    """The pages of a part. Raises KajiyaError when they are not as many as the index says."""
    with open(part.path, "rb") as handle:
        handle.seek(part.start)
        packed = handle.read(part.end - part.start)
    try:
        xml = bz2.decompress(packed).rstrip()
    except (ValueError, OSError) as error:
        raise damaged(part.path, f"bytes {part.start} to {part.end}: {error}") from error
    if part.is_last:
        if not xml.endswith(b"</mediawiki>"):
            raise damaged(part.path, "its end </mediawiki> is missing")
        xml = xml.removesuffix(b"</mediawiki>")
    sources, rest = split_pages(xml)
    if rest.strip():
        raise damaged(part.path, f"bytes {part.start} to {part.end} end within a page")
    if len(sources) != part.pages:
        raise damaged(
            part.path,
            f"bytes {part.start} to {part.end} hold {len(sources)} pages, the index says {part.pages}",
        )
    yield from pages_of(sources, part.path)


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
        raise damaged(index, f"line {number}: {error}") from error
    if not borders:
        raise damaged(index, "it lists no page")
    return borders
