"""English pages on the same facts."""

import functools
import random

from kajiya.sample.deck import Deck
from kajiya.sample.facts import Fact, read_data
from kajiya.sample.prose import PLAIN, Writer


@functools.cache
def names() -> dict[str, str]:
    """English words of the entities that have any."""
    pairs = (pair.split("=") for pair in read_data("english.yaml")["names"].split())
    return {japanese: english.replace("_", " ") for japanese, english in pairs}


def speakable(fact: Fact) -> bool:
    """Whether there are English words for a fact."""
    return bool(fact.relation.frames["english"]) and fact.subject in names() and fact.object in names()


def document(rng: random.Random, deck: Deck) -> str:
    """One page: a title, an opening, paragraphs of facts and asides, a closing."""
    frames, writer = read_data("english.yaml"), Writer(rng, PLAIN)
    facts = [fact for fact in deck.draw(60) if speakable(fact)][: rng.randint(6, 12)]
    subject = names()[facts[0].subject]
    lines = [_write(writer, frames["title"], s=subject), _write(writer, frames["opening"], s=subject)]
    while facts:
        count = rng.randint(2, 4)
        lines.append(" ".join(_passage(writer, fact) for fact in facts[:count]))
        facts = facts[count:]
    return "\n\n".join([*lines, _write(writer, frames["closing"])])


def held_out(rng: random.Random) -> str:
    """A text for measuring perplexity: its sentences stand in no page."""
    writer, places = Writer(rng, PLAIN), _short_names()
    frames = read_data("english.yaml")["held_out"]
    chosen = (writer.pick(frames) for _ in range(5))
    return " ".join(writer.expand(frame, a=rng.choice(places), b=rng.choice(places)) for frame in chosen)


def _short_names() -> list[str]:
    """Names that fill no n-gram of the decontamination by themselves."""
    return sorted({name for name in names().values() if len(name) < 9 and name.isalpha()})


def _passage(writer: Writer, fact: Fact) -> str:
    frames = read_data("english.yaml")
    words = {"s": names()[fact.subject], "o": names()[fact.object]}
    own = frames["question"] if writer.rng.random() < 0.2 else fact.relation.frames["english"]
    text = _write(writer, own, **words)
    text = writer.expand(writer.rng.choice(frames["link"])) + text[0].upper() + text[1:]
    return text + " " + _write(writer, frames["filler"]) if writer.rng.random() < 0.7 else text


def _write(writer: Writer, frames: list[str], **words: str) -> str:
    text = writer.expand(writer.pick(frames), **words)
    return text[0].upper() + text[1:]
