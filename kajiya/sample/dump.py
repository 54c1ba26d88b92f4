"""A Wikipedia dump site: export XML 0.11 in bz2, multistream with its index, hashes and status."""

import bz2
import hashlib
import json
import random
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from kajiya.sample.wikitext import Page
from kajiya.shards import write_file

PAGES_PER_STREAM = 100
_NAMESPACES = {
    0: "",
    2: "利用者",
    4: "Wikipedia",
    6: "ファイル",
    8: "MediaWiki",
    10: "Template",
    14: "Category",
}
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def number_pages(rng: random.Random, pages: list[Page]) -> list[tuple[int, Page]]:
    """Page ids that rise with gaps, as in a wiki whose pages were deleted now and then."""
    numbered, page_id = [], 4
    for page in pages:
        page_id += rng.randint(1, 7)
        numbered.append((page_id, page))
    return numbered


def write_dump(root: Path, date: str, pages: list[tuple[int, Page]]) -> None:
    """Write `<root>/jawiki/<date>/`."""
    folder, prefix = root / "jawiki" / date, f"jawiki-{date}"
    multistream, index = _multistream(pages)
    plain = bz2.compress((_header() + "".join(_element(*page) for page in pages) + "</mediawiki>\n").encode())
    jobs = {
        "articlesdump": {f"{prefix}-pages-articles.xml.bz2": plain},
        "articlesmultistreamdump": {
            f"{prefix}-pages-articles-multistream.xml.bz2": multistream,
            f"{prefix}-pages-articles-multistream-index.txt.bz2": bz2.compress(index.encode()),
        },
    }
    sums = []
    for files in jobs.values():
        for name, content in files.items():
            write_file(folder / name, content)
            sums.append(f"{_sha1(content)}  {name}\n")
    write_file(folder / f"{prefix}-sha1sums.txt", "".join(sums))
    write_file(folder / "dumpstatus.json", _status(date, jobs))


def _multistream(pages: list[tuple[int, Page]]) -> tuple[bytes, str]:
    """Header, a hundred pages a stream, footer: each a bz2 stream that can be read on its own."""
    content, index = bytearray(bz2.compress(_header().encode())), []
    for first in range(0, len(pages), PAGES_PER_STREAM):
        chunk = pages[first : first + PAGES_PER_STREAM]
        index += [f"{len(content)}:{page_id}:{page.title}\n" for page_id, page in chunk]
        content += bz2.compress("".join(_element(*page) for page in chunk).encode())
    content += bz2.compress(b"</mediawiki>\n")
    return bytes(content), "".join(index)


def _status(date: str, jobs: dict[str, dict[str, bytes]]) -> str:
    updated = f"{date[:4]}-{date[4:6]}-{date[6:]} 03:04:05"
    described = {
        job: {
            "status": "done",
            "updated": updated,
            "files": {
                name: {
                    "size": len(content),
                    "url": f"/jawiki/{date}/{name}",
                    "md5": hashlib.md5(content).hexdigest(),  # noqa: S324 - the site publishes it
                    "sha1": _sha1(content),
                }
                for name, content in files.items()
            },
        }
        for job, files in jobs.items()
    }
    return json.dumps({"version": "0.8", "jobs": described}, indent=1) + "\n"


def _header() -> str:
    schema = "http://www.mediawiki.org/xml/export-0.11"
    spaces = "".join(
        f'      <namespace key="{key}" case="first-letter">{name}</namespace>\n' if name else
        '      <namespace key="0" case="first-letter" />\n'
        for key, name in _NAMESPACES.items()
    )  # fmt: skip
    return (
        f'<mediawiki xmlns="{schema}/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{schema}/ {schema}.xsd" version="0.11" xml:lang="ja">\n'
        "  <siteinfo>\n    <sitename>Wikipedia</sitename>\n    <dbname>jawiki</dbname>\n"
        "    <base>https://ja.wikipedia.org/wiki/</base>\n    <generator>MediaWiki 1.45.0</generator>\n"
        f"    <case>first-letter</case>\n    <namespaces>\n{spaces}    </namespaces>\n  </siteinfo>\n"
    )


def _element(page_id: int, page: Page) -> str:
    content = page.text.encode()
    target = f"    <redirect title={quoteattr(page.redirect)} />\n" if page.redirect else ""
    return (
        f"  <page>\n    <title>{escape(page.title)}</title>\n    <ns>{page.namespace}</ns>\n"
        f"    <id>{page_id}</id>\n{target}    <revision>\n      <id>{100000 + page_id * 3}</id>\n"
        f"      <parentid>{99999 + page_id * 3}</parentid>\n"
        f"      <timestamp>2025-{page_id % 12 + 1:02}-{page_id % 28 + 1:02}T{page_id % 24:02}:30:00Z</timestamp>\n"
        "      <contributor>\n        <username>見本の利用者</username>\n        <id>7</id>\n"
        "      </contributor>\n      <comment>例文を書き足した</comment>\n"
        f"      <origin>{100000 + page_id * 3}</origin>\n      <model>wikitext</model>\n"
        f'      <format>text/x-wiki</format>\n      <text bytes="{len(content)}" sha1="{_base36(content)}" '
        f'xml:space="preserve">{escape(page.text)}</text>\n      <sha1>{_base36(content)}</sha1>\n'
        "    </revision>\n  </page>\n"
    )


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()  # noqa: S324 - the site publishes it


def _base36(content: bytes) -> str:
    """SHA-1 as MediaWiki writes it: 31 digits to the base of 36."""
    number, digits = int(_sha1(content), 16), ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits.rjust(31, "0")
