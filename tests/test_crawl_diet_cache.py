"""What was read of the Diet's minutes is not asked again; what changed since is."""

import contextlib
import datetime
import json
import os
import shutil

import pytest
from crawl_world import DIET, crawl, meeting, output_bytes, rows

from components.crawl.minutes import meeting_text
from components.crawl.windows import Window, WindowCache
from kajiya.sample.faults import Faults
from kajiya.sample.server import serve

MEETINGS = [meeting(n, f"2025-{n % 4 + 1:02}-{n % 28 + 1:02}") for n in range(60)]


class Api:
    """A Diet API at one address, whose records change between crawls."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.port, self.records = 0, list(MEETINGS)

    @contextlib.contextmanager
    def __call__(self):
        (self.folder / "meetings.json").write_text(json.dumps({"meetingRecord": self.records}))
        faults = Faults(1, rate=0)
        with serve(self.folder, self.port, faults) as url:
            self.port = int(url.rpartition(":")[2])
            yield url, faults.counts


@pytest.fixture
def api(tmp_path, monkeypatch):
    monkeypatch.setenv("KAJIYA_HTTP_WAIT_SECONDS", "0.01")
    return Api(tmp_path / "api")


def crawl_days(tmp_path, api, start, until, **more):
    """Requests that a crawl made; the output goes first, as DVC removes it."""
    shutil.rmtree(tmp_path / "crawl" / "s", ignore_errors=True)
    with api() as (url, counts):
        crawl(tmp_path, {**DIET, "from_date": start, "until_date": until, "base_url": url, **more})
    return counts["requests"]


def kept_windows(tmp_path):
    return sorted(path.parent.name for path in (tmp_path / "crawl" / ".cache" / "s").glob("*/*/window.json"))


def test_diet_longer_window_asks_for_the_new_days_alone(tmp_path, api):
    assert crawl_days(tmp_path, api, "2025-01-01", "2025-02-10") == 2 + 1
    assert crawl_days(tmp_path, api, "2025-01-01", "2025-02-10") == 0
    assert crawl_days(tmp_path, api, "2025-01-01", "2025-03-31") == 1 + 2
    assert kept_windows(tmp_path)[1:3] == ["2025-02-01_2025-02-10", "2025-02-11_2025-02-28"]
    crawl_days(tmp_path / "fresh", api, "2025-01-01", "2025-03-31")
    assert output_bytes(tmp_path / "crawl" / "s") == output_bytes(tmp_path / "fresh" / "crawl" / "s")


def test_diet_shorter_window_asks_nothing_and_holds_its_days(tmp_path, api):
    crawl_days(tmp_path, api, "2025-01-01", "2025-02-28")
    assert crawl_days(tmp_path, api, "2025-01-10", "2025-01-20") == 0
    assert {str(row["date"])[:9] for row in rows(tmp_path)} == {"2025-01-1"}


def test_diet_correction_is_taken_when_asked_for(tmp_path, api, capfd):
    crawl_days(tmp_path, api, "2025-01-01", "2025-01-31")
    corrected = json.loads(json.dumps(MEETINGS[0]))
    corrected["speechRecord"][2] |= {"speech": "○乙君　訂正します。", "updateTime": "2025-09-01 10:00:00"}
    api.records = [corrected, *MEETINGS[1:], meeting(700, "2025-01-31")]
    assert crawl_days(tmp_path, api, "2025-01-01", "2025-01-31") == 0
    assert crawl_days(tmp_path, api, "2025-01-01", "2025-01-31", checked_since="2099-01-01") == 2
    assert "1 meetings are new, 1 corrected, 0 gone" in capfd.readouterr().err
    assert rows(tmp_path)[0]["text"].endswith("○乙君　訂正します。")
    assert len(rows(tmp_path)) == 16
    assert crawl_days(tmp_path, api, "2025-01-01", "2025-01-31") == 0


def test_diet_window_read_before_its_minutes_settled_is_asked_again(tmp_path, api):
    crawl_days(tmp_path, api, "2025-01-01", "2025-01-31")
    (record,) = (tmp_path / "crawl" / ".cache" / "s").glob("*/*/window.json")
    early = json.loads(record.read_text()) | {"read_on": "2025-02-20"}
    record.write_text(json.dumps(early))
    assert crawl_days(tmp_path, api, "2025-01-01", "2025-01-31", settled_after_days=20) == 0
    assert crawl_days(tmp_path, api, "2025-01-01", "2025-01-31") == 2
    assert crawl_days(tmp_path, api, "2025-01-01", "2025-01-31") == 0


def test_diet_damaged_page_in_the_cache_is_asked_anew(tmp_path, api):
    crawl_days(tmp_path, api, "2025-01-01", "2025-02-28")
    page = next((tmp_path / "crawl" / ".cache" / "s").glob("*/2025-01*/page-000001"))
    page.write_bytes(page.read_bytes()[:-5])
    assert crawl_days(tmp_path, api, "2025-01-01", "2025-02-28") == 2


class Killed(BaseException):
    """No handler of errors may see it."""


def killed_at(patch, moment):
    """From the given change of a file on, none comes to pass: what a kill leaves on the disk."""
    left = [moment]

    def dying(change):
        def called(*values, **named):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return change(*values, **named)

        return called

    for name in ("replace", "unlink", "rmdir"):
        patch.setattr(os, name, dying(getattr(os, name)))


def read_again(folder, window, pages):
    """What a crawl does with a window that is stale or damaged; the number of meetings that it then has."""
    cache = WindowCache(folder)
    cache.kept(window)
    reading = cache.reading(window, datetime.date(2025, 6, 1), None)
    for number, page in enumerate(pages):
        (reading / f"page-{number:06d}").write_bytes(page)
    cache.keep(window, pages)
    assert cache.kept(window) == [window]
    return len(cache.meetings(window))


@pytest.mark.parametrize("state", ["absent", "whole", "damaged"])
@pytest.mark.parametrize("moment", range(14))
def test_diet_cache_after_a_kill_at_any_moment_is_gone_on_with(tmp_path, monkeypatch, moment, state):
    window = Window(datetime.date(2025, 1, 1), datetime.date(2025, 1, 31))
    old, new = ([answer(number) for number in numbers] for numbers in ((1, 2), (1, 2, 3)))
    if state != "absent":
        assert read_again(tmp_path, window, old) == 2
    if state == "damaged":
        (tmp_path / window.name / "page-000001").write_bytes(b"{")
    with monkeypatch.context() as patch, contextlib.suppress(Killed):
        killed_at(patch, moment)
        read_again(tmp_path, window, new)
    for kept in WindowCache(tmp_path).kept(window):
        assert len(WindowCache(tmp_path).meetings(kept)) in (2, 3)
    assert read_again(tmp_path, window, new) == 3
    assert [path.name for path in tmp_path.iterdir()] == [window.name]


def answer(number):
    """A page with one meeting."""
    facts = {"numberOfRecords": 3, "numberOfReturn": 1, "startRecord": number, "nextRecordPosition": None}
    return json.dumps({**facts, "meetingRecord": [meeting(number, "2025-01-05")]}).encode()


def test_diet_cache_lies_where_the_environment_says(tmp_path, api, monkeypatch):
    monkeypatch.setenv("KAJIYA_CACHE", str(tmp_path / "shared"))
    assert crawl_days(tmp_path, api, "2025-01-01", "2025-01-31") == 2
    assert crawl_days(tmp_path / "another", api, "2025-01-01", "2025-01-31") == 0
    assert not (tmp_path / "crawl" / ".cache").exists()


def test_diet_houses_are_kept_apart(tmp_path, api):
    crawl_days(tmp_path, api, "2025-01-01", "2025-01-31")
    assert crawl_days(tmp_path, api, "2025-01-01", "2025-01-31", houses=["衆議院"]) == 2


def said(speeches):
    fields = ("speechID", "speechOrder", "speaker", "speech")
    return {"speeches": [dict(zip(fields, (str(n), n, *one), strict=True)) for n, one in enumerate(speeches)]}


@pytest.mark.parametrize(
    ("speech", "paragraph"),
    [
        (
            "○議長（甲君）　開きます。\r\n\r\n　　　　─────\r\n　日程第一。",
            "○議長（甲君）　開きます。\n日程第一。",
        ),
        ("○甲君\r\n　開きます。", "○甲君　開きます。"),
        ("〔拍手〕", "○甲　〔拍手〕"),
        ("○甲君　次の件。\r\n　○請願の件　三件", "○甲君　次の件。\n○請願の件　三件"),
    ],
)
def test_diet_speech_is_one_paragraph_that_begins_with_its_speaker(speech, paragraph):
    text = meeting_text(said([("会議録情報", "令和七年"), ("甲", speech), ("乙", "○乙君　はい。")]))
    assert text == f"{paragraph}\n\n○乙君　はい。"
