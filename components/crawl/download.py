"""Download a large file so that it can be broken off anywhere and continued.

Beside the growing `NAME.partial` lies `NAME.partial.json`: what the server said of the file (its
validator, length, hash). A range is asked for with If-Range, so a file that changed between two
requests is begun afresh instead of being glued to the old half.
"""

import multiprocessing
import re
from pathlib import Path

import httpx
from tqdm import tqdm

from components.crawl.fetched import Expected, Fetched, Partial, Stated, verify
from components.crawl.http import (
    Client,
    Pace,
    Patience,
    TryAgain,
    check_busy,
    check_status,
    refuse_encoding,
    shown,
    transport_trouble,
)
from kajiya.errors import KajiyaError
from kajiya.retry_after import whole_number

# A wrong checksum may come from a broken cache on the way, and the next one may meet another.
CHECKSUM_TRIES = 3


def download(client: Client, path: str, target: Path, expected: Expected | None = None) -> Fetched:
    """Fetch `path` into `target`, or continue, or find it done. Raises KajiyaError on a wrong checksum."""
    expected = expected or Expected()
    partial = Partial(target)
    if done := partial.whole():
        return done
    for _ in range(CHECKSUM_TRIES):
        _fill(client, client.url(path), partial, expected)
        found, problem = verify(partial, expected)
        if problem is None:
            return partial.publish(found)
        partial.discard()
    raise KajiyaError(
        f"{shown(client.url(path))}: {problem}, in each of {CHECKSUM_TRIES} downloads. The file is not used: the "
        "source or a proxy serves a broken copy; try another mirror (base_url) or another date."
    )


def _fill(client: Client, url: str, partial: Partial, expected: Expected) -> None:
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


def _fetch_rest(client: Client, url: str, partial: Partial, expected: Expected) -> None:
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
        refuse_encoding(response)
        stated = _stated(response)
        if response.status_code == 206:
            if _range_start(response) != offset or stated != known:
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


def _append(response: httpx.Response, partial: Partial, total: int | None) -> None:
    bar = tqdm(
        desc=partial.target.name,
        total=total,
        initial=partial.size(),
        unit="B",
        unit_scale=True,
        mininterval=0.5,
        disable=multiprocessing.parent_process() is not None,  # the stage shows one bar for all workers
    )
    pace = Pace()
    with bar, open(partial.path, "ab") as handle:
        for block in response.iter_raw():
            handle.write(block)
            bar.update(len(block))
            if total is not None and handle.tell() > total:
                return  # the caller says so; an endless answer would fill the disk
            handle.flush()  # what came before a slow or cut end is not asked again
            pace.note(len(block))


def _is_whole(size: int, known: Stated, expected: Expected) -> bool:
    return size == (expected.bytes if expected.bytes is not None else known.bytes)


def _stated(response: httpx.Response) -> Stated:
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
    return Stated(validator, whole_number(total), sha256)


def _range_start(response: httpx.Response) -> int:
    found = re.match(r"bytes ([0-9]{1,18})-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1
