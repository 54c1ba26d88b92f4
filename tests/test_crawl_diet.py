"""Diet minutes: whole meetings, each once, asked for as little as possible."""

import json

import pytest
from crawl_world import DIET, Source, crawl, meeting, rows, serve_source, settings
from pydantic import ValidationError

from kajiya.errors import KajiyaError


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setenv("KAJIYA_HTTP_WAIT_SECONDS", "0.01")
    monkeypatch.setenv("KAJIYA_WORKERS", "1")  # starting workers takes seconds


MEETINGS = [meeting(n, f"2025-{n % 4 + 1:02}-{n % 28 + 1:02}") for n in range(100)]


@pytest.fixture
def diet_folder(tmp_path):
    folder = tmp_path / "diet"
    folder.mkdir()
    extra = [meeting(900, "2025-02-02", "参議院"), meeting(901, "2025-02-03", kind="目次")]
    (folder / "meetings.json").write_text(json.dumps({"meetingRecord": MEETINGS + extra}))
    return folder


def test_diet_window_gives_every_meeting_once_in_order(tmp_path, diet_folder):
    report = crawl(tmp_path, {**DIET, "base_url": "sample"}, folder=diet_folder)
    found = rows(tmp_path)
    assert len({row["id"] for row in found}) == len(found) == 75 + 1
    assert [row["date"] for row in found] == sorted(row["date"] for row in found)
    assert found[0]["text"] == "○甲君　これより開きます。\n本日は晴れ。\n\n○乙君　はい。"
    assert found[0]["title"] == "第217回国会 衆議院 本会議 第1号"
    assert found[0]["license"] == "ndl-terms"
    assert report.flows["s"].rejected == {"not_minutes": 1}
    assert list(report.figures["inputs"]) == [
        "2025-01-01_2025-01-31",
        "2025-02-01_2025-02-28",
        "2025-03-01_2025-03-31",
    ]


def test_diet_house_takes_only_its_meetings(tmp_path, diet_folder):
    crawl(tmp_path, {**DIET, "houses": ["参議院"], "base_url": "sample"}, folder=diet_folder)
    assert [row["title"].split()[1] for row in rows(tmp_path)] == ["参議院"]


def test_diet_unknown_house_is_refused_before_asking():
    with pytest.raises(ValidationError, match="houses"):
        settings({**DIET, "houses": ["貴族院"]})


def diet_page(count, following, meetings):
    body = {"numberOfRecords": count, "nextRecordPosition": following, "meetingRecord": meetings}
    return {"/api/meeting": json.dumps(body).encode()}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (diet_page(3, None, MEETINGS[:2]), "2 different meetings arrived, numberOfRecords says 3"),
        (diet_page(2, None, [MEETINGS[0], MEETINGS[0]]), "1 different meetings arrived"),
        (
            {"/api/meeting": '{"message": "(19011)入力に誤り", "details": ["(0) x"]}'.encode()},
            r"refused: \(19011\)",
        ),
        ({"/api/meeting": b"<html>proxy</html>"}, "no answer of the Diet API"),
    ],
)
def test_diet_wrong_answer_under_http_200_is_an_error(tmp_path, monkeypatch, answer, message):
    monkeypatch.setenv("KAJIYA_HTTP_ATTEMPTS", "2")
    with serve_source(Source(answer)) as source, pytest.raises(KajiyaError, match=message):
        crawl(tmp_path, {**DIET, "until_date": "2025-01-31", "base_url": source.url})
    assert not (tmp_path / "crawl" / "s").exists()


def test_diet_refusal_is_followed_by_the_pause_too(tmp_path, monkeypatch):
    waits = []
    monkeypatch.setenv("KAJIYA_HTTP_WAIT_SECONDS", "0")
    monkeypatch.setattr("components.crawl.http.time.sleep", waits.append)
    values = {**DIET, "until_date": "2025-01-31", "pause_seconds": 3}
    with serve_source(Source(diet_page(1, None, MEETINGS[:1]), faults=["503", "close"])) as source:
        crawl(tmp_path, {**values, "base_url": source.url})
    assert waits == [3, 3, 3]


def test_diet_ignored_house_filter_is_noticed(tmp_path):
    values = {**DIET, "until_date": "2025-01-31", "houses": ["参議院"]}
    with (
        serve_source(Source(diet_page(1, None, MEETINGS[:1]))) as source,
        pytest.raises(KajiyaError, match="ignored the filter"),
    ):
        crawl(tmp_path, {**values, "base_url": source.url})


def test_diet_pages_of_a_broken_off_crawl_are_not_asked_again(tmp_path, diet_folder, monkeypatch):
    monkeypatch.setenv("KAJIYA_HTTP_ATTEMPTS", "1")
    first = (diet_page(1, None, MEETINGS[:1]), diet_page(1, None, MEETINGS[4:5]))
    values = {**DIET, "until_date": "2025-01-31"}
    with serve_source(Source(diet_page(2, 2, MEETINGS[:1]), faults=["", "503"])) as source:
        values["base_url"] = source.url
        with pytest.raises(KajiyaError, match="gave up"):
            crawl(tmp_path, values)
        source.requests.clear()
        source.files = diet_page(2, None, MEETINGS[4:5])
        crawl(tmp_path, values)
        assert [path for path, _ in source.requests if "startRecord=1&" in path] == []
    assert len(rows(tmp_path)) == len(first)
