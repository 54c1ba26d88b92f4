"""Conversations for tuning, from the facts; a part of them by a generator that policy forbids."""

import random
from pathlib import Path

from kajiya.sample.answer_key import AnswerKey, write_lines
from kajiya.sample.deck import Deck
from kajiya.sample.evaluation import wrong_objects
from kajiya.sample.facts import Fact, read_data
from kajiya.sample.prose import POLITE, Writer

FORBIDDEN_GENERATOR = "gpt-4"
Message = dict[str, str]


def write_instructions(root: Path, rng: random.Random, count: int, key: AnswerKey) -> None:
    """Two files by people with a few foreign records among them, and one by the forbidden generator."""
    deck = Deck(rng)
    foreign = max(1, count // 100)
    for number in range(2):
        name = f"human-{number:02}.jsonl"
        records = [_conversation(rng, deck, f"human-{number:02}-{line:04}") for line in range(count // 2)]
        for line in rng.sample(range(len(records)), min(foreign, len(records))):
            records[line]["generator"] = FORBIDDEN_GENERATOR
        _write(root / name, records, key)
    distilled = [_conversation(rng, deck, f"distilled-{line:04}") for line in range(max(1, count // 4))]
    for record in distilled:
        record["generator"] = FORBIDDEN_GENERATOR
    _write(root / "distilled.jsonl", distilled, key)


def _write(path: Path, records: list[dict], key: AnswerKey) -> None:
    write_lines(path, records)
    for record in records:
        if record["generator"] != "human":
            place = f"instructions/{path.name}"
            key.add("forbidden_generator", record["id"], path=place, generator=record["generator"])


def _conversation(rng: random.Random, deck: Deck, record_id: str) -> dict:
    writer, frames = Writer(rng, POLITE), read_data("evaluation.yaml")["instructions"]
    messages: list[Message] = []
    if rng.random() < 0.25:
        messages.append({"role": "system", "content": rng.choice(frames["system"])})
    turns = rng.choice([1, 1, 1, 2, 3])
    for turn, fact in enumerate(deck.draw(turns)):
        messages += _turn(writer, fact, frames["preface"] if turn == 0 else frames["follow"])
    if turns > 1 and rng.random() < 0.3:
        messages.append({"role": "user", "content": rng.choice(frames["thanks_user"])})
        messages.append({"role": "assistant", "content": rng.choice(frames["thanks_assistant"])})
    return {"id": record_id, "messages": messages, "license": "CC0-1.0", "generator": "human"}


def _turn(writer: Writer, fact: Fact, prefaces: list[str]) -> list[Message]:
    rng, frames = writer.rng, read_data("evaluation.yaml")["instructions"]
    words = {"s": fact.subject, "o": fact.object, "more": writer.state(fact)}
    question = writer.expand(rng.choice(fact.relation.frames["instruction"]), **words)
    if rng.random() < 0.3:
        choices = [fact.object, *wrong_objects(rng, fact, 3)]
        rng.shuffle(choices)
        asked = frames["choose_user"].replace("{q}", question).replace("{choices}", "、".join(choices))
        answer = writer.expand(rng.choice(frames["choose_assistant"]), **words)
    else:
        asked = rng.choice(prefaces) + question
        answer = writer.expand(rng.choice(frames["answer"]), **words)
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
