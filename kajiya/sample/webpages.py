"""Good web pages: notes, questions and answers, quizzes. Lines as a text extractor leaves them."""

import random

from kajiya.sample.deck import Deck
from kajiya.sample.facts import Fact, read_data
from kajiya.sample.prose import PLAIN, POLITE, Writer


def page(rng: random.Random, deck: Deck) -> str:
    """One page of a random kind."""
    kind = rng.choices([note, faq, quiz], [3, 2, 5])[0]
    return kind(rng, deck)


def note(rng: random.Random, deck: Deck) -> str:
    """A diary or a column: an opening, paragraphs, a closing."""
    writer = Writer(rng, rng.choice([PLAIN, POLITE, POLITE]))
    facts = deck.draw(rng.randint(14, 30))
    lines = _frame(writer, "web", facts[0].subject)
    while facts:
        count = rng.randint(2, 4)
        lines.append(writer.paragraph(facts[:count]))
        facts = facts[count:]
    if rng.random() < 0.6:
        lines.append(_closing(writer, "web"))
    return "\n".join(lines)


def faq(rng: random.Random, deck: Deck) -> str:
    """Questions with an answer and a remark each."""
    writer = Writer(rng, POLITE)
    facts = deck.draw(rng.randint(9, 16))
    lines = _frame(writer, "faq", facts[0].subject)
    lines += _questions(writer, facts, remark=0.7)
    lines.append(_closing(writer, "faq"))
    return "\n".join(lines)


def quiz(rng: random.Random, deck: Deck) -> str:
    """Many short questions, answers below."""
    writer = Writer(rng, POLITE)
    facts = deck.draw(rng.randint(16, 34))
    lines = _frame(writer, "quiz", facts[0].subject)
    lines += _questions(writer, facts, remark=0.4)
    lines.append(_closing(writer, "quiz"))
    return "\n".join(lines)


def _questions(writer: Writer, facts: list[Fact], remark: float) -> list[str]:
    ask, reply = writer.rng.choice(read_data("prose.yaml")["answer_mark"])
    lines = []
    for number, fact in enumerate(facts, 1):
        frames = fact.relation.frames["quiz"]
        if writer.rng.random() < 0.6:
            frames = read_data("prose.yaml")["loose_question"]
        kind = fact.relation.object_type
        question = writer.expand(writer.rng.choice(frames), s=fact.subject, o=fact.object, kind=kind)
        lines.append(ask.replace("{k}", str(number)) + question.removesuffix("。") + "？")
        answer = f"{reply}{fact.object}。"
        chance = writer.rng.random()
        if chance < remark / 2:
            answer += writer.state(fact)
        elif chance < remark:
            answer += writer.fill(fact.relation.group, fact.subject)
        lines.append(answer)
    return lines


def _frame(writer: Writer, kind: str, subject: str) -> list[str]:
    prose = read_data("prose.yaml")
    title = writer.expand(writer.pick(prose["title"][kind]), s=subject)
    return [title, writer.expand(writer.pick(prose["opening"][kind]), s=subject)]


def _closing(writer: Writer, kind: str) -> str:
    return writer.expand(writer.pick(read_data("prose.yaml")["closing"][kind]))
