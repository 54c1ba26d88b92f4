"""Sources for the crawl's tests: a server that fails as told, and a small Wikipedia dump."""

import bz2
import contextlib
import hashlib
import http.server
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from pydantic import TypeAdapter

from components.crawl import run
from components.crawl.settings import CrawlSettings
from kajiya.records import REJECTED
from kajiya.report import Report
from kajiya.shards import read_dataset
from kajiya.stage import execute

REVISION = "607bd4c8450a42878aa9ddc051a65a055450ef87"
C4 = {"connector": "c4", "revision": REVISION, "shard_count": 2, "until_shard": 1}
DIET = {"connector": "diet", "from_date": "2025-01-01", "until_date": "2025-03-31", "pause_seconds": 0}
FILES = {
    "connector": "files",
    "paths": ["**/*"],
    "license": "CC0-1.0",
    "generator": "human",
    "language": "ja",
}


def settings(values: dict) -> CrawlSettings:
    return TypeAdapter(CrawlSettings).validate_python(values)


def crawl(tmp_path: Path, values: dict, source: str = "s", folder: Path | None = None) -> Report:
    """Run the stage on `folder` (an empty one of its own), into tmp_path/crawl/<source>."""
    folder = folder or tmp_path / "in"
    folder.mkdir(parents=True, exist_ok=True)
    return execute(run, settings(values), [folder], tmp_path / "crawl" / source)


def rows(tmp_path: Path, source: str = "s", rejected: bool = False) -> list[dict]:
    folder = tmp_path / "crawl" / source
    tables = read_dataset(folder / "rejected", REJECTED) if rejected else read_dataset(folder)
    return [row for table in tables for row in table.to_pylist()]


@dataclass
class Source:
    """Files by path, and faults that hit the next requests, one each."""

    files: dict[str, bytes] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    honours_range: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    bytes_a_second: float | None = None
    piece_bytes: int = 10_000
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    body_bytes: int = 0
    agents: set[str] = field(default_factory=set)
    url: str = ""


@contextlib.contextmanager
def serve_source(source: Source) -> Iterator[Source]:
    class Handler(_Handler):
        pass

    Handler.source = source
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    source.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield source
    finally:
        server.shutdown()
        server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    """Faults: `503`, `429 3` (with Retry-After), `close` (no answer), `cut N` (closes after N bytes),
    `short N` (N bytes with a matching Content-Length), `change` (new bytes, new ETag, from now on)."""

    protocol_version = "HTTP/1.1"
    source: Source

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        source = self.source
        source.requests.append((self.path, self.headers.get("Range")))
        source.agents.add(self.headers["User-Agent"])
        fault, _, number = (source.faults.pop(0) if source.faults else "").partition(" ")
        if fault == "change":
            path = self.path.partition("?")[0]
            source.files[path] = source.files[path][::-1]
            fault = ""
        if fault == "close":
            self.close_connection = True
        elif fault in ("429", "503"):
            self._answer(int(fault), b"busy", {"Retry-After": number} if number else {})
        elif self.path in source.redirects:
            self._answer(302, b"", {"Location": source.redirects[self.path]})
        elif self.path.partition("?")[0] not in source.files:
            self._answer(404, b"not found", {})
        else:
            self._file(source.files[self.path.partition("?")[0]], fault, int(number or 0))

    def _file(self, content: bytes, fault: str, number: int) -> None:
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        headers = {"ETag": etag, **self.source.headers}
        asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = 0
        if asked and self.source.honours_range and self.headers.get("If-Range", etag) == etag:
            start = int(asked[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        if fault == "short":
            body = body[:number]
        self._answer(206 if start else 200, body, headers, number if fault == "cut" else None)

    def _answer(self, status: int, body: bytes, headers: dict, cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if cut is not None:
            body, self.close_connection = body[:cut], True
        piece = self.source.piece_bytes
        for place in range(0, len(body), piece):
            try:
                self.wfile.write(body[place : place + piece])
            except (BrokenPipeError, ConnectionResetError):
                return
            self.source.body_bytes += len(body[place : place + piece])
            if self.source.bytes_a_second:
                time.sleep(piece / self.source.bytes_a_second)


def meeting(number: int, date: str, house: str = "衆議院", kind: str = "会議録") -> dict:
    """A meeting as the Diet API gives it, with its header and two speeches."""
    identity = f"1000000{number:03d}X0012025{date[5:7]}{date[8:]}"
    speeches = [
        {"speechID": f"{identity}_{order:03d}", "speechOrder": order, "speaker": "甲", "speech": text}
        for order, text in enumerate(
            ["出席者", "○甲君　これより開きます。\r\n　本日は晴れ。", "○乙君　はい。"]
        )
    ]
    facts = {"issueID": identity, "imageKind": kind, "session": 217, "nameOfHouse": house, "issue": "第1号"}
    facts |= {"nameOfMeeting": "本会議", "date": date, "closing": None, "speechRecord": speeches}
    return {**facts, "meetingURL": f"https://kokkai.ndl.go.jp/txt/{identity}"}


def output_bytes(folder: Path) -> dict[str, bytes]:
    """All that a stage published for good: its shards and its report."""
    paths = [folder.with_name(folder.name + ".report.json"), *folder.rglob("*.parquet")]
    return {str(path.relative_to(folder.parent)): path.read_bytes() for path in sorted(paths)}


def page(number: int, title: str, text: str, namespace: int = 0, redirect: str = "") -> str:
    target = f'<redirect title="{redirect}" />' if redirect else ""
    return (
        f"<page><title>{escape(title)}</title><ns>{namespace}</ns><id>{number}</id>{target}<revision><id>9</id>"
        f"<timestamp>2025-12-{number % 28 + 1:02}T00:00:00Z</timestamp><text>{escape(text)}</text></revision></page>"
    )


HEAD = (
    '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/"><siteinfo>'
    "<base>https://ja.wikipedia.org/wiki/メインページ</base><namespaces>"
    '<namespace key="6">ファイル</namespace><namespace key="14">Category</namespace>'
    "</namespaces></siteinfo>"
)


def wikipedia_files(
    pages: list[str], pages_a_stream: int = 2, hashes: bool = True, multistream: bool = True
) -> dict[str, bytes]:
    """A dump site of jawiki, 20260101."""
    folder, stem = "/jawiki/20260101/", "jawiki-20260101-pages-articles"
    if multistream:
        content, index = bz2.compress(HEAD.encode()), ""
        for first in range(0, len(pages), pages_a_stream):
            chunk = pages[first : first + pages_a_stream]
            index += "".join(f"{len(content)}:{first + n}:題\n" for n in range(len(chunk)))
            content += bz2.compress("".join(chunk).encode())
        content += bz2.compress(b"</mediawiki>\n")
        job = "articlesmultistreamdump"
        dump = {
            f"{stem}-multistream.xml.bz2": content,
            f"{stem}-multistream-index.txt.bz2": bz2.compress(index.encode()),
        }
    else:
        job = "articlesdump"
        dump = {f"{stem}.xml.bz2": bz2.compress((HEAD + "".join(pages) + "</mediawiki>").encode())}
    facts = {name: {"size": len(body), "url": folder + name} for name, body in dump.items()}
    sums = {name: hashlib.sha1(body).hexdigest() for name, body in dump.items()}
    if hashes:
        facts = {name: {**fact, "sha1": sums[name]} for name, fact in facts.items()}
    status = {"jobs": {job: {"status": "done", "files": facts}}}
    return {
        folder + "dumpstatus.json": json.dumps(status).encode(),
        folder + "jawiki-20260101-sha1sums.txt": "".join(f"{v}  {k}\n" for k, v in sums.items()).encode(),
        **{folder + name: body for name, body in dump.items()},
    }
