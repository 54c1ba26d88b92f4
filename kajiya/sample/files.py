"""English documents for the generic connector, a few of them spoilt."""

import random
from pathlib import Path

from kajiya.sample import defects, english
from kajiya.sample.answer_key import AnswerKey, write_lines
from kajiya.sample.deck import Deck
from kajiya.sample.planted import Planted, list_planted

PER_FILE = 150
_SPAM = [
    "BUY NOW",
    "FREE MONEY",
    "CLICK HERE",
    "CASINO BONUS",
    "LOSE WEIGHT FAST",
    "HOT DEAL",
    "100% GUARANTEED",
]


def write_files(root: Path, rng: random.Random, count: int, key: AnswerKey) -> int:
    """Write `english-NN.jsonl`; returns the bytes of text."""
    deck = Deck(rng)
    texts = [Planted(english.document(rng, deck)) for _ in range(count)]
    texts += _spoilt(rng, texts, max(1, count // 50))
    rng.shuffle(texts)
    for place, text in enumerate(texts):
        text.id = f"files:{_file_name(place)}:{place % PER_FILE}"
    records = [_record(rng, place, text.text) for place, text in enumerate(texts)]
    for first in range(0, len(records), PER_FILE):
        write_lines(root / _file_name(first), records[first : first + PER_FILE])
    list_planted(texts, key)
    return sum(len(text.text.encode()) for text in texts)


def _file_name(place: int) -> str:
    return f"english-{place // PER_FILE:02}.jsonl"


def _record(rng: random.Random, place: int, text: str) -> dict[str, str]:
    date = f"{rng.randint(2015, 2024)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    url = f"https://reading-room.example.org/cards/{place}"
    return {"text": text, "url": url, "title": text.partition("\n")[0][:80], "date": date}


def _spoilt(rng: random.Random, good: list[Planted], some: int) -> list[Planted]:
    found = []
    for origin, other, marked in zip(*([iter(rng.sample(good, some * 3))] * 3), strict=True):
        copy = _near_copy(rng, origin.text)
        similarity = {"jaccard": round(defects.jaccard(origin.text, copy), 3)}
        found += [
            Planted(origin.text, "exact_duplicate", of=origin),
            Planted(copy, "near_duplicate", similarity, of=origin),
            Planted(_spam(rng), "spam"),
            Planted(other.text[: rng.randint(20, 60)], "too_short"),
        ]
        _mark(rng, marked)
    return found


def _near_copy(rng: random.Random, text: str) -> str:
    paragraphs = text.split("\n\n")
    paragraphs[0] = "Reprint: " + paragraphs[0]
    return "\n\n".join(paragraphs).replace("the ", "this ", rng.randint(1, 3))


def _spam(rng: random.Random) -> str:
    lines = [" !!! ".join(rng.sample(_SPAM, 4)) for _ in range(5)]
    return "\n".join(rng.choices(lines, k=20))


def _mark(rng: random.Random, page: Planted) -> None:
    address = f"{rng.choice(['desk', 'archive', 'j.doe'])}{rng.randint(1, 99)}@reading-room.example.org"
    page.text = f"{page.text}\n\nWrite to {address} for copies."
    page.kind, page.details = "email", {"value": address}
