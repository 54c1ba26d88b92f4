"""Web archives as records: WARC (pages, of which the main text is extracted) and WET (texts).

The archive library ends without a word where a file is cut off, so the unpacking is ours, which checks
every byte, and each record must be as long as it says.
"""

import codecs
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from warcio.archiveiterator import ArchiveIterator
from warcio.exceptions import ArchiveLoadFailed

from components.crawl.text_encoding import UndecodableError, decode_as, decode_japanese
from components.crawl.unpack import open_gzip
from components.crawl.web_encodings import meta_codec, web_codec
from kajiya.errors import KajiyaError

# A record's number from 0 in the file, its fields, why it is no document, or None, and what says so.
ArchiveRecord = tuple[int, dict[str, Any], str | None, str]
Fields = tuple[dict[str, Any], str | None, str]

_META = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([A-Za-z0-9_-]+)", re.IGNORECASE)
_LANG = re.compile(r"<html[^>]{0,400}\slang\s*=\s*[\"']?([A-Za-z]{2,3})", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{1,500})</title", re.IGNORECASE)
_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_HTML = (b"text/html", b"application/xhtml+xml")
_STATUS = re.compile(rb"HTTP/[0-9.]+ ([0-9]{3})")
_CONTENT_TYPE = re.compile(rb"^Content-Type:[ \t]*([^;\s]+)([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?([A-Za-z0-9_-]+)", re.IGNORECASE)
# Common Crawl tells languages by ISO 639-3.
_TWO_LETTERS = {
    "jpn": "ja",
    "eng": "en",
    "zho": "zh",
    "kor": "ko",
    "fra": "fr",
    "deu": "de",
    "spa": "es",
    "rus": "ru",
}


def read_archive(path: Path) -> Iterator[ArchiveRecord]:
    """Responses and conversions of a WARC or WET file.

    Raises KajiyaError naming the file and how many records were whole.
    """
    number = 0
    packed = path.name.endswith(".gz")
    try:
        with open_gzip(path) if packed else open(path, "rb") as handle:
            for record in ArchiveIterator(_AsItComes(handle), no_record_parse=True):
                payload = record.raw_stream.read()
                if len(payload) != record.length:
                    raise EOFError(f"{len(payload)} of {record.length} bytes")
                if record.rec_type == "response":
                    yield number, *_page(record.rec_headers, payload)
                elif record.rec_type == "conversion":
                    yield number, *_text(record.rec_headers, payload)
                number += 1
        if not packed:
            _check_end(path)
    except (EOFError, OSError, zlib.error, ArchiveLoadFailed) as error:
        raise KajiyaError(
            f"{path.name}: the archive is cut off or damaged, after {number} whole records ({error}). Fetch it again."
        ) from error


class _AsItComes:
    """Reads no further than must be, so that damage shows only after all the records before it."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle

    def read(self, size: int = -1) -> bytes:
        return self._handle.read1(size)  # type: ignore[attr-defined]


def _check_end(path: Path) -> None:
    with open(path, "rb") as handle:
        handle.seek(max(0, path.stat().st_size - 4))
        if handle.read() != b"\r\n\r\n":
            raise EOFError("the last record does not end")


def _about(headers: Any) -> dict[str, Any]:
    return {
        "url": headers.get_header("WARC-Target-URI"),
        "date": headers.get_header("WARC-Date"),
        "text": "",
    }


def _text(headers: Any, body: bytes) -> Fields:
    about = _about(headers)
    told = (headers.get_header("WARC-Identified-Content-Language") or "").partition(",")[0]
    about["language"] = _TWO_LETTERS.get(told, told) or None
    try:
        about["text"] = decode_as(body, "utf-8")
    except UndecodableError as error:
        return about, "undecodable", str(error)
    return about, None, ""


def _page(headers: Any, payload: bytes) -> Fields:
    """An HTTP answer as Common Crawl keeps it: the body is unpacked already."""
    about = _about(headers)
    head, _, body = payload.partition(b"\r\n\r\n")
    status, kind = _STATUS.match(head), _CONTENT_TYPE.search(head)
    if status is None or status[1] != b"200":
        return about, "http_status", status[1].decode("ascii") if status else "none"
    if truncated := headers.get_header("WARC-Truncated"):
        return about, "truncated", truncated
    if kind is None or kind[1].lower() not in _HTML:
        return about, "not_html", kind[1].decode("latin-1") if kind else "none"
    charset = _CHARSET.search(kind[2])
    try:
        html = decode_html(body, charset and charset[1].decode("ascii"))
    except UndecodableError as error:
        return about, "undecodable", str(error)
    title, language = _TITLE.search(html), _LANG.search(html)
    about |= {"title": title and title[1].strip(), "language": language and language[1].lower()}
    about["text"] = main_text(html)
    return about, None, ""


def decode_html(body: bytes, http_charset: str | None) -> str:
    """A page as text: by the charset of HTTP, else of its <meta>, else by what it looks like.

    A stated charset that does not hold is passed over. Raises UndecodableError where none is left.
    """
    if body.startswith(_MARKS):
        return decode_japanese(body)  # a byte order mark goes before all that is stated
    meta = _META.search(body[:4096])
    in_meta = meta and meta_codec(meta[1].decode("ascii"))
    for codec in (http_charset and web_codec(http_charset), in_meta):
        if not codec or codec == "cp1252":
            continue  # unknown; or a server's default, in which nearly every byte is valid: it says nothing
        try:
            return decode_as(body, codec)
        except UndecodableError:
            continue
    return decode_japanese(body)


def main_text(html: str) -> str:
    """The text of a page without menus, adverts and footers; empty where there is none."""
    import trafilatura  # noqa: PLC0415 - a second that no other kind of file need spend

    return trafilatura.extract(html, include_comments=False, include_tables=True) or ""
