"""Answers of the Diet record API, JSON or XML, as values; and a meeting's minutes as one text.

https://kokkai.ndl.go.jp/api.html. The last page has no next position: JSON gives null, XML leaves
the element out.
"""

import re
from dataclasses import dataclass
from typing import Any

import orjson
from lxml import etree

MEETING_FIELDS = (
    "issueID", "imageKind", "session", "nameOfHouse", "nameOfMeeting", "issue", "date", "meetingURL",
)  # fmt: skip
SPEECH_FIELDS = ("speechID", "speechOrder", "speaker", "speech", "updateTime")

# "○議長（尾辻秀久君）　これより..." and "○北村経夫君　ただいま...": who speaks, then U+3000.
_SPEAKER = re.compile(r"○([^\n　]{1,80})(?:　+|\n[　 ]*)")
_RULE_LINE = re.compile(r"^[─━—―‐\-=＝・　 ]+$", re.MULTILINE)
_EDGES = re.compile(r"^[　 \t]+|[　 \t]+$", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n{2,}")


class AnswerError(Exception):
    """The API answered with an error body; the message is NDL's."""


class NotAnAnswerError(Exception):
    """Neither an answer nor an error: cut off, or from something in between."""


@dataclass(frozen=True)
class Answer:
    """One page: `next_position` is None on the last one."""

    number_of_records: int
    next_position: int | None
    meetings: list[dict[str, Any]]


def parse_answer(body: bytes) -> Answer:
    """Read a page in either form. Raises AnswerError for NDL's error body, whatever the HTTP status."""
    return _parse_xml(body) if body.lstrip().startswith(b"<") else _parse_json(body)


def _parse_json(body: bytes) -> Answer:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotAnAnswerError(f"not JSON: {error}") from None
    if not isinstance(data, dict):
        raise NotAnAnswerError(f"expected an object, found {type(data).__name__}")
    if "message" in data:
        raise AnswerError(" ".join([data["message"], *(data.get("details") or [])]))
    if "numberOfRecords" not in data:
        raise NotAnAnswerError(f"no numberOfRecords among {', '.join(data) or 'nothing'}")
    meetings = [
        {
            **{name: meeting.get(name) for name in MEETING_FIELDS},
            "speeches": [
                {name: speech.get(name) for name in SPEECH_FIELDS}
                for speech in meeting.get("speechRecord") or []
            ],
        }
        for meeting in data.get("meetingRecord") or []
    ]
    return Answer(int(data["numberOfRecords"]), _number(data.get("nextRecordPosition")), meetings)


def _parse_xml(body: bytes) -> Answer:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise NotAnAnswerError(f"not XML: {error}") from None
    problems = root.findall(".//diagnostic/message") + root.findall(".//diagnostic/details")
    if problems:
        raise AnswerError(" ".join(problem.text or "" for problem in problems))
    count = root.findtext("numberOfRecords")
    if count is None:
        raise NotAnAnswerError("no numberOfRecords")
    meetings = [
        {
            **{name: meeting.findtext(name) or None for name in MEETING_FIELDS},
            "session": _number(meeting.findtext("session")),
            "speeches": [
                {
                    **{name: speech.findtext(name) or None for name in SPEECH_FIELDS},
                    "speechOrder": _number(speech.findtext("speechOrder")),
                }
                for speech in meeting.findall("speechRecord")
            ],
        }
        for meeting in root.iter("meetingRecord")
    ]
    return Answer(int(count), _number(root.findtext("nextRecordPosition")), meetings)


def _number(value: Any) -> int | None:
    return None if value in (None, "") else int(value)


def meeting_title(meeting: dict[str, Any]) -> str:
    """E.g. 第212回国会 参議院 本会議 第9号."""
    parts = [f"第{meeting['session']}回国会", *(meeting[name] for name in MEETING_FIELDS[3:6])]
    return " ".join(part for part in parts if part)


def updated(meeting: dict[str, Any]) -> str:
    """When NDL last changed any speech of the meeting, as it says so; empty where it does not."""
    return max((speech["updateTime"] or "" for speech in meeting["speeches"]), default="")


def meeting_text(meeting: dict[str, Any]) -> str:
    """The speeches in their order, one paragraph each; within a paragraph no line is blank.

    A paragraph begins with who speaks, as the minutes print it: `○議長（尾辻秀久君）　これより...`. So
    the speakers stay recoverable from the text alone, and a model reads what a person would.
    Order 0 is the list of those present.
    """
    speeches = {speech["speechID"]: speech for speech in meeting["speeches"] if speech["speechOrder"] != 0}
    ordered = sorted(speeches.values(), key=lambda speech: speech["speechOrder"])
    texts = [speech_text(speech["speech"] or "", speech["speaker"]) for speech in ordered]
    return "\n\n".join(text for text in texts if text)


def speech_text(speech: str, speaker: str | None) -> str:
    """One speech without the layout of the printed minutes: indents, rule lines, blank lines.

    speaker: named where the speech itself does not say who speaks.
    """
    text = speech.replace("\r\n", "\n").replace("\r", "\n")
    marked = _SPEAKER.match(text)
    label, words = (marked[1], text[marked.end() :]) if marked else (speaker, text)
    words = _RULE_LINE.sub("", _EDGES.sub("", words))
    words = _BLANK_LINES.sub("\n", words).strip("\n")
    return f"○{label}　{words}" if label and words else words
