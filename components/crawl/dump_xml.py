"""The XML of a MediaWiki dump, read at the speed of searching for its tags.

Dumps are written by one program in one form, whose escapes leave no `<` in any text: pages are cut out
of the bytes and fields out of pages. A page of any other form goes to an XML parser.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from kajiya.errors import KajiyaError

FILE_NAMESPACE, CATEGORY_NAMESPACE = "6", "14"
_BEGIN, _END = b"<page>", b"</page>"
_HEAD = re.compile(
    rb"<page>\s*<title>([^<]+)</title>\s*<ns>(-?\d+)</ns>\s*<id>(\d+)</id>\s*"
    rb"(?:<redirect title=\"([^\"<]*)\"\s*/>\s*)?(?:<restrictions>[^<]*</restrictions>\s*)?<revision>"
)
_TIMESTAMP = re.compile(rb"<timestamp>([^<]*)</timestamp>")
_TEXT_TAG = re.compile(rb"<text(?:\s[^<>]*[^<>/])?>")
# What the dumps' writer escapes; any other reference makes a page one for the parser.
_ESCAPES = ((b"&lt;", b"<"), (b"&gt;", b">"), (b"&quot;", b'"'), (b"&amp;", b"&"))
_OTHER_ESCAPES = (b"&#", b"&apos;")


@dataclass(frozen=True, slots=True)
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


def parse_site(head: bytes, language: str, path: Path) -> Site:
    """The site by the XML before the first page."""
    begin, end = head.find(b"<siteinfo"), head.find(b"</siteinfo>")
    page_url = f"https://{language}.wikipedia.org/wiki/"
    if begin < 0 or end < 0:
        return Site(page_url)
    info = _parse(head[begin : end + len(b"</siteinfo>")], path)
    base = info.findtext("base") or page_url
    hidden = [
        one.text
        for one in info.iterfind("namespaces/namespace")
        if one.get("key") in (FILE_NAMESPACE, CATEGORY_NAMESPACE) and one.text
    ]
    return Site(base.partition("/wiki/")[0] + "/wiki/", tuple(hidden))


def split_pages(xml: bytes) -> tuple[list[bytes], bytes]:
    """The pages in a piece of a dump, and the rest behind the last whole one."""
    pages, position = [], 0
    while (end := xml.find(_END, position)) >= 0:
        begin = xml.find(_BEGIN, position, end)
        end += len(_END)
        if begin >= 0:
            pages.append(xml[begin:end])
        position = end
    return pages, xml[position:]


def pages_of(sources: Iterable[bytes], path: Path) -> Iterator[Page]:
    for source in sources:
        try:
            page = _regular_page(source)
        except UnicodeDecodeError as error:
            raise damaged(path, f"{source[:80]!r}: {error}") from error
        yield page or _page(_parse(source, path), path)


def _regular_page(source: bytes) -> Page | None:
    """A page in the form in which dumps are written, or None."""
    head = _HEAD.match(source)
    if head is None or b"<!" in source or source.find(b"<revision>", head.end()) >= 0:
        return None
    tag = _TEXT_TAG.search(source, head.end())
    end = source.find(b"</text>", head.end())
    if (tag is None) != (end < 0) or any(escape in source for escape in _OTHER_ESCAPES):
        return None
    text = source[tag.end() : end] if tag else b""
    timestamp = _TIMESTAMP.search(source, head.end(), tag.start() if tag else len(source))
    title, redirect = head[1], head[4]
    return Page(
        id=head[3].decode(),
        title=_unescape(title).decode(),
        namespace=head[2].decode(),
        redirect=None if redirect is None else _unescape(redirect).decode(),
        timestamp=timestamp[1].decode() if timestamp else None,
        wikitext=_unescape(text).decode(),
    )


def _unescape(escaped: bytes) -> bytes:
    if b"&" not in escaped:
        return escaped
    for escape, character in _ESCAPES:  # &amp; last, or &amp;lt; would be undone twice
        escaped = escaped.replace(escape, character)
    return escaped


def _parse(source: bytes, path: Path) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
    try:
        return etree.fromstring(source, parser)
    except etree.XMLSyntaxError as error:
        raise damaged(path, str(error)) from error


def _page(element: etree._Element, path: Path) -> Page:
    redirect = element.find("redirect")
    revision = element.find("revision")
    page_id, title = element.findtext("id"), element.findtext("title")
    if not page_id or not title or revision is None:
        raise damaged(path, f"page {page_id or title}: no id, title or revision")
    return Page(
        id=page_id,
        title=title,
        namespace=element.findtext("ns") or "0",
        redirect=None if redirect is None else redirect.get("title"),
        timestamp=revision.findtext("timestamp"),
        wikitext=revision.findtext("text") or "",
    )


def damaged(path: Path, what: str) -> KajiyaError:
    return KajiyaError(
        f"{path.name}: the dump is cut off or damaged ({what}). Fetch it again, or another date."
    )
