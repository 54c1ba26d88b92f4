"""Rules on words of bad pages."""

from typing import ClassVar, Literal

from components.clean.measures import Batch
from components.clean.rules.base import BaseRule, Count, Values
from components.clean.words import ADULT, ADVERTISING


class AdultWords(BaseRule):
    """Pornographic pages, by how many different words of a list they use."""

    source: ClassVar[str] = "llm-jp-corpus v1; the list is our own and short"
    rule: Literal["adult_words"] = "adult_words"
    max_distinct: Count = 2

    def measure(self, batch: Batch) -> Values:
        return batch.distinct_words(ADULT)


class AdvertisingWords(BaseRule):
    """Advertising, by how many different words of a list it uses."""

    source: ClassVar[str] = "llm-jp-corpus v1; the list is our own and short"
    rule: Literal["advertising_words"] = "advertising_words"
    max_distinct: Count = 5

    def measure(self, batch: Batch) -> Values:
        return batch.distinct_words(ADVERTISING)
