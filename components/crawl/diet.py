"""Minutes of the National Diet from NDL's record API, one document per meeting.

Results come newest first and have no sort parameter, so a new meeting would shift every offset: we
page inside closed windows of a month at most, count what arrived, and keep each page in the cache
(see windows.py). NDL asks for one request at a time with a pause of several seconds.
"""

import calendar
import datetime
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
from tqdm import tqdm

from components.crawl.harvest import Harvest, Place, document, parse_date
from components.crawl.http import Client, TryAgain, check_status, is_loopback
from components.crawl.minutes import (
    Answer,
    AnswerError,
    NotAnAnswerError,
    meeting_text,
    meeting_title,
    parse_answer,
)
from components.crawl.settings import DietSettings
from components.crawl.windows import Window, WindowCache
from kajiya.errors import KajiyaError
from kajiya.shards import write_file

RECORDS_PER_PAGE = 10  # the API's maximum for `meeting`
BUSY = "(19001)"
WINDOW_TRIES = 3


class _WindowMovedError(Exception):
    """The window's meetings changed while it was paged through."""


def crawl_diet(config: DietSettings, place: Place, harvest: Harvest) -> None:
    """Every meeting of the window, in the order of its date and issueID."""
    seen: set[str] = set()
    cache = WindowCache(place.cache / _api_name(config, place))
    with place.connect(config.base_url, contact_required=True) as client:
        _check_window(config, client)
        client.least_wait_seconds = config.pause_seconds
        wanted = [
            Window(start, end, house)
            for start, end in month_windows(config.from_date, config.until_date)
            for house in config.houses or (None,)
        ]
        for window in tqdm(wanted, desc="windows", mininterval=0.5):
            meetings = _meetings(config, client, cache, window)
            records = b"".join(orjson.dumps(one, option=orjson.OPT_SORT_KEYS) + b"\n" for one in meetings)
            harvest.read(window.name, hashlib.sha256(records).hexdigest(), len(records))
            for meeting in meetings:
                _check_house(meeting, window.house)
                _add(config, harvest, meeting, seen)


def _api_name(config: DietSettings, place: Place) -> str:
    """Name of the API's folder in the cache. The sample's answers depend on what lies in IN."""
    digest = hashlib.sha256(config.base_url.encode())
    if config.base_url == "sample":
        for path in sorted(place.input.rglob("meetings.json")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _meetings(
    config: DietSettings, client: Client, cache: WindowCache, wanted: Window
) -> list[dict[str, Any]]:
    """The meetings of a window, in order; only days that the cache does not cover are asked."""
    today = datetime.datetime.now(datetime.UTC).date()
    kept = cache.kept(wanted)
    stale = [one for one in kept if _is_stale(config, one, cache.read_on(one), today)]
    for asked in [*stale, *wanted.without(kept)]:
        folder = cache.reading(asked, today, config.checked_since)
        cache.keep(asked, _read_window(client, asked.query(), folder, config.pause_seconds))
    days = str(wanted.start), str(wanted.end)
    meetings = [
        meeting
        for window in cache.kept(wanted)
        for meeting in cache.meetings(window)
        if days[0] <= meeting["date"] <= days[1]
    ]
    return sorted(meetings, key=lambda one: (one["date"], one["issueID"]))


def _is_stale(config: DietSettings, window: Window, read_on: datetime.date, today: datetime.date) -> bool:
    """Whether a window must be asked again for meetings and corrections that came later."""
    if read_on < (config.checked_since or read_on):
        return True
    return read_on < min(today, window.end + datetime.timedelta(days=config.settled_after_days))


def month_windows(
    start: datetime.date, until: datetime.date
) -> Iterator[tuple[datetime.date, datetime.date]]:
    """Closed windows, each inside one calendar month, that cover start..until."""
    while start <= until:
        last_day = calendar.monthrange(start.year, start.month)[1]
        end = min(until, start.replace(day=last_day))
        yield start, end
        start = end + datetime.timedelta(days=1)


def _check_window(config: DietSettings, client: Client) -> None:
    today = datetime.datetime.now(datetime.UTC).date()
    if config.until_date >= today and not is_loopback(client.base_url):
        raise KajiyaError(
            f"until_date {config.until_date} is not over yet: the window would hold more meetings at the "
            "next run. Choose a day at least a month ago."
        )


def _read_window(client: Client, query: dict[str, str], folder: Path, pause_seconds: float) -> list[bytes]:
    """The raw pages of one window, complete: as many different meetings as the API counts."""
    moved = None
    for _ in range(WINDOW_TRIES):
        try:
            pages = list(_pages(client, query, folder, pause_seconds))
            _check_complete([parse_answer(page) for page in pages])
        except _WindowMovedError as error:
            moved = error
            for page in folder.glob("page-*"):
                page.unlink()
        else:
            return pages
    raise KajiyaError(
        f"{client.url('api/meeting')} {query}: {moved}, in each of {WINDOW_TRIES} readings. No meeting may be lost: "
        "run again later, or end the window earlier."
    )


def _pages(client: Client, query: dict[str, str], folder: Path, pause_seconds: float) -> Iterator[bytes]:
    """Pages of a broken-off reading, then from the API; each is saved before the next is asked for."""
    position: int | None = 1
    while position is not None:
        saved = folder / f"page-{position:06d}"
        if not saved.exists():
            write_file(saved, _ask(client, query, position))
            time.sleep(pause_seconds)
        body = saved.read_bytes()
        yield body
        following = parse_answer(body).next_position
        if following is not None and following <= position:
            raise _WindowMovedError(f"page {position} names {following} as the next position")
        position = following


def _ask(client: Client, query: dict[str, str], position: int) -> bytes:
    parameters = {
        **query,
        "startRecord": str(position),
        "maximumRecords": str(RECORDS_PER_PAGE),
        "recordPacking": "json",
    }
    return client.get("api/meeting", _judge, parameters)


def _judge(response: httpx.Response) -> bytes:
    """A good page. NDL's errors come with HTTP 400, some with 200: the body decides."""
    try:
        parse_answer(response.content)
    except AnswerError as error:
        if BUSY in str(error):
            raise TryAgain(str(error)) from None
        if "(19004)" in str(error):
            raise _WindowMovedError(f"the next page is gone: {error}") from None
        raise KajiyaError(f"{response.request.url}: the API refused: {error}. Check the settings.") from None
    except NotAnAnswerError as error:
        check_status(response)
        raise TryAgain(f"no answer of the Diet API: {error}") from None
    check_status(response)
    return response.content


def _check_complete(answers: list[Answer]) -> None:
    """Raise _WindowMovedError unless all pages count alike and every counted meeting arrived once."""
    counts = {answer.number_of_records for answer in answers}
    if len(counts) > 1:
        raise _WindowMovedError(f"numberOfRecords changed from page to page: {sorted(counts)}")
    arrived = {meeting["issueID"] for answer in answers for meeting in answer.meetings}
    if {len(arrived)} != counts:
        raise _WindowMovedError(
            f"{len(arrived)} different meetings arrived, numberOfRecords says {counts.pop()}"
        )


def _check_house(meeting: dict[str, Any], house: str | None) -> None:
    asked = {None: None, "両院協議会": ("両院", "両院協議会")}.get(house, (house,))
    if asked and meeting["nameOfHouse"] not in asked:
        raise KajiyaError(
            f"{meeting['issueID']}: asked for {house}, got a meeting of {meeting['nameOfHouse']}: the API "
            "ignored the filter. Leave `houses` empty to take all."
        )


def _add(config: DietSettings, harvest: Harvest, meeting: dict[str, Any], seen: set[str]) -> None:
    reason, detail = None, ""
    if meeting["issueID"] in seen:
        reason = "duplicate"
    elif meeting["imageKind"] != "会議録":
        reason, detail = "not_minutes", meeting["imageKind"] or ""  # contents, index, appendix
    seen.add(meeting["issueID"])
    row = document(
        meeting["issueID"],
        meeting_text(meeting),
        url=meeting["meetingURL"],
        title=meeting_title(meeting),
        date=parse_date(meeting["date"], meeting["issueID"]),
        license=config.license,
        generator="human",
        language="ja",
    )
    harvest.add(row, reason, detail)
