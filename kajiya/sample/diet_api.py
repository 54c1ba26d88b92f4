"""The Diet record API (kokkai.ndl.go.jp/api), answered from a list of meetings: pure functions.

Kept from the real service: the limits per request, results newest first, `nextRecordPosition` null
(in XML: absent) on the last page, the record key absent when nothing was found, the numbered
errors, and the silence about an invalid `nameOfHouse`, which is ignored.
"""

import datetime
import re
from typing import Any
from xml.etree import ElementTree

Meeting = dict[str, Any]
Query = dict[str, str]

LIMITS = {"meeting_list": 100, "meeting": 10, "speech": 100}
DEFAULTS = {"meeting_list": 30, "meeting": 3, "speech": 30}
HOUSES = ("衆議院", "参議院", "両院", "両院協議会")
CONDITIONS = [
    "any",
    "nameOfMeeting",
    "speaker",
    "nameOfHouse",
    "from",
    "until",
    "sessionFrom",
    "sessionTo",
    "issueFrom",
    "issueTo",
    "speakerPosition",
    "speakerGroup",
    "speakerRole",
    "speechNumber",
    "speechID",
    "issueID",
    "closing",
]
SPEECH_CONDITIONS = ("any", "speaker", "speakerPosition", "speakerGroup", "speakerRole", "speechID")


def answer(meetings: list[Meeting], endpoint: str, query: Query, query_bytes: int) -> tuple[int, dict]:
    """Status and body for one request; `meetings` in any order."""
    problem = _problem(endpoint, query, query_bytes)
    if problem:
        return 400, problem
    hits = _search(meetings, query)
    records = _records(hits, endpoint)
    start = int(query.get("startRecord", "1"))
    size = int(query.get("maximumRecords", DEFAULTS[endpoint]))
    if start > max(len(records), 1):
        return 400, _bad_input(f"(19004)startRecordには1～{len(records)}の値を指定してください。")
    page = records[start - 1 : start - 1 + size]
    following = start + len(page)
    body: dict[str, Any] = {
        "numberOfRecords": len(records),
        "numberOfReturn": len(page),
        "startRecord": start,
        "nextRecordPosition": following if following <= len(records) else None,
    }
    if page:
        body["speechRecord" if endpoint == "speech" else "meetingRecord"] = page
    return 200, body


def to_xml(body: dict[str, Any]) -> bytes:
    """The same answer with recordPacking=xml, where an absent value is an absent or empty element."""
    root = ElementTree.Element("data")
    if "message" in body:
        diagnostic = ElementTree.SubElement(ElementTree.SubElement(root, "diagnostics"), "diagnostic")
        ElementTree.SubElement(diagnostic, "message").text = body["message"]
        for detail in body.get("details", []):
            ElementTree.SubElement(diagnostic, "details").text = detail
        return ElementTree.tostring(root, encoding="utf-8")
    for name in ("numberOfRecords", "numberOfReturn", "startRecord", "nextRecordPosition"):
        if body[name] is not None:
            ElementTree.SubElement(root, name).text = str(body[name])
    key = next((name for name in ("meetingRecord", "speechRecord") if name in body), None)
    if key:
        records = ElementTree.SubElement(root, "records")
        for record in body[key]:
            data = ElementTree.SubElement(ElementTree.SubElement(records, "record"), "recordData")
            _fill(ElementTree.SubElement(data, key), record)
    return ElementTree.tostring(root, encoding="utf-8")


def _fill(element: ElementTree.Element, record: dict[str, Any]) -> None:
    for name, value in record.items():
        if name == "speechRecord":
            for speech in value:
                _fill(ElementTree.SubElement(element, name), speech)
        else:
            ElementTree.SubElement(element, name).text = "" if value is None else str(value)


def _problem(endpoint: str, query: Query, query_bytes: int) -> dict | None:
    if query_bytes > 2000:
        return {"message": "(19020)検索条件が長すぎます。"}
    if not any(query.get(name) for name in CONDITIONS):
        return {"message": "(19007)検索条件を指定してください。"}
    details = [*_bad_numbers(endpoint, query), *_bad_dates(query), *_bad_forms(query)]
    return _bad_input(*details) if details else None


def _bad_input(*details: str) -> dict:
    return {
        "message": "(19011)検索条件の入力に誤りがあります。",
        "details": [f"({place}) {detail}" for place, detail in enumerate(details)],
    }


def _bad_numbers(endpoint: str, query: Query) -> list[str]:
    details = []
    limit = LIMITS[endpoint]
    size = query.get("maximumRecords", "1")
    if not size.isascii() or not size.isdigit():
        details.append("(19005)maximumRecordsには数値を指定してください。")
    elif not 1 <= int(size) <= limit:
        details.append(f"(19006)maximumRecordsには1～{limit}の値を指定してください。")
    start = query.get("startRecord", "1")
    if not start.isascii() or not start.isdigit() or int(start) < 1:
        details.append("(19004)startRecordには1以上の値を指定してください。")
    return details


def _bad_dates(query: Query) -> list[str]:
    details, dates = [], {}
    for name, form, absent in (("from", 19012, 19018), ("until", 19013, 19019)):
        value = query.get(name)
        if not value:
            continue
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            details.append(f"({form}){name}:YYYY-MM-DDの形式で入力してください。")
            continue
        try:
            dates[name] = datetime.date.fromisoformat(value)
        except ValueError:
            details.append(f"({absent}){name}:存在しない日付です。")
    if len(dates) == 2 and dates["from"] > dates["until"]:
        details.append("(19014)from:untilより前の日付を入力してください。")
    return details


def _bad_forms(query: Query) -> list[str]:
    details = []
    if query.get("speechID") and not re.fullmatch(r"[0-9A-Z]{21}_\d{3,}", query["speechID"]):
        details.append("(19026)speechID:発言IDの形式が正しくありません。")
    if query.get("speakerRole") and query["speakerRole"] not in ("証人", "参考人", "公述人"):
        details.append("(19028)speakerRole:発言者役割を証人/参考人/公述人で入力してください。")
    return details


def _search(meetings: list[Meeting], query: Query) -> list[tuple[Meeting, list[dict]]]:
    """Meetings that match, newest first, each with its matching speeches."""
    hits = []
    for meeting in sorted(meetings, key=lambda one: (one["date"], one["issueID"]), reverse=True):
        if not _meeting_matches(meeting, query):
            continue
        speeches = meeting["speechRecord"]
        if any(query.get(name) for name in SPEECH_CONDITIONS):
            speeches = [speech for speech in speeches if _speech_matches(speech, query)]
        if speeches:
            hits.append((meeting, speeches))
    return hits


def _meeting_matches(meeting: Meeting, query: Query) -> bool:
    house = query.get("nameOfHouse", "")
    number = int(re.sub(r"\D", "", meeting["issue"]) or 0)
    return (
        (house not in HOUSES or house == meeting["nameOfHouse"])
        and query.get("from", "") <= meeting["date"] <= (query.get("until") or "9999")
        and _between(meeting["session"], query.get("sessionFrom"), query.get("sessionTo"))
        and _between(number, query.get("issueFrom"), query.get("issueTo"))
        and query.get("issueID", "") in ("", meeting["issueID"])
        and _any_part(query.get("nameOfMeeting", ""), meeting["nameOfMeeting"])
        and (query.get("closing") != "true" or bool(meeting["closing"]))
    )


def _speech_matches(speech: dict, query: Query) -> bool:
    return (
        all(word in speech["speech"] for word in query.get("any", "").split())
        and _any_part(query.get("speaker", ""), speech["speaker"])
        and query.get("speakerPosition", "") in (speech["speakerPosition"] or "")
        and query.get("speakerGroup", "") in (speech["speakerGroup"] or "")
        and query.get("speakerRole", "") in ("", speech["speakerRole"])
        and query.get("speechID", "") in ("", speech["speechID"])
    )


def _between(value: int, low: str | None, high: str | None) -> bool:
    return int(low or 0) <= value <= int(high or 10**9)


def _any_part(words: str, text: str) -> bool:
    return not words or any(word in text for word in words.split())


def _records(hits: list[tuple[Meeting, list[dict]]], endpoint: str) -> list[dict]:
    if endpoint == "meeting":
        return [meeting for meeting, _ in hits]
    records = []
    for meeting, speeches in hits:
        about = {name: value for name, value in meeting.items() if name != "speechRecord"}
        if endpoint == "speech":
            records += [_flat(about, speech) for speech in speeches]
        else:
            names = ("speechID", "speechOrder", "speaker", "speechURL")
            short = [{name: speech[name] for name in names} for speech in speeches]
            records.append({**about, "speechRecord": short})
    return records


def _flat(about: dict, speech: dict) -> dict:
    dates = {"createTime", "updateTime"}  # the real service gives them in `meeting` only
    return {
        "speechID": speech["speechID"],
        **{name: about[name] for name in about if name != "meetingURL"},
        **{name: speech[name] for name in speech if name not in dates},
        "meetingURL": about["meetingURL"],
    }
