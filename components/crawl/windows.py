"""Closed windows of days as the Diet API answered them, kept from run to run.

Minutes of a closed window hardly change, and NDL asks for patience, so a window is asked once: its raw
pages lie below the stage's cache with their hashes, and only days that no window covers are asked. What
is asked again: a window read before its meetings had settled, and one read before the day that
`checked_since` names. Late corrections show by a newer updateTime.
"""

import datetime
import hashlib
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from components.crawl.minutes import parse_answer, updated
from kajiya.shards import write_file

# Pages of a reading that was broken off are continued for so long; then they are read afresh.
READING_DAYS = 7
_RECORD = "window.json"


@dataclass(frozen=True)
class Window:
    """Days from `start` to `end`, inclusive, of one house or of all."""

    start: datetime.date
    end: datetime.date
    house: str | None = None

    @property
    def name(self) -> str:
        return f"{self.start}_{self.end}" + (f"_{self.house}" if self.house else "")

    def query(self) -> dict[str, str]:
        house = {"nameOfHouse": self.house} if self.house else {}
        return {"from": str(self.start), "until": str(self.end), **house}

    def overlaps(self, other: "Window") -> bool:
        return self.house == other.house and self.start <= other.end and other.start <= self.end

    def without(self, covered: "list[Window]") -> "Iterator[Window]":
        """The runs of days that no other window covers, in order."""
        start = self.start
        for other in sorted(covered, key=lambda one: one.start):
            if start < other.start:
                yield Window(start, min(other.start - DAY, self.end), self.house)
            start = max(start, other.end + DAY)
        if start <= self.end:
            yield Window(start, self.end, self.house)


DAY = datetime.timedelta(days=1)


class WindowCache:
    """The windows of one API, one folder each; a reading under way lies in `<name>.reading`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for old in folder.glob("*.old"):  # a kill between the two renames of `keep`
            target = old.with_suffix("")
            if target.exists():
                shutil.rmtree(old)
            else:
                old.replace(target)

    def kept(self, wanted: Window) -> list[Window]:
        """Whole windows that overlap the wanted one, undamaged."""
        paths = sorted(self.folder.glob(f"*/{_RECORD}"))
        windows = [(_window(orjson.loads(path.read_bytes())), path.parent.name) for path in paths]
        # After a kill in `keep` there are whole records in `.reading` too.
        published = [window for window, name in windows if window.name == name]
        return [one for one in published if one.overlaps(wanted) and self._intact(one)]

    def read_on(self, window: Window) -> datetime.date:
        """The day on which the reading of a kept window began."""
        return datetime.date.fromisoformat(self._record(window)["read_on"])

    def meetings(self, window: Window) -> list[dict[str, Any]]:
        return [meeting for page in self._pages(window) for meeting in parse_answer(page).meetings]

    def reading(self, window: Window, today: datetime.date, not_before: datetime.date | None) -> Path:
        """The folder for the pages of a reading, with those of one that was broken off lately."""
        folder = self.folder / f"{window.name}.reading"
        begun = folder / "begun"
        if begun.exists():
            day = datetime.date.fromisoformat(begun.read_text())
            if day + READING_DAYS * DAY >= today and day >= (not_before or day):
                return folder
        shutil.rmtree(folder, ignore_errors=True)
        write_file(begun, str(today))
        return folder

    def keep(self, window: Window, pages: list[bytes]) -> None:
        """Make a complete reading the window's; tell on stderr what it changed."""
        reading, target = self.folder / f"{window.name}.reading", self.folder / window.name
        record = {
            "from": str(window.start),
            "until": str(window.end),
            "house": window.house,
            "read_on": (reading / "begun").read_text(),
            "sha256": [hashlib.sha256(page).hexdigest() for page in pages],
            "meetings": {
                one["issueID"]: updated(one) for page in pages for one in parse_answer(page).meetings
            },
        }
        for path in reading.glob("page-*"):
            if path.suffix or path.read_bytes() not in pages:  # half written, or before the source moved
                path.unlink()
        write_file(reading / _RECORD, orjson.dumps(record, option=orjson.OPT_INDENT_2))
        old = target.with_name(f"{target.name}.old")
        if target.exists():
            if (target / _RECORD).exists():  # a kill in `_intact` may have left some pages alone
                _tell_changes(window, self._record(window)["meetings"], record["meetings"])
            target.replace(old)
        reading.replace(target)
        shutil.rmtree(old, ignore_errors=True)

    def _record(self, window: Window) -> dict[str, Any]:
        return orjson.loads((self.folder / window.name / _RECORD).read_bytes())

    def _pages(self, window: Window) -> list[bytes]:
        return [path.read_bytes() for path in sorted((self.folder / window.name).glob("page-*"))]

    def _intact(self, window: Window) -> bool:
        """Whether the pages are those that were kept; a damaged window is asked anew."""
        found = [hashlib.sha256(page).hexdigest() for page in self._pages(window)]
        if found == self._record(window)["sha256"]:
            return True
        print(f"{self.folder / window.name}: damaged; the window is asked anew.", file=sys.stderr)
        shutil.rmtree(self.folder / window.name)
        return False


def _window(record: dict[str, Any]) -> Window:
    days = (datetime.date.fromisoformat(record[name]) for name in ("from", "until"))
    return Window(*days, record["house"])


def _tell_changes(window: Window, before: dict[str, str], after: dict[str, str]) -> None:
    added = len(after.keys() - before.keys())
    gone = len(before.keys() - after.keys())
    corrected = sum(time > before[name] for name, time in after.items() if name in before)
    print(
        f"{window.name}: read again: {added} meetings are new, {corrected} corrected, {gone} gone.",
        file=sys.stderr,
    )
