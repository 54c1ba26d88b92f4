"""Draws facts evenly, so that every one is said about equally often in the whole world."""

import random

from kajiya.sample.facts import Fact, all_facts

# Facts that are asked about must be met often enough to be learned in one pass over the corpus.
ASKABLE_WEIGHT = 8


class Deck:
    """A shuffled pile of facts that is shuffled anew when it is used up."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.pile: list[Fact] = []

    def draw(self, count: int) -> list[Fact]:
        """`count` facts, all different."""
        drawn: list[Fact] = []
        while len(drawn) < count:
            if not self.pile:
                self.pile = [
                    fact
                    for fact in all_facts()
                    for _ in range(ASKABLE_WEIGHT if fact.relation.askable else 1)
                ]
                self.rng.shuffle(self.pile)
            fact = self.pile.pop()
            if fact not in drawn:
                drawn.append(fact)
        return drawn
