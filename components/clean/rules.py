"""The rules a document must pass. Each measures one thing and says where its bound lies.

Thresholds are fields, so a rule set is data (rulesets.py) and a source may bring its own list.
"""

from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from components.clean.measures import HIRAGANA, KANJI, KATAKANA, LATIN, OTHER, Batch
from components.clean.words import ADULT, ADVERTISING
from kajiya.settings import Settings

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]

# Traces of a wrong decoding: replacement characters; C1 controls; UTF-8 read as CP932 (縺ゅ、繧、繝),
# as Latin-1 or CP1252 (ã‚, ï¼); Shift_JIS read as Latin-1 (‚ ƒ); EUC-JP read as CP932 (､ﾎ､ﾊ).
_DAMAGE = (
    r"[\u{FFFD}\x80-\x84\x86-\x9f\u{E000}-\u{F8FF}縺繧繝譁]|[ãâåæçèéïÂÃ][\u{80}-\u{BF}‚„…†‡ˆ‰‹Œ‘’“”•–—˜™š›œžŸ€ƒ]"
    r"|‚[\u{80}-\u{FF}]|[､｡･][ｦ-ﾟ]|・ｽ|ï¿½"
)


class Verdict(NamedTuple):
    """One rule's judgement of a batch: one entry per document."""

    passes: np.ndarray
    value: np.ndarray


class Length(Settings):
    """Enough text to learn from, and no dump of a database."""

    rule: Literal["length"] = "length"
    min_chars: Count = 1
    """Characters, white space aside."""
    max_chars: Count = 10_000_000

    def judge(self, batch: Batch) -> Verdict:
        return Verdict((batch.chars >= self.min_chars) & (batch.chars <= self.max_chars), batch.chars)


class Mojibake(Settings):
    """Text decoded with the wrong encoding; judged on the text as it came."""

    rule: Literal["mojibake"] = "mojibake"
    max_share: Share = 0.01
    """Traces of a wrong decoding per character."""

    def judge(self, batch: Batch) -> Verdict:
        share = batch.original_pattern_count(_DAMAGE) / np.maximum(batch.chars, 1)
        return Verdict(share <= self.max_share, share)


class JapaneseShare(Settings):
    """Kana and kanji among the characters."""

    rule: Literal["japanese_share"] = "japanese_share"
    min_share: Share = 0.5

    def judge(self, batch: Batch) -> Verdict:
        share = batch.class_share(HIRAGANA, KATAKANA, KANJI)
        return Verdict(share >= self.min_share, share)


class HiraganaShare(Settings):
    """Japanese sentences need hiragana; lists, tables and Chinese have none."""

    rule: Literal["hiragana_share"] = "hiragana_share"
    min_share: Share = 0.2

    def judge(self, batch: Batch) -> Verdict:
        share = batch.class_share(HIRAGANA)
        return Verdict(share >= self.min_share, share)


class KatakanaShare(Settings):
    """Lists of product names are mostly katakana."""

    rule: Literal["katakana_share"] = "katakana_share"
    max_share: Share = 0.5

    def judge(self, batch: Batch) -> Verdict:
        share = batch.class_share(KATAKANA)
        return Verdict(share <= self.max_share, share)


class LatinShare(Settings):
    """Letters among the characters, for English."""

    rule: Literal["latin_share"] = "latin_share"
    min_share: Share = 0.6

    def judge(self, batch: Batch) -> Verdict:
        share = batch.class_share(LATIN)
        return Verdict(share >= self.min_share, share)


class SymbolShare(Settings):
    """Punctuation and symbols among the characters: tables, ASCII art, markup."""

    rule: Literal["symbol_share"] = "symbol_share"
    max_share: Share = 0.4

    def judge(self, batch: Batch) -> Verdict:
        share = batch.class_share(OTHER)
        return Verdict(share <= self.max_share, share)


class CharsPerSentence(Settings):
    """Characters for every sentence end (llm-jp: one 。 in 250): word lists have none."""

    rule: Literal["chars_per_sentence"] = "chars_per_sentence"
    max_chars: Count = 250

    def judge(self, batch: Batch) -> Verdict:
        value = 1 / np.maximum(batch.sentence_end_share, 1e-6)
        return Verdict(value <= self.max_chars, value)


class BrokenOff(Settings):
    """Lines that break off with an ellipsis: teasers of other pages."""

    rule: Literal["broken_off"] = "broken_off"
    max_share: Share = 0.2
    """Of the lines that are not empty."""

    def judge(self, batch: Batch) -> Verdict:
        share = batch.ellipsis_share
        return Verdict(share <= self.max_share, share)


class OpenEnd(Settings):
    """Prose whose last sentence has no end. In no named set: a good page may end in a date or a name."""

    rule: Literal["open_end"] = "open_end"

    def judge(self, batch: Batch) -> Verdict:
        return Verdict(batch.ends_open == 0, batch.ends_open)


class DuplicateLines(Settings):
    """Lines that stood in the same text before."""

    rule: Literal["duplicate_lines"] = "duplicate_lines"
    max_share: Share = 0.3

    def judge(self, batch: Batch) -> Verdict:
        share = batch.duplicate_line_share
        return Verdict(share <= self.max_share, share)


class DuplicateNgrams(Settings):
    """Character n-grams that stood in the same text before."""

    rule: Literal["duplicate_ngrams"] = "duplicate_ngrams"
    n: Annotated[int, Field(ge=2, le=100)] = 10
    max_share: Share = 0.3

    def judge(self, batch: Batch) -> Verdict:
        share = batch.duplicate_ngram_share(self.n)
        return Verdict(share <= self.max_share, share)


class TopNgram(Settings):
    """The share of the text covered by one character n-gram, repeated over and over."""

    rule: Literal["top_ngram"] = "top_ngram"
    n: Annotated[int, Field(ge=2, le=100)] = 5
    max_share: Share = 0.3

    def judge(self, batch: Batch) -> Verdict:
        share = batch.top_ngram_share(self.n)
        return Verdict(share <= self.max_share, share)


class AdultWords(Settings):
    """Pornographic pages, by how many different words of a list they use."""

    rule: Literal["adult_words"] = "adult_words"
    max_distinct: Count = 2

    def judge(self, batch: Batch) -> Verdict:
        count = batch.distinct_words(ADULT)
        return Verdict(count <= self.max_distinct, count)


class AdvertisingWords(Settings):
    """Advertising, by how many different words of a list it uses."""

    rule: Literal["advertising_words"] = "advertising_words"
    max_distinct: Count = 5

    def judge(self, batch: Batch) -> Verdict:
        count = batch.distinct_words(ADVERTISING)
        return Verdict(count <= self.max_distinct, count)


Rule = Annotated[
    Length
    | Mojibake
    | JapaneseShare
    | HiraganaShare
    | KatakanaShare
    | LatinShare
    | SymbolShare
    | CharsPerSentence
    | BrokenOff
    | OpenEnd
    | DuplicateLines
    | DuplicateNgrams
    | TopNgram
    | AdultWords
    | AdvertisingWords,
    Field(discriminator="rule"),
]


def first_failures(rules: tuple[Rule, ...], batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Per document: index of the first rule it fails (-1: none), and what that rule measured."""
    failed = np.full(len(batch.texts), -1, np.int64)
    value = np.zeros(len(batch.texts), np.float64)
    for index, rule in enumerate(rules):
        verdict = rule.judge(batch)
        new = (failed < 0) & ~verdict.passes
        failed[new] = index
        value[new] = verdict.value[new]
    return failed, value
