"""Write the whole sample world: see docs/formats.md for the layout."""

import json
import random
from pathlib import Path

from kajiya.report import Report
from kajiya.sample import c4, dump, minutes, wikitext
from kajiya.sample.answer_key import AnswerKey
from kajiya.sample.deck import Deck
from kajiya.sample.dialogues import write_chat, write_preferences
from kajiya.sample.evaluation import write_evaluation
from kajiya.sample.facts import all_facts, entities
from kajiya.sample.files import write_files
from kajiya.sample.instructions import write_instructions
from kajiya.sample.planted import Planted
from kajiya.sample.settings import SampleSettings
from kajiya.shards import write_file

# At scale 1: a little over 3 MB of text.
ARTICLES, WEB_PAGES, MEETINGS, ENGLISH_PAGES, CONVERSATIONS = 400, 480, 44, 160, 400
CHATS, PAIRS = 200, 300


def write_world(settings: SampleSettings, out: Path) -> Report:
    """Write every source, the tuning data, the evaluation sets and the answer key below `out`."""
    key, scale, report = AnswerKey(), settings.scale, Report()
    leaks = write_evaluation(out / "evaluation", _random(settings, "evaluation"), scale)
    pages = _wikipedia(settings, out / "wikipedia", key)
    web = _c4(settings, out / "c4", leaks, pages, key)
    records = _diet(settings, out / "diet", key)
    english_bytes = write_files(out / "files", _random(settings, "files"), _share(ENGLISH_PAGES, scale), key)
    write_instructions(
        out / "instructions", _random(settings, "instructions"), _share(CONVERSATIONS, scale), key
    )
    write_chat(out / "chat", _random(settings, "chat"), _share(CHATS, scale), key)
    write_preferences(out / "preferences", _random(settings, "preferences"), _share(PAIRS, scale), key)
    key.write(out / "answer_key.jsonl")
    text_bytes = {
        "wikipedia": sum(len(page.plain.encode()) for _, page in pages),
        "c4": sum(len(page.text.encode()) for page in web),
        "diet": sum(len(speech["speech"].encode()) for one in records for speech in one["speechRecord"]),
        "files": english_bytes,
    }
    report.figures = {
        "text_bytes": text_bytes,
        "text_bytes_total": sum(text_bytes.values()),
        "facts": len(all_facts()),
        "askable_facts": sum(fact.relation.askable for fact in all_facts()),
        "pages": len(pages),
        "web_pages": len(web),
        "meetings": len(records),
        "planted": key.counts(),
    }
    return report


def _wikipedia(settings: SampleSettings, root: Path, key: AnswerKey) -> list[tuple[int, wikitext.Page]]:
    rng = _random(settings, "wikipedia")
    deck, titles = Deck(rng), list(entities())
    rng.shuffle(titles)
    titles = titles[: _share(ARTICLES, settings.scale)]
    pages = wikitext.other_namespaces() + [wikitext.article(rng, deck, title) for title in titles]
    few = max(2, len(titles) // 20)
    pages += [wikitext.redirect(rng, title) for title in rng.sample(titles, few)]
    pages += [wikitext.disambiguation(rng, title) for title in rng.sample(titles, few)]
    rng.shuffle(pages)
    numbered = dump.number_pages(rng, pages)
    dump.write_dump(root, settings.wiki_date, numbered)
    for page_id, page in numbered:
        if page.kind != "article":
            key.add(page.kind, f"wikipedia:{page_id}", title=page.title)
        for value in page.values:
            key.add("inline_template", f"wikipedia:{page_id}", value=value)
    return numbered


def _c4(
    settings: SampleSettings,
    root: Path,
    leaks: list[dict],
    pages: list[tuple[int, wikitext.Page]],
    key: AnswerKey,
) -> list[Planted]:
    rng = _random(settings, "c4")
    articles = [(f"wikipedia:{page_id}", page.plain) for page_id, page in pages if page.plain]
    copied = rng.sample(articles, max(1, len(articles) // 60))
    web = c4.pages(rng, Deck(rng), _share(WEB_PAGES, settings.scale), leaks, copied)
    shards = [web[first :: settings.c4_shards] for first in range(settings.c4_shards)]
    c4.write_shards(root, settings.c4_revision, shards, rng, key)
    return web


def _diet(settings: SampleSettings, root: Path, key: AnswerKey) -> list[dict]:
    rng = _random(settings, "diet")
    records = minutes.meetings(rng, Deck(rng), _share(MEETINGS, settings.scale))
    write_file(root / "meetings.json", json.dumps({"meetingRecord": records}, ensure_ascii=False) + "\n")
    for record in records:
        if len(record["speechRecord"]) == 2:
            key.add("without_content", f"diet:{record['issueID']}")
    return records


def _share(count: int, scale: float) -> int:
    return max(12, round(count * scale))


def _random(settings: SampleSettings, part: str) -> random.Random:
    """Random numbers of one part: another size of one part leaves the others as they are."""
    return random.Random(f"{settings.seed}/{part}")  # noqa: S311 - a repeatable world, no secret
