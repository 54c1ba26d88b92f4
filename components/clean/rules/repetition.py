"""Rules on what comes again and again."""

from typing import ClassVar, Literal

from components.clean.measures import Batch
from components.clean.rules.base import BaseRule, Share, Size, Values


class DuplicateLines(BaseRule):
    """Lines that stood in the same text before."""

    source: ClassVar[str] = "Rae et al. 2021, Gopher, table A1"
    rule: Literal["duplicate_lines"] = "duplicate_lines"
    max_share: Share = 0.3

    def measure(self, batch: Batch) -> Values:
        return batch.duplicate_line_share


class DuplicateNgrams(BaseRule):
    """Character n-grams that stood in the same text before."""

    source: ClassVar[str] = "Rae et al. 2021, Gopher, table A1; HojiChar (5-grams, 0.33)"
    rule: Literal["duplicate_ngrams"] = "duplicate_ngrams"
    n: Size = 10
    max_share: Share = 0.3

    def measure(self, batch: Batch) -> Values:
        return batch.duplicate_ngram_share(self.n)


class TopNgram(BaseRule):
    """The share of the text covered by one character n-gram, repeated over and over."""

    source: ClassVar[str] = "Rae et al. 2021, Gopher, table A1"
    rule: Literal["top_ngram"] = "top_ngram"
    n: Size = 5
    max_share: Share = 0.3

    def measure(self, batch: Batch) -> Values:
        return batch.top_ngram_share(self.n)


class TopNgramFrequency(BaseRule):
    """The share of one n-gram, the most frequent, among all."""

    source: ClassVar[str] = "Okazaki et al. 2024, Swallow corpus v1, after Gopher"
    rule: Literal["top_ngram_frequency"] = "top_ngram_frequency"
    n: Size = 2
    max_share: Share = 0.2

    def measure(self, batch: Batch) -> Values:
        return batch.top_ngram_frequency(self.n)


class ZlibRatio(BaseRule):
    """Compressed size over size: repetition compresses too well, noise not at all. Rejects short good text."""

    source: ClassVar[str] = "llm-jp-corpus v1"
    rule: Literal["zlib_ratio"] = "zlib_ratio"
    min_ratio: Share = 0.3
    max_ratio: Share = 0.7

    def measure(self, batch: Batch) -> Values:
        return batch.zlib_ratio
