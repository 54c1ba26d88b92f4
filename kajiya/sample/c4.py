"""C4/mC4 shards: web pages by the line, good ones and planted ones, shuffled over the shards."""

import gzip
import json
import random
from pathlib import Path

from kajiya.sample import defects, english, webpages
from kajiya.sample.answer_key import AnswerKey
from kajiya.sample.deck import Deck
from kajiya.sample.facts import all_facts
from kajiya.sample.planted import Planted, list_planted
from kajiya.shards import write_file


def pages(
    rng: random.Random, deck: Deck, count: int, leaks: list[dict], articles: list[tuple[str, str]]
) -> list[Planted]:
    """About `count` pages; leaks: evaluation items to plant; articles: (document id, text) to copy."""
    good = [Planted(webpages.page(rng, deck)) for _ in range(count)]
    some = max(1, round(count * 0.025))
    chosen = rng.sample(good, some * 5)  # an original stays as it is: none is both copied and marked
    found = [*good, *_broken(rng, deck, some), *_copies(rng, chosen[: some * 2])]
    found += [_leaking(rng, deck, leak) for leak in leaks]
    for document_id, text in articles:
        copy = rng.choice(["【転載】", "百科事典から："]) + text
        found.append(Planted(copy, "near_duplicate_across_sources", {"of": document_id}))
    for page in chosen[some * 2 :]:
        _mark(rng, page)
    rng.shuffle(found)
    return found


def write_shards(
    root: Path, revision: str, shards: list[list[Planted]], rng: random.Random, key: AnswerKey
) -> None:
    """Write the shards, giving every page its id, and list the planted ones in the key."""
    folder = root / "datasets/allenai/c4/resolve" / revision / "multilingual"
    for number, shard in enumerate(shards):
        lines = []
        for line, page in enumerate(shard):
            page.id = f"c4:{number}:{line}"
            lines.append(json.dumps(_record(rng, page), ensure_ascii=False, separators=(",", ":")) + "\n")
        name = f"c4-ja.tfrecord-{number:05d}-of-{len(shards):05d}.json.gz"
        write_file(folder / name, gzip.compress("".join(lines).encode(), mtime=0))
    list_planted([page for shard in shards for page in shard], key)


def _record(rng: random.Random, page: Planted) -> dict[str, str]:
    host = f"{rng.choice(['blog', 'www', 'news', 'kurashi', 'manabi', 'tabi', 'shop'])}{rng.randint(1, 99)}.example.{rng.choice(['jp', 'com', 'net'])}"
    time = f"2019-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}Z"
    return {
        "text": page.text,
        "timestamp": time,
        "url": f"https://{host}/{rng.choice(['entry', 'archives', 'p'])}/{rng.randint(100, 99999)}",
    }


def _broken(rng: random.Random, deck: Deck, some: int) -> list[Planted]:
    """Pages that should not survive the cleaning."""
    found = []
    for _ in range(some):
        good = webpages.note(rng, deck)
        subject = rng.choice(all_facts()).subject
        found += [
            Planted(defects.menu_page(rng), "menu"),
            Planted(defects.truncated(rng, good), "truncated"),
            Planted(defects.advertisement(rng, subject), "spam"),
            Planted(defects.adult(rng), "adult"),
            Planted(defects.mojibake(rng, webpages.note(rng, deck)), "mojibake"),
            Planted(webpages.note(rng, deck)[: rng.randint(30, 90)], "too_short"),
        ]
    found += [Planted(english.document(rng, Deck(rng)), "wrong_language") for _ in range(max(1, some // 3))]
    return found


def _copies(rng: random.Random, originals: list[Planted]) -> list[Planted]:
    found: list[Planted] = []
    for page in originals:
        if len(found) % 2:
            found.append(Planted(page.text, "exact_duplicate", of=page))
        else:
            text = defects.near_copy(rng, page.text)
            similarity = round(defects.jaccard(page.text, text), 3)
            found.append(Planted(text, "near_duplicate", {"jaccard": similarity}, of=page))
    return found


def _mark(rng: random.Random, page: Planted) -> None:
    """Plant in a good page what cleaning must take out of it."""
    kind = rng.choice(["email", "phone", "menu_lines"])
    plant = {"email": defects.with_email, "phone": defects.with_phone, "menu_lines": defects.with_menu}[kind]
    page.text, value = plant(rng, page.text)
    page.kind, page.details = kind, {"value": value}


def _leaking(rng: random.Random, deck: Deck, leak: dict) -> Planted:
    lines = webpages.note(rng, deck).split("\n")
    lines.insert(rng.randint(1, len(lines)), leak["text"])
    return Planted("\n".join(lines), "leaked_evaluation", {"set": leak["set"], "item": leak["item"]})
