"""Download a large file so that it can be broken off anywhere and continued.

Beside the growing `NAME.partial` lies `NAME.partial.json`: what the server said of the file (its
validator, length, hash). A range is asked for with If-Range, so a file that changed between two
requests is begun afresh instead of being glued to the old half.
"""

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
from tqdm import tqdm

from components.crawl.http import (
    Client,
    Patience,
    TryAgain,
    check_busy,
    check_status,
    transport_trouble,
)
from kajiya.errors import KajiyaError
from kajiya.shards import write_file


@dataclass(frozen=True)
class Expected:
    """What the source's own listing says of a file; None where it says nothing."""

    bytes: int | None = None
    algorithm: str | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Fetched:
    """A whole, verified file on this disk."""

    path: Path
    sha256: str
    bytes: int


@dataclass(frozen=True)
class _Stated:
    """What the server said of the file in its headers."""

    validator: str | None
    bytes: int | None
    sha256: str | None


def download(client: Client, path: str, target: Path, expected: Expected | None = None) -> Fetched:
    """Fetch `path` into `target`, or continue, or find it done. Raises KajiyaError on a wrong checksum
    (after one fresh download: a cache on the way may have held a broken copy)."""
    expected = expected or Expected()
    record = target.with_name(target.name + ".fetched.json")
    if record.exists():
        return Fetched(target, **json.loads(record.read_bytes()))
    partial = _Partial(target)
    for last in (False, True):
        _fill(client, client.url(path), partial, expected)
        found, problem = _verify(partial, expected)
        if problem is None:
            partial.publish()
            write_file(record, json.dumps(found))
            return Fetched(target, **found)
        partial.discard()
        if last:
            raise KajiyaError(
                f"{client.url(path)}: {problem}, twice. The file is not used: the source or a proxy serves a "
                "broken copy; try another mirror (base_url) or another date."
            )
    raise AssertionError


class _Partial:
    """The unfinished file and what the server said of it."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".partial")
        self.record = target.with_name(target.name + ".partial.json")

    def stated(self) -> _Stated | None:
        return _Stated(**json.loads(self.record.read_bytes())) if self.record.exists() else None

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def begin(self, stated: _Stated) -> None:
        self.discard()  # first the old bytes: they must never stand beside the new validator
        write_file(self.record, json.dumps(asdict(stated)))

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.record.unlink(missing_ok=True)

    def publish(self) -> None:
        with open(self.path, "ab") as handle:  # "ab" makes the file where the source's is empty
            os.fsync(handle.fileno())
        self.path.replace(self.target)
        self.record.unlink(missing_ok=True)


def _fill(client: Client, url: str, partial: _Partial, expected: Expected) -> None:
    patience = Patience(url)
    furthest = partial.size()
    while True:
        try:
            _fetch_rest(client, url, partial, expected)
        except TryAgain as caught:
            trouble = caught
        except httpx.RequestError as error:
            trouble = transport_trouble(error)
        else:
            return
        if partial.size() > furthest:
            furthest = partial.size()
            patience.renew()
        patience.spend(trouble)


def _fetch_rest(client: Client, url: str, partial: _Partial, expected: Expected) -> None:
    known = partial.stated()
    offset = partial.size() if known and known.validator else 0
    if offset and _is_whole(offset, known, expected):
        return
    headers = {"Range": f"bytes={offset}-", "If-Range": known.validator} if offset else {}
    with client.session.stream("GET", url, headers=headers) as response:
        if response.status_code == 416:
            partial.discard()
            raise TryAgain(f"the source's file ends before byte {offset}: begun again")
        check_busy(response)
        check_status(response)
        stated = _stated(response)
        if response.status_code == 206:
            same = (stated.validator, stated.sha256) == (known.validator, known.sha256)
            if _range_start(response) != offset or not same:
                partial.discard()
                raise TryAgain("the file changed between two requests: begun again")
        else:
            partial.begin(stated)
        _append(response, partial, expected.bytes or stated.bytes)
    total = expected.bytes if expected.bytes is not None else stated.bytes
    if total is not None and partial.size() < total:
        raise TryAgain(f"the answer ended at byte {partial.size()} of {total}")
    if total is not None and partial.size() > total:
        size = partial.size()
        partial.discard()
        raise TryAgain(f"the answer has {size} bytes, {total} were announced")


def _append(response: httpx.Response, partial: _Partial, total: int | None) -> None:
    bar = tqdm(
        desc=partial.target.name,
        total=total,
        initial=partial.size(),
        unit="B",
        unit_scale=True,
        mininterval=0.5,
    )
    with bar, open(partial.path, "ab") as handle:
        for block in response.iter_raw():
            handle.write(block)
            bar.update(len(block))


def _is_whole(size: int, known: _Stated, expected: Expected) -> bool:
    return size == (expected.bytes if expected.bytes is not None else known.bytes)


def _stated(response: httpx.Response) -> _Stated:
    """Of the whole file, whether the answer is all of it or a range."""
    headers = response.headers
    etag = headers.get("ETag", "")
    # A weak ETag does not promise the same bytes, so it cannot guard a range (RFC 9110, 13.1.5).
    validator = etag if etag.startswith('"') else headers.get("Last-Modified")
    total = headers.get("Content-Length")
    if response.status_code == 206:
        total = headers.get("Content-Range", "").rpartition("/")[2]
    sha256 = None
    # The Hugging Face hub states size and SHA-256 of a large file in the answer that redirects to it.
    for answer in (*response.history, response):
        linked = answer.headers.get("X-Linked-ETag", "").strip('"')
        if re.fullmatch(r"[0-9a-f]{64}", linked):
            sha256 = linked
            total = answer.headers.get("X-Linked-Size", total)
    return _Stated(validator, int(total) if total and total.isdigit() else None, sha256)


def _range_start(response: httpx.Response) -> int:
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def _verify(partial: _Partial, expected: Expected) -> tuple[dict, str | None]:
    """sha256 and bytes of the file, and what is wrong with it, if anything."""
    known = partial.stated()
    wanted = {"sha256": known.sha256 if known else None}
    if expected.algorithm:
        wanted[expected.algorithm] = expected.digest
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in wanted}
    size = 0
    with open(partial.path, "rb") as handle:
        while block := handle.read(1 << 20):
            size += len(block)
            for one in hashes.values():
                one.update(block)
    for name, digest in wanted.items():
        if digest is not None and hashes[name].hexdigest() != digest.lower():
            return {}, f"its {name} is {hashes[name].hexdigest()}, the source states {digest}"
    return {"sha256": hashes["sha256"].hexdigest(), "bytes": size}, None
