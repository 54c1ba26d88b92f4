import json
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest

from kajiya.errors import KajiyaError
from kajiya.sample.faults import FAULT_KINDS, Faults
from kajiya.sample.server import serve


def meeting(number: int, date: str = "2025-03-01", house: str = "衆議院") -> dict:
    issue_id = f"121705{number:03}X001{date.replace('-', '')}"
    speech = {
        "speechOrder": 1,
        "speaker": "青柳一夫",
        "speakerYomi": None,
        "speakerGroup": "無所属",
        "speakerPosition": None,
        "speakerRole": None,
        "speech": f"○青柳一夫君　第{number}の川について伺います。",
        "startPage": 0,
        "createTime": "2025-04-01 01:02:43",
        "updateTime": "2025-04-01 01:02:43",
        "speechURL": f"https://kokkai.ndl.go.jp/txt/{issue_id}/1",
    }
    header = {**speech, "speechOrder": 0, "speaker": "会議録情報", "speech": "令和七年三月一日"}
    return {
        "issueID": issue_id,
        "imageKind": "会議録",
        "searchObject": 0,
        "session": 217,
        "nameOfHouse": house,
        "nameOfMeeting": "環境委員会",
        "issue": "第1号",
        "date": date,
        "closing": None,
        "speechRecord": [
            {"speechID": f"{issue_id}_{order:03}", **said} for order, said in enumerate((header, speech))
        ],
        "meetingURL": f"https://kokkai.ndl.go.jp/txt/{issue_id}",
    }


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    root = tmp_path_factory.mktemp("diet")
    dates = [f"2025-03-{day:02}" for day in range(1, 29)] + ["2025-04-01"] * 4
    houses = ["衆議院", "参議院"] * 16
    records = [meeting(number, *pair) for number, pair in enumerate(zip(dates, houses, strict=True))]
    (root / "meetings.json").write_text(json.dumps({"meetingRecord": records}), encoding="utf-8")
    with serve(root) as base, httpx.Client(base_url=f"{base}/api/") as client:

        def ask(endpoint: str, **query: str) -> tuple[int, dict]:
            answer = client.get(endpoint, params={"recordPacking": "json", **query})
            return answer.status_code, answer.json()

        ask.client = client
        yield ask


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "datasets/resolve/abc"
    folder.mkdir(parents=True)
    (folder / "a.gz").write_bytes(bytes(range(200)) * 10)
    return tmp_path


def test_file_asked_with_range_gives_that_part(site):
    with serve(site) as base:
        answer = httpx.get(f"{base}/datasets/resolve/abc/a.gz", headers={"Range": "bytes=5-8"})
    assert answer.status_code == 206
    assert answer.content == bytes([5, 6, 7, 8])
    assert answer.headers["content-range"] == "bytes 5-8/2000"
    assert answer.headers["etag"]
    assert answer.headers["last-modified"]
    assert answer.headers["x-repo-commit"] == "abc"


def test_file_range_of_another_version_gives_the_whole(site):
    with serve(site) as base:
        headers = {"Range": "bytes=5-8", "If-Range": '"other"'}
        answer = httpx.get(f"{base}/datasets/resolve/abc/a.gz", headers=headers)
    assert (answer.status_code, len(answer.content)) == (200, 2000)


@pytest.mark.parametrize("path", ["/datasets/none.gz", "/%2e%2e/secret", "/datasets"])
def test_path_that_is_no_file_of_the_root_is_not_found(site, path):
    (site.parent / "secret").write_text("x")
    with serve(site) as base:
        assert httpx.get(base + path).status_code == 404


def test_port_in_use_is_said_with_the_port(site):
    with serve(site) as base:
        port = int(base.rpartition(":")[2])
        with pytest.raises(KajiyaError, match=f"port {port} .* in use"), serve(site, port):
            pass


def test_missing_root_is_said(tmp_path):
    with pytest.raises(KajiyaError, match="no such folder"), serve(tmp_path / "none"):
        pass


def test_meetings_that_are_no_json_are_said(tmp_path):
    (tmp_path / "meetings.json").write_text("{")
    with pytest.raises(KajiyaError, match=r"meetings\.json"), serve(tmp_path):
        pass


def outcomes(root: Path, faults: Faults, count: int) -> list[str]:
    """What each of `count` requests met."""
    met = []
    with serve(root, faults=faults) as base, httpx.Client() as client:
        for _ in range(count):
            try:
                answer = client.get(f"{base}/datasets/resolve/abc/a.gz")
            except (httpx.RemoteProtocolError, httpx.ReadError):
                met.append("cut")
                continue
            met.append(f"{answer.status_code} {len(answer.content)} {answer.headers.get('retry-after')}")
    return met


def test_faults_show_every_kind_and_end_at_the_limit(site):
    faults = Faults(seed=1, rate=1, limit=120, slow_seconds=0, retry_after_seconds=7)
    met = outcomes(site, faults, 123)
    refusals = {"429 8 7", "429 8 None", "503 8 None", "500 8 None", "307 0 None"}
    assert set(met) == refusals | {"cut", "200 1000 None", "200 2000 None"}
    assert met[120:] == ["200 2000 None"] * 3
    assert set(faults.counts) == {*FAULT_KINDS, "requests"}


@pytest.mark.parametrize(
    ("kind", "same_tag", "body"),
    [
        ("stale", True, slice(None, None, -1)),
        ("whole", True, slice(None)),
        ("redirect", True, slice(5, None)),
    ],
)
def test_fault_of_one_kind_answers_a_range_in_its_way(site, kind, same_tag, body):
    content = (site / "datasets/resolve/abc/a.gz").read_bytes()
    with serve(site, faults=Faults(1, rate=1, kinds=(kind,), limit=1)) as base:
        url, ask = f"{base}/datasets/resolve/abc/a.gz", {"Range": "bytes=5-"}
        answer = httpx.get(url, headers=ask, follow_redirects=True)
        true_tag = httpx.get(url).headers["etag"]
    assert answer.content == content[body]
    assert (answer.headers["etag"] == true_tag) is same_tag


def test_faults_of_one_seed_come_in_one_order(site):
    faults = Faults(seed=3, rate=0.5, kinds=("busy", "unavailable"))
    assert outcomes(site, faults, 12) == outcomes(site, faults, 12)


def test_whole_world_served_answers_the_api_below_diet(tmp_path):
    (tmp_path / "diet").mkdir()
    (tmp_path / "diet/meetings.json").write_text(json.dumps({"meetingRecord": [meeting(1)]}))
    with serve(tmp_path) as base:
        answer = httpx.get(f"{base}/diet/api/meeting", params={"any": "川", "recordPacking": "json"})
    assert answer.json()["numberOfRecords"] == 1


def test_meetings_paged_to_the_end_come_once_each_and_newest_first(api):
    found, start = [], 1
    while start is not None:
        status, body = api("meeting", startRecord=str(start), maximumRecords="10", **{"from": "2025-01-01"})
        assert status == 200
        assert body["numberOfRecords"] == 32
        assert body["numberOfReturn"] == len(body["meetingRecord"])
        found += body["meetingRecord"]
        start = body["nextRecordPosition"]
    assert len({one["issueID"] for one in found}) == 32
    dates = [one["date"] for one in found]
    assert dates == sorted(dates, reverse=True)
    assert found[0]["speechRecord"][0]["speaker"] == "会議録情報"


@pytest.mark.parametrize(("endpoint", "size"), [("meeting", 3), ("meeting_list", 30), ("speech", 30)])
def test_page_without_a_size_has_the_default(api, endpoint, size):
    assert api(endpoint, until="2025-12-31")[1]["numberOfReturn"] == size


def test_window_of_dates_holds_its_days_only(api):
    _, body = api("meeting", **{"from": "2025-04-01", "until": "2025-04-30", "maximumRecords": "10"})
    assert body["numberOfRecords"] == 4
    assert body["nextRecordPosition"] is None


def test_window_without_meetings_has_no_record_key(api):
    status, body = api("meeting", **{"from": "2025-05-01", "until": "2025-05-02"})
    assert (status, body["numberOfRecords"]) == (200, 0)
    assert "meetingRecord" not in body


def test_invalid_house_is_ignored_in_silence(api):
    assert api("meeting", nameOfHouse="参議院")[1]["numberOfRecords"] == 16
    assert api("meeting", nameOfHouse="貴族院")[1]["numberOfRecords"] == 32


def test_meeting_list_names_speeches_without_their_text(api):
    speech = api("meeting_list", any="川")[1]["meetingRecord"][0]["speechRecord"][0]
    assert set(speech) == {"speechID", "speechOrder", "speaker", "speechURL"}


def test_speech_gives_hits_only_and_flat(api):
    _, body = api("speech", any="第7の川")
    (record,) = body["speechRecord"]
    assert record["speech"] == "○青柳一夫君　第7の川について伺います。"
    assert record["nameOfMeeting"] == "環境委員会"
    assert "updateTime" not in record


@pytest.mark.parametrize(
    ("endpoint", "query", "code"),
    [
        ("meeting", {}, "19007"),
        ("meeting", {"startRecord": "1"}, "19007"),
        ("meeting", {"any": "川", "maximumRecords": "11"}, "19006"),
        ("speech", {"any": "川", "maximumRecords": "101"}, "19006"),
        ("meeting", {"any": "川", "maximumRecords": "x"}, "19005"),
        ("meeting", {"any": "川", "startRecord": "0"}, "19004"),
        ("meeting", {"any": "川", "startRecord": "33"}, "19004"),
        ("meeting", {"from": "2025/01/01"}, "19012"),
        ("meeting", {"until": "20250101"}, "19013"),
        ("meeting", {"from": "2025-02-30"}, "19018"),
        ("meeting", {"until": "2025-13-01"}, "19019"),
        ("meeting", {"from": "2025-03-02", "until": "2025-03-01"}, "19014"),
        ("speech", {"speakerRole": "委員"}, "19028"),
        ("speech", {"speechID": "1"}, "19026"),
        ("meeting", {"any": "川" * 300}, "19020"),
    ],
)
def test_wrong_condition_is_refused_by_its_number(api, endpoint, query, code):
    status, body = api(endpoint, **query)
    assert status == 400
    assert code in json.dumps(body, ensure_ascii=False)
    assert set(body) <= {"message", "details"}


def test_last_page_in_xml_has_no_next_position(api):
    answer = api.client.get("meeting", params={"from": "2025-04-01", "maximumRecords": "10"})
    root = ElementTree.fromstring(answer.content)
    assert root.find("nextRecordPosition") is None
    assert len(root.findall("records/record/recordData/meetingRecord/speechRecord")) == 8


def test_error_in_xml_has_a_diagnostic(api):
    answer = api.client.get("speech", params={"speakerRole": "委員"})
    assert answer.status_code == 400
    diagnostic = ElementTree.fromstring(answer.content).find("diagnostics/diagnostic")
    assert "19011" in diagnostic.findtext("message")
    assert "19028" in diagnostic.findtext("details")
