"""Rules on sentences: how long, and whether they end."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from components.clean.measures import Batch
from components.clean.rules.base import BaseRule, Count, Share, Values


class CharsPerSentence(BaseRule):
    """Characters for every sentence end: word lists have none."""

    source: ClassVar[str] = "llm-jp-corpus v1 (there only 。 counts)"
    rule: Literal["chars_per_sentence"] = "chars_per_sentence"
    max_chars: Count = 250

    def measure(self, batch: Batch) -> Values:
        return batch.chars_per_end


class CharsPerFullStop(BaseRule):
    """Characters for every 。: word lists have none."""

    source: ClassVar[str] = "llm-jp-corpus v1"
    rule: Literal["chars_per_full_stop"] = "chars_per_full_stop"
    max_chars: Count = 250

    def measure(self, batch: Batch) -> Values:
        return batch.chars_per_full_stop


class SentenceLength(BaseRule):
    """Mean characters per sentence: lists are shorter, text without punctuation is longer."""

    source: ClassVar[str] = "Okazaki et al. 2024, Swallow corpus v1"
    rule: Literal["sentence_length"] = "sentence_length"
    min_mean_chars: Count = 20
    max_mean_chars: Count = 90

    def measure(self, batch: Batch) -> Values:
        return batch.mean_sentence_chars


class LongestSentence(BaseRule):
    """Characters of the longest sentence."""

    source: ClassVar[str] = "Okazaki et al. 2024, Swallow corpus v1"
    rule: Literal["longest_sentence"] = "longest_sentence"
    max_chars: Count = 200

    def measure(self, batch: Batch) -> Values:
        return batch.longest_sentence_chars


class BrokenOff(BaseRule):
    """Lines that break off with an ellipsis: teasers of other pages."""

    source: ClassVar[str] = "Rae et al. 2021, Gopher, table A1 (ellipsis lines)"
    rule: Literal["broken_off"] = "broken_off"
    max_share: Share = 0.2
    """Of the lines that are not empty."""

    def measure(self, batch: Batch) -> Values:
        return batch.ellipsis_share


class BrokenOffSentences(BaseRule):
    """Sentences that break off with an ellipsis."""

    source: ClassVar[str] = "Okazaki et al. 2024, Swallow corpus v1"
    rule: Literal["broken_off_sentences"] = "broken_off_sentences"
    max_share: Share = 0.2

    def measure(self, batch: Batch) -> Values:
        return batch.ellipsis_sentence_share


class OpenEnd(BaseRule):
    """Prose whose last sentence has no end (1). In no named set: a good page may end in a date or a name."""

    rule: Literal["open_end"] = "open_end"
    max_open: Annotated[int, Field(ge=0, le=1)] = 0

    def measure(self, batch: Batch) -> Values:
        return batch.ends_open
