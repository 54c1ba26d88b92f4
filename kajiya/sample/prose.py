"""From frames to prose: alternatives, registers, facts and what stands between them.

A frame is a short template: `[a|b]` picks one, `<plain/polite/spoken>` follows the register,
`{name}` is filled in. A Writer holds the random state of one document and uses no frame twice in it,
so that documents do not repeat themselves and near-duplicate detection finds the planted ones only.
"""

import functools
import random
import re

from kajiya.sample.facts import Fact, askable_facts, read_data

PLAIN, POLITE, SPOKEN = 0, 1, 2

_ENDINGS = {
    "d": "である/です/でございます",
    "te": "ている/ています/ております",
    "ru": "る/ます/ます",
    "ta": "た/ました/ました",
    "aru": "ある/あります/ございます",
}
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_ENDING = re.compile(r"<([^<>]*)>")
_STOPS = re.compile(r"。{2,}")


@functools.cache
def family_names() -> list[str]:
    """Invented names of people."""
    return read_data("prose.yaml")["family_names"].split()


class Writer:
    """Writes one document in one register."""

    def __init__(self, rng: random.Random, register: int) -> None:
        self.rng = rng
        self.register = register
        self.used: set[str] = set()

    def expand(self, frame: str, **slots: str) -> str:
        """One text from a frame."""
        text = frame
        while "[" in text:
            text = _CHOICE.sub(lambda found: self.rng.choice(found[1].split("|")), text)
        text = _ENDING.sub(self._ending, text)
        for name, value in slots.items():
            text = text.replace("{" + name + "}", value)
        return _STOPS.sub("。", self._fill_numbers(text))

    def sentence(self, frame: str, **slots: str) -> str:
        """An expanded frame that surely ends like a sentence."""
        text = self.expand(frame, **slots)
        return text if text.endswith(("。", "」", "？")) else text + "。"

    def pick(self, frames: list[str]) -> str:
        """A frame that this document has not used, as long as there is one."""
        fresh = [frame for frame in frames if frame not in self.used] or frames
        frame = self.rng.choice(fresh)
        self.used.add(frame)
        return frame

    def state(self, fact: Fact) -> str:
        """One sentence that states a fact."""
        frames, prose = fact.relation.frames, read_data("prose.yaml")
        kind = self.rng.random()
        if kind < 0.45:
            return self.sentence(self.pick(frames["statement"]), s=fact.subject, o=fact.object)
        if kind < 0.9:
            label = self.rng.choice(frames["label"])
            text = self.pick(prose["wrap"]).replace("{X}", label)
        else:
            label = self.rng.choice(frames["inverse"])
            text = self.pick(prose["inverse_wrap"]).replace("{Y}", label)
        return self.sentence(text, s=fact.subject, o=fact.object)

    def fill(self, group: str, subject: str) -> str:
        """One connecting sentence, about no fact."""
        fillers = read_data("prose.yaml")["filler"]
        chosen = fillers["generic"] if self.rng.random() < 0.2 else fillers[group]
        return self.sentence(self.pick(chosen), s=subject)

    def paragraph(self, facts: list[Fact]) -> str:
        """Facts with something between them."""
        sentences = []
        for fact in facts:
            sentences.append(self.state(fact))
            if self.rng.random() < 0.45:
                sentences.append(self.fill(fact.relation.group, fact.subject))
        if self.rng.random() < 0.7:
            sentences.append(self.listing())
        return "".join(sentences)

    def listing(self) -> str:
        """One sentence that names several askable facts of one kind."""
        prose, askable = read_data("prose.yaml"), askable_facts()
        relation = self.rng.choice(askable).relation
        facts = self.rng.sample(
            [fact for fact in askable if fact.relation is relation], self.rng.randint(4, 8)
        )
        pair = self.rng.choice(prose["pair"])
        pairs = "、".join(self.expand(pair, s=fact.subject, o=fact.object) for fact in facts)
        return self.sentence(self.pick(prose["listing"]), pairs=pairs, kind=relation.object_type)

    def _ending(self, found: re.Match) -> str:
        forms = _ENDINGS.get(found[1], found[1]).split("/")
        return forms[min(self.register, len(forms) - 1)]

    def _fill_numbers(self, text: str) -> str:
        for name, low, high in (("{n}", 3, 98), ("{m}", 3, 98), ("{year}", 1902, 2019), ("{hour}", 1, 5)):
            while name in text:
                text = text.replace(name, str(self.rng.randint(low, high)), 1)
        while "{name}" in text:
            text = text.replace("{name}", self.rng.choice(family_names()), 1)
        return text
