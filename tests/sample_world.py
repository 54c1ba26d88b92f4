"""Read the sample world with stock parsers."""

import bz2
import gzip
import json
from pathlib import Path

from lxml import etree

NAMESPACE = "{http://www.mediawiki.org/xml/export-0.11/}"
DUMP = "wikipedia/jawiki/20260101"


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def web_pages(out: Path) -> dict[str, str]:
    pages = {}
    for number, shard in enumerate(sorted(out.glob("c4/**/*.json.gz"))):
        with gzip.open(shard, "rt", encoding="utf-8") as handle:
            for line, text in enumerate(handle):
                pages[f"c4:{number}:{line}"] = json.loads(text)
    return pages


def articles(out: Path) -> dict[str, etree._Element]:
    (path,) = out.glob(f"{DUMP}/*-pages-articles.xml.bz2")
    root = etree.fromstring(bz2.decompress(path.read_bytes()))
    return {f"wikipedia:{page.findtext(NAMESPACE + 'id')}": page for page in root.iter(NAMESPACE + "page")}


def wikitext(page: etree._Element) -> str:
    return page.findtext(f"{NAMESPACE}revision/{NAMESPACE}text")


def texts(out: Path) -> dict[str, str]:
    """Every document of the corpus sources by its id."""
    found = {key: page["text"] for key, page in web_pages(out).items()}
    for path in sorted(out.glob("files/*.jsonl")):
        found |= {f"files:{path.name}:{place}": one["text"] for place, one in enumerate(lines_of(path))}
    for meeting in json.loads((out / "diet/meetings.json").read_bytes())["meetingRecord"]:
        said = (speech["speech"] for speech in meeting["speechRecord"])
        found[f"diet:{meeting['issueID']}"] = "\n".join(said)
    return found | {key: wikitext(page) for key, page in articles(out).items()}
