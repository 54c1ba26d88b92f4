"""Rules on how much there is, and in which script."""

from typing import ClassVar, Literal

from components.clean.measures import OTHER, STOP, Batch
from components.clean.rules.base import BaseRule, Count, Share, Values
from kajiya.scripts import HIRAGANA, KANJI, KATAKANA, LATIN


class Length(BaseRule):
    """Enough text to learn from, and no dump of a database."""

    source: ClassVar[str] = "Raffel et al. 2020, C4"
    rule: Literal["length"] = "length"
    min_chars: Count = 1
    """Characters, white space aside."""
    max_chars: Count = 10_000_000
    """Characters, white space aside."""

    def measure(self, batch: Batch) -> Values:
        return batch.chars


class Mojibake(BaseRule):
    """Text decoded with the wrong encoding; judged on the text as it came."""

    rule: Literal["mojibake"] = "mojibake"
    max_share: Share = 0.01
    """Traces of a wrong decoding per character."""

    def measure(self, batch: Batch) -> Values:
        return batch.damage_share


class JapaneseShare(BaseRule):
    """Kana and kanji among the characters."""

    source: ClassVar[str] = "Okazaki et al. 2024, Swallow corpus v1"
    rule: Literal["japanese_share"] = "japanese_share"
    min_share: Share = 0.5

    def measure(self, batch: Batch) -> Values:
        return batch.class_share(HIRAGANA, KATAKANA, KANJI)


class JapaneseChars(BaseRule):
    """Kana and kanji, counted."""

    source: ClassVar[str] = "Okazaki et al. 2024, Swallow corpus v1"
    rule: Literal["japanese_chars"] = "japanese_chars"
    min_chars: Count = 400

    def measure(self, batch: Batch) -> Values:
        return batch.class_chars(HIRAGANA, KATAKANA, KANJI)


class HiraganaShare(BaseRule):
    """Japanese sentences need hiragana; lists, tables and Chinese have none."""

    source: ClassVar[str] = "Okazaki et al. 2024, Swallow corpus v1"
    rule: Literal["hiragana_share"] = "hiragana_share"
    min_share: Share = 0.2

    def measure(self, batch: Batch) -> Values:
        return batch.class_share(HIRAGANA)


class KatakanaShare(BaseRule):
    """Lists of product names are mostly katakana."""

    source: ClassVar[str] = "Okazaki et al. 2024, Swallow corpus v1"
    rule: Literal["katakana_share"] = "katakana_share"
    max_share: Share = 0.5

    def measure(self, batch: Batch) -> Values:
        return batch.class_share(KATAKANA)


class KanaAtStart(BaseRule):
    """Kana among the first 50 characters: the cheapest test for Japanese."""

    source: ClassVar[str] = "llm-jp-corpus v1"
    rule: Literal["kana_at_start"] = "kana_at_start"
    min_chars: Count = 1

    def measure(self, batch: Batch) -> Values:
        return batch.kana_at_start


class LatinShare(BaseRule):
    """Letters among the characters, for English and code."""

    rule: Literal["latin_share"] = "latin_share"
    min_share: Share = 0.6

    def measure(self, batch: Batch) -> Values:
        return batch.class_share(LATIN)


class SymbolShare(BaseRule):
    """Punctuation and symbols among the characters: tables, ASCII art, markup."""

    source: ClassVar[str] = "Rae et al. 2021, Gopher, table A1 (symbols to words)"
    rule: Literal["symbol_share"] = "symbol_share"
    max_share: Share = 0.4

    def measure(self, batch: Batch) -> Values:
        return batch.class_share(OTHER, STOP)
