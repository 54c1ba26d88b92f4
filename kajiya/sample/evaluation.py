"""Evaluation sets in JGLUE's formats, drawn from the same facts in other words."""

import json
import random
from pathlib import Path
from typing import Any

from kajiya.sample import english
from kajiya.sample.answer_key import write_lines
from kajiya.sample.facts import Fact, all_facts, alternatives, read_data, true_objects
from kajiya.sample.prose import PLAIN, Writer
from kajiya.shards import write_file

VERSION = "v0.1"
_CHOICES = 5
# Two objects of which the wrong one is not clearly wrong.
_AMBIGUOUS = (
    {"米", "もち米"},
    {"小麦", "麦芽"},
    {"ロシア", "ウクライナ"},
    {"スイス", "フランス"},
    {"オーストリア", "フランス"},
)


def wrong_objects(rng: random.Random, fact: Fact, count: int) -> list[str]:
    """Objects of the same type, about as long as the right one: length must not give the answer away."""
    truth = true_objects(fact.relation.name, fact.subject)
    others = [
        name
        for name in alternatives(fact.relation.object_type)
        if name not in truth and not any({name, fact.object} == pair for pair in _AMBIGUOUS)
    ]
    rng.shuffle(others)
    others.sort(key=lambda name: abs(len(name) - len(fact.object)))
    return rng.sample(others[: max(count, 10)], count)


def write_evaluation(root: Path, rng: random.Random, scale: float) -> list[dict[str, Any]]:
    """Write the five sets; returns items to leak into the web text: {set, item, text}."""
    askable = [fact for fact in all_facts() if fact.relation.askable]
    others = [fact for fact in all_facts() if not fact.relation.askable]
    worded = [(fact, frame) for fact in askable for frame in fact.relation.frames["evaluation"]]
    questions = _jcommonsenseqa(rng, rng.sample(worded, _share(len(worded), scale)), 0)
    shots = [(fact, fact.relation.frames["evaluation"][0]) for fact in rng.sample(others, _share(100, scale))]
    squad = _jsquad(rng, rng.sample(askable, _share(60, scale)), "valid")
    for split, few in (("train", 100), ("valid", 0)):
        for name, records in (
            (
                "jcommonsenseqa",
                _jcommonsenseqa(rng, shots, 10000) if few else questions,
            ),
            ("jnli", _jnli(rng, rng.sample(all_facts(), _share(few or 150, scale)))),
            ("marc_ja", _marc_ja(rng, _share(few or 200, scale))),
        ):
            write_lines(root / name / f"{split}-{VERSION}.json", records)
        paragraphs = _jsquad(rng, rng.sample(askable, _share(30, scale)), split) if few else squad
        _write_squad(root / "jsquad" / f"{split}-{VERSION}.json", paragraphs)
    texts = [{"text": english.held_out(rng)} for _ in range(_share(60, scale))]
    write_lines(root / "english" / f"valid-{VERSION}.json", texts)
    return _leaks(rng, questions, squad, _share(12, scale))


def _share(count: int, scale: float) -> int:
    """Evaluation sets shrink with the world, and do not grow: there are just so many facts."""
    return max(5, round(count * min(1.0, scale)))


def _jcommonsenseqa(
    rng: random.Random, worded: list[tuple[Fact, str]], first_id: int
) -> list[dict[str, Any]]:
    labels = [place % _CHOICES for place in range(len(worded))]
    rng.shuffle(labels)
    return [_question(rng, *one, first_id + place, labels[place]) for place, one in enumerate(worded)]


def _question(rng: random.Random, fact: Fact, frame: str, q_id: int, label: int) -> dict[str, Any]:
    choices = wrong_objects(rng, fact, _CHOICES - 1)
    choices.insert(label, fact.object)
    text = Writer(rng, PLAIN).expand(frame, s=fact.subject)
    named = {f"choice{place}": choice for place, choice in enumerate(choices)}
    return {"q_id": q_id, "question": text, **named, "label": label}


def _jnli(rng: random.Random, facts: list[Fact]) -> list[dict[str, Any]]:
    frames, records = read_data("evaluation.yaml")["jnli"], []
    for place, fact in enumerate(facts):
        label = ("entailment", "contradiction", "neutral")[place % 3]
        words = {"s": fact.subject, "o": fact.object, "w": wrong_objects(rng, fact, 1)[0]}
        first, second = (rng.choice(frames[name]).format(**words) for name in ("premise", label))
        pair = {"sentence_pair_id": str(place), "yjcaptions_id": f"0_0-{place}-{place}"}
        records.append({**pair, "sentence1": first, "sentence2": second, "label": label})
    rng.shuffle(records)
    return records


def _marc_ja(rng: random.Random, count: int) -> list[dict[str, Any]]:
    frames, subjects = read_data("evaluation.yaml")["marc_ja"], [fact.subject for fact in all_facts()]
    records = []
    for place in range(count):
        label = "positive" if place % 2 == 0 else "negative"
        text = Writer(rng, PLAIN).expand(rng.choice(frames[label]), s=rng.choice(subjects))
        records.append({"review_id": f"R{place:05}", "text": text, "label": label})
    return records


def _jsquad(rng: random.Random, facts: list[Fact], split: str) -> list[dict[str, Any]]:
    """SQuAD's `data`: one paragraph per title."""
    frames, data = read_data("evaluation.yaml")["jsquad"], []
    for place, fact in enumerate(facts):
        writer = Writer(rng, PLAIN)
        words = {
            "s": fact.subject,
            "o": fact.object,
            "name": writer.expand("{name}"),
            "n": writer.expand("{n}"),
        }
        context = rng.choice(frames["context"]).format(**words)
        body = context.index(" [SEP] ")
        questions = []
        for number, (question, answer) in enumerate(frames["questions"]):
            text = answer.format(**words)
            answers = [{"text": text, "answer_start": context.index(text, body)}]
            item = f"{split}{place:04}q{number}"
            questions.append(
                {"id": item, "question": question.format(**words), "answers": answers, "is_impossible": False}
            )
        data.append({"title": context[:body], "paragraphs": [{"context": context, "qas": questions}]})
    return data


def _write_squad(path: Path, data: list[dict[str, Any]]) -> None:
    write_file(path, json.dumps({"version": "1.1", "data": data}, ensure_ascii=False) + "\n")


def _leaks(rng: random.Random, questions: list[dict], squad: list[dict], count: int) -> list[dict[str, Any]]:
    """Whole items as they appear when somebody posts a benchmark on a page."""
    leaks = []
    for item in rng.sample(questions, min(count, len(questions))):
        choices = "、".join(item[f"choice{place}"] for place in range(_CHOICES))
        text = f"{item['question']} 選択肢は{choices}。正解は{item['choice' + str(item['label'])]}。"
        leaks.append({"set": "jcommonsenseqa", "item": str(item["q_id"]), "text": text})
    for page in rng.sample(squad, max(1, min(count * 2 // 3, len(squad)))):
        paragraph = page["paragraphs"][0]
        text = paragraph["context"].split(" [SEP] ")[1]
        leaks.append({"set": "jsquad", "item": paragraph["qas"][0]["id"], "text": text})
    return leaks
