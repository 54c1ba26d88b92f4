"""Committee meetings in the shape of the Diet record API; every speaker is invented."""

import datetime
import random
from typing import Any

from kajiya.sample.deck import Deck
from kajiya.sample.facts import Fact, read_data
from kajiya.sample.prose import SPOKEN, Writer, family_names

_GIVEN = "一夫 恵子 健太 直美 正樹 由紀 大輔 美和 隆 さやか 誠 千春 浩二 真理 修 理恵".split()  # noqa: SIM905
_COMMITTEES = ("文部科学委員会", "農林水産委員会", "国土交通委員会", "環境委員会", "総務委員会", "内閣委員会")
_GROUPS = ("見本クラブ", "例文の会", "無所属")
_WEEKDAYS = "月火水木金土日"
SESSION = 217
FIRST_DAY = datetime.date(2025, 1, 28)


def meetings(rng: random.Random, deck: Deck, count: int) -> list[dict[str, Any]]:
    """Meetings of one session, newest first, as the API orders them."""
    found, issues = [], dict.fromkeys([(h, c) for h in ("衆議院", "参議院") for c in _COMMITTEES], 0)
    days = sorted(FIRST_DAY + datetime.timedelta(days=rng.randint(0, 140)) for _ in range(count))
    for number, day in enumerate(days):
        place = rng.choice(list(issues))
        issues[place] += 1
        found.append(_meeting(rng, deck, day, number, place, issues[place]))
    return sorted(found, key=lambda one: (one["date"], one["issueID"]), reverse=True)


def is_closing_only(number: int) -> bool:
    """Every twentieth meeting is opened and closed at once: a record without content."""
    return number % 20 == 19


def _meeting(
    rng: random.Random, deck: Deck, day: datetime.date, number: int, place: tuple[str, str], issue: int
) -> dict[str, Any]:
    house, committee = place
    house_code = "05" if house == "衆議院" else "15"
    issue_id = f"1{SESSION}{house_code}{100 + number:03}X{issue:03}{day:%Y%m%d}"
    people = _people(rng)
    speeches = [_header(day, house, committee, issue, people)]
    speeches += _short(people) if is_closing_only(number) else _discussion(rng, deck, people)
    url = f"https://kokkai.ndl.go.jp/txt/{issue_id}"
    return {
        "issueID": issue_id,
        "imageKind": "会議録",
        "searchObject": 0,
        "session": SESSION,
        "nameOfHouse": house,
        "nameOfMeeting": committee,
        "issue": f"第{issue}号",
        "date": day.isoformat(),
        "closing": True if number % 25 == 24 else None,
        "speechRecord": [_record(issue_id, order, day, said) for order, said in enumerate(speeches)],
        "meetingURL": url,
        "pdfURL": url.replace("/txt/", "/img/"),
    }


def _record(issue_id: str, order: int, day: datetime.date, said: "Speech") -> dict[str, Any]:
    speaker, position, group, text = said
    entered = day + datetime.timedelta(days=28)
    return {
        "speechID": f"{issue_id}_{order:03}",
        "speechOrder": order,
        "speaker": speaker,
        "speakerYomi": None,
        "speakerGroup": group,
        "speakerPosition": position,
        "speakerRole": None,
        "speech": text.replace("\n", "\r\n"),
        "startPage": order // 8,
        "createTime": f"{entered} 01:02:43",
        "updateTime": f"{entered} 18:29:58",
        "speechURL": f"https://kokkai.ndl.go.jp/txt/{issue_id}/{order}",
    }


Speech = tuple[str, str | None, str | None, str]


def _people(rng: random.Random) -> list[str]:
    return [f"{family}{rng.choice(_GIVEN)}" for family in rng.sample(family_names(), 5)]


def _header(day: datetime.date, house: str, committee: str, issue: int, people: list[str]) -> Speech:
    members = "\n".join(f"　　　　　　{name}君" for name in people[1:4])
    text = (
        f"令和七年{day.month}月{day.day}日（{_WEEKDAYS[day.weekday()]}曜日）\n　　　　午前九時開議\n　出席委員\n"
        f"　　　委員長　{people[0]}君\n{members}\n　　　国務大臣　{people[4]}君\n"
        f"　　　　─────────────\n　　　{house}{committee}　第{issue}号"
    )
    return "会議録情報", None, None, text


def _short(people: list[str]) -> list[Speech]:
    text = f"○委員長（{people[0]}君）　これより会議を開きます。\n　都合により、直ちに散会いたします。"
    return [(people[0], "委員長", _GROUPS[0], text)]


def _discussion(rng: random.Random, deck: Deck, people: list[str]) -> list[Speech]:
    frames, writer = read_data("prose.yaml")["diet"], Writer(rng, SPOKEN)
    chair, *members, minister = people
    opening = writer.expand(
        writer.pick(frames["open"]), chair=chair, topic=rng.choice(frames["topics"]), name=members[0]
    )
    speeches: list[Speech] = [(chair, "委員長", _GROUPS[0], opening)]
    for turn in range(rng.randint(9, 14)):
        member, facts = members[turn % len(members)], deck.draw(rng.randint(3, 5))
        speeches.append((member, None, rng.choice(_GROUPS), f"○{member}君　" + _question(writer, facts)))
        speeches.append((minister, "国務大臣", None, f"○国務大臣（{minister}君）　" + _reply(writer, facts)))
    closing = writer.expand(writer.pick(frames["close"]), chair=chair)
    return [*speeches, (chair, "委員長", _GROUPS[0], closing)]


def _question(writer: Writer, facts: list[Fact]) -> str:
    frames = read_data("prose.yaml")["diet"]
    text = _say(writer, frames["ask"], facts[0].subject) + writer.state(facts[0])
    text += writer.listing()
    for fact in facts[1:]:
        text += (
            _say(writer, frames["filler"])
            + ("\n　" if writer.rng.random() < 0.5 else "")
            + writer.state(fact)
        )
    return text + "\n　" + _say(writer, frames["want"])


def _reply(writer: Writer, facts: list[Fact]) -> str:
    frames = read_data("prose.yaml")["diet"]
    said = "".join(writer.state(fact) for fact in facts[:2])
    return f"{_say(writer, frames['reply'])}\n　{said}{_say(writer, frames['reply_end'])}"


def _say(writer: Writer, frames: list[str], subject: str = "") -> str:
    return writer.sentence(writer.rng.choice(frames), s=subject)
