"""Articles of a Wikipedia dump, pinned by wiki and date, as plain text."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from components.crawl.download import Expected, Fetched, download
from components.crawl.dump import Part, plan_parts, read_pages, read_part, read_site
from components.crawl.dump_xml import Page, Site
from components.crawl.harvest import Harvest, Place, document, parse_date
from components.crawl.http import Client, TryAgain, body_of, check_status
from components.crawl.settings import WikipediaSettings
from components.crawl.wikitext import extract_text
from components.crawl.wikitext.disambiguation import is_disambiguation
from kajiya.engine import Ledger, map_shards, progress
from kajiya.errors import KajiyaError
from kajiya.ledger import code_digest
from kajiya.records import DOCUMENT
from kajiya.shards import write_shard

# Multistream first: its index lets workers share the dump.
JOBS = ("articlesmultistreamdump", "articlesdump")
# Compressed bytes that one worker parses at a time: about 20 MB of XML.
PART_BYTES = 4_000_000
_DUMP_NAME = re.compile(r"pages-articles(-multistream)?\d*\.xml(-p\d+p\d+)?\.bz2$")
# A listing comes from outside: a name with a folder in it could write anywhere on this disk.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_REDIRECT = re.compile(r"\s*#(?:redirect|転送|リダイレクト)[\s:]*\[\[([^\]\n]*)", re.IGNORECASE)

# Rows between worker and writer; the source is filled in later.
_PART = pa.schema(
    [
        *(field.with_nullable(True) for field in DOCUMENT),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
    ]
)
Row = tuple[dict[str, Any], str | None, str]


def crawl_wikipedia(config: WikipediaSettings, place: Place, harvest: Harvest) -> None:
    """Every page of the dump, in its order; what is no article is rejected."""
    with place.connect(config.base_url, contact_required=True) as client:
        fetched = _fetch_dump(config, client, place)
    for name, file in fetched.items():
        harvest.read(name, file.sha256, file.bytes)
    language = wiki_language(config.wiki)
    for name, file in fetched.items():
        if not _DUMP_NAME.search(name):
            continue
        article = Article(read_site(file.path, language), language, config.license)
        index = fetched.get(index_name(name))
        if index is None:
            rows: Iterator[Row] = map(article.row, progress(read_pages(file.path), f"read {name}"))
        else:
            parts = plan_parts(file.path, index.path, PART_BYTES)
            # Other code or another dump gives other parts: those of before are not continued from.
            folder = place.work / f"parts-{code_digest(__name__)}" / file.sha256
            rows = _rows_of_parts(article, parts, folder, f"read {name}")
        for row in rows:
            harvest.add(*row)


@dataclass(frozen=True)
class Article:
    """How a page of one wiki becomes a document."""

    site: Site
    language: str
    license: str

    def row(self, page: Page) -> Row:
        """The document with the reason and detail of its rejection, if it is no article.

        A rejected page keeps its wikitext, so that one can see why.
        """
        text = ""
        reason, detail = rejection(page)
        if reason is None:
            text = extract_text(page.wikitext, self.site.hidden_namespaces, self.language)
            if not text:
                reason = "empty"
        url = self.site.page_url + quote(page.title.replace(" ", "_"), safe="/:@!$*(),;~'")
        row = document(
            page.id,
            page.wikitext if reason else text,
            url=url,
            title=page.title,
            date=parse_date(page.timestamp, f"page {page.id}"),
            license=self.license,
            generator="human",
            language=self.language,
        )
        return row, reason, detail


def rejection(page: Page) -> tuple[str | None, str]:
    """Why a page is no article, or None."""
    if page.namespace != "0":
        return "namespace", page.namespace
    if page.redirect is not None:
        return "redirect", page.redirect
    if found := _REDIRECT.match(page.wikitext):
        return "redirect", found[1]
    if is_disambiguation(page.wikitext):
        return "disambiguation", ""
    return None, ""


def _rows_of_parts(article: Article, parts: list[Part], folder: Path, description: str) -> Iterator[Row]:
    """The rows of all parts in order. Workers leave them in files: memory holds one part, a crash costs none."""
    ledger = Ledger(folder / "ledger")
    for file in map_shards(partial(_write_part, article, folder), parts, description, ledger):
        yield from read_rows(folder / file)


def _write_part(article: Article, folder: Path, part: Part) -> str:
    """The name of the file with the rows of a part."""
    name = f"{part.start}.parquet"
    write_rows(map(article.row, read_part(part)), folder / name)
    return name


def write_rows(rows: Iterable[Row], path: Path) -> None:
    records = [{**row, "reason": reason, "detail": detail} for row, reason, detail in rows]
    write_shard(pa.Table.from_pylist(records, _PART), path)


def read_rows(path: Path) -> Iterator[Row]:
    for row in pq.read_table(path, partitioning=None).to_pylist():
        reason, detail = row.pop("reason"), row.pop("detail")
        yield row, reason, detail


def wiki_language(wiki: str) -> str:
    """ISO 639-1 code of a wiki's database name; simplewiki is English too."""
    prefix = wiki.removesuffix("wiki").replace("_", "-")
    return "en" if prefix == "simple" else prefix


def index_name(dump_name: str) -> str:
    """Name of a multistream dump's index: ...-multistream1.xml-p1p9.bz2 has ...-multistream-index1.txt-p1p9.bz2."""
    return dump_name.replace("-multistream", "-multistream-index").replace(".xml", ".txt")


def _fetch_dump(config: WikipediaSettings, client: Client, place: Place) -> dict[str, Fetched]:
    """The job's files by name, dumps in the order of their pages."""
    listing = f"{config.wiki}/{config.date}/dumpstatus.json"
    status = client.get(listing, partial(_dump_status, config))
    files = dump_files(status, client.url(listing))
    if any(not _stated_digest(facts) for facts in files.values()):
        sums = client.get(f"{config.wiki}/{config.date}/{config.wiki}-{config.date}-sha1sums.txt", _sha1_sums)
        files = {
            name: {**facts, "sha1": facts.get("sha1") or sums.get(name)} for name, facts in files.items()
        }
    fetched = {}
    for name, facts in files.items():
        algorithm, digest = _stated_digest(facts) or (None, None)
        path = facts.get("url") or f"{config.wiki}/{config.date}/{name}"
        expected = Expected(facts.get("size"), algorithm, digest)
        fetched[name] = download(client, path, place.work / name, expected)
    return fetched


def dump_files(status: dict[str, Any], where: str) -> dict[str, dict[str, Any]]:
    """Files with their facts of the best finished job in a dumpstatus.json."""
    jobs = status.get("jobs", {})
    for name in JOBS:
        job = jobs.get(name, {})
        files = job.get("files", {})
        if job.get("status") == "done" and any(_DUMP_NAME.search(file) for file in files):
            if strange := [file for file in files if not _PLAIN_NAME.fullmatch(file)]:
                raise KajiyaError(
                    f"{where}: {strange[0]!r} is no name of a file of a dump. Do not use this mirror (base_url)."
                )
            return dict(sorted(files.items(), key=_page_order))
    states = ", ".join(f"{name}: {jobs.get(name, {}).get('status', 'absent')}" for name in JOBS)
    raise KajiyaError(
        f"{where}: no finished dump of the articles ({states}). Wait for it, or choose another date."
    )


def _page_order(item: tuple[str, Any]) -> tuple[list[int], str]:
    """Dumps come in numbered files (...articles2.xml-p9p20.bz2): 10 after 9, not after 1."""
    return [int(number) for number in re.findall(r"\d+", item[0])], item[0]


def _stated_digest(facts: dict[str, Any]) -> tuple[str, str] | None:
    return next(((name, facts[name]) for name in ("sha1", "md5") if facts.get(name)), None)


def _dump_status(config: WikipediaSettings, response: httpx.Response) -> dict[str, Any]:
    if response.status_code == 404:
        raise KajiyaError(
            f"{response.request.url}: no dump of {config.wiki} from {config.date}. Look up the dates there are "
            f"at {config.base_url}/{config.wiki}/ (old ones are removed after some months)."
        )
    try:
        return orjson.loads(body_of(response))
    except orjson.JSONDecodeError as error:
        raise TryAgain(f"not JSON: {error}") from None


def _sha1_sums(response: httpx.Response) -> dict[str, str]:
    """Lines `<sha1>  <name>`; a mirror without the file gives no sums, and bz2's own checks remain."""
    if response.status_code == 404:
        return {}
    check_status(response)
    words = [line.split() for line in response.text.splitlines()]
    return {pair[1]: pair[0] for pair in words if len(pair) == 2}
