"""Conversations of several turns whose replies need what was said before, and pairs of answers to compare."""

import random
from pathlib import Path
from typing import Any

from kajiya.sample.answer_key import AnswerKey, write_lines
from kajiya.sample.deck import Deck
from kajiya.sample.evaluation import wrong_objects
from kajiya.sample.facts import Fact, read_data
from kajiya.sample.instructions import FORBIDDEN_GENERATOR, Message
from kajiya.sample.prose import POLITE, Writer


def write_chat(root: Path, rng: random.Random, count: int, key: AnswerKey) -> None:
    """Conversations of two to four questions; in one of a hundred a single turn is by the forbidden generator."""
    deck = Deck(rng)
    records: list[dict[str, Any]] = [
        {"id": f"chat-{line:04}", "messages": _chat(rng, deck), "license": "CC0-1.0", "generator": "human"}
        for line in range(count)
    ]
    for record in rng.sample(records, max(1, count // 100)):
        record["messages"][-1]["generator"] = FORBIDDEN_GENERATOR
        _plant(key, "chat/human.jsonl", record["id"])
    write_lines(root / "human.jsonl", records)


def write_preferences(root: Path, rng: random.Random, count: int, key: AnswerKey) -> None:
    """Pairs of answers: true against false, helpful against evasive, polite against rude.

    In one of fifty the rejected answer is by the forbidden generator.
    """
    deck = Deck(rng)
    records = [_pair(rng, deck, f"pair-{line:04}") for line in range(count)]
    for record in rng.sample(records, max(1, count // 50)):
        record["rejected"]["generator"] = FORBIDDEN_GENERATOR
        _plant(key, "preferences/human.jsonl", record["id"])
    write_lines(root / "human.jsonl", records)


def _plant(key: AnswerKey, path: str, record_id: str) -> None:
    key.add("forbidden_generator", record_id, path=path, generator=FORBIDDEN_GENERATOR)


def _chat(rng: random.Random, deck: Deck) -> list[Message]:
    writer, frames = Writer(rng, POLITE), read_data("evaluation.yaml")["chat"]
    messages: list[Message] = []
    if rng.random() < 0.3:
        system = rng.choice(read_data("evaluation.yaml")["instructions"]["system"])
        messages.append({"role": "system", "content": system})
    facts = deck.draw(rng.choice([2, 2, 3]))
    for turn, fact in enumerate(facts):
        asked = rng.choice(frames["follow" if turn else "preface"]) + _question(writer, fact)
        answer = writer.expand(rng.choice(frames["answer"]), o=fact.object, more=writer.state(fact))
        messages += _exchange(asked, answer)
        if turn == 0 and rng.random() < 0.4:
            again = rng.choice(frames["again_assistant"]).replace("{o}", fact.object)
            messages += _exchange(rng.choice(frames["again_user"]), again)
    if rng.random() < 0.7:
        messages += _look_back(rng, facts)
    return messages


def _look_back(rng: random.Random, facts: list[Fact]) -> list[Message]:
    """A question that nothing but the conversation itself answers."""
    frames = read_data("evaluation.yaml")["chat"]
    if rng.random() < 0.5:
        answer = rng.choice(frames["first_assistant"]).replace("{o}", facts[0].object)
        return _exchange(rng.choice(frames["first_user"]), answer)
    listed = "、".join(fact.object for fact in facts)
    return _exchange(rng.choice(frames["list_user"]), frames["list_assistant"].replace("{list}", listed))


def _pair(rng: random.Random, deck: Deck, record_id: str) -> dict[str, Any]:
    writer, frames = Writer(rng, POLITE), read_data("evaluation.yaml")["preferences"]
    (fact,) = deck.draw(1)
    (wrong,) = wrong_objects(rng, fact, 1)
    good = writer.expand(rng.choice(frames["answer"]), o=fact.object, more=writer.state(fact))
    kind = rng.choice(["wrong", "wrong", "wrong", "evasive", "rude"])
    bad = writer.expand(rng.choice(frames[kind]), o=fact.object, w=wrong)
    return {
        "id": record_id,
        "prompt": [{"role": "user", "content": _question(writer, fact)}],
        "chosen": {"content": good, "generator": "human"},
        "rejected": {"content": bad, "generator": "human"},
        "license": "CC0-1.0",
        "generator": "human",
    }


def _question(writer: Writer, fact: Fact) -> str:
    frame = writer.rng.choice(fact.relation.frames["instruction"])
    return writer.expand(frame, s=fact.subject, o=fact.object)


def _exchange(asked: str, answer: str) -> list[Message]:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
