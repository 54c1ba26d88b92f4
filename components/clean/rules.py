"""The rules a document must pass. Each measures one thing, says where its bounds lie, and whose idea it is.

Thresholds are fields, so a rule set is data (rulesets.py) and a source may bring its own list. A rule's
bounds are its fields `min_...` and `max_...`.
"""

from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from components.clean.measures import HIRAGANA, KANJI, KATAKANA, LATIN, OTHER, STOP, Batch
from components.clean.words import ADULT, ADVERTISING
from kajiya.settings import Settings

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Size = Annotated[int, Field(ge=2, le=100)]
Values = npt.NDArray[Any]


class Bound(NamedTuple):
    """A document passes with value >= threshold ("min") or value <= threshold ("max")."""

    direction: Literal["min", "max"]
    threshold: float


class BaseRule(Settings):
    """What all rules have in common."""

    source: ClassVar[str] = "own"
    """Where rule and usual bounds come from."""

    @property
    def name(self) -> str:
        """Unique in a rule set: the rule's, with its parameter where it has one."""
        n = getattr(self, "n", None)
        return f"{self.rule}_{n}" if n else str(self.rule)  # type: ignore[attr-defined]

    @property
    def bounds(self) -> list[Bound]:
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        lower = [Bound("min", float(value)) for name, value in fields.items() if name.startswith("min_")]
        return lower + [
            Bound("max", float(value)) for name, value in fields.items() if name.startswith("max_")
        ]

    def measure(self, batch: Batch) -> Values:
        """One value per document, never NaN."""
        raise NotImplementedError


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


Rule = Annotated[
    Length
    | Mojibake
    | JapaneseShare
    | JapaneseChars
    | HiraganaShare
    | KatakanaShare
    | KanaAtStart
    | LatinShare
    | SymbolShare
    | CharsPerSentence
    | CharsPerFullStop
    | SentenceLength
    | LongestSentence
    | BrokenOff
    | BrokenOffSentences
    | OpenEnd
    | DuplicateLines
    | DuplicateNgrams
    | TopNgram
    | TopNgramFrequency
    | ZlibRatio
    | AdultWords
    | AdvertisingWords,
    Field(discriminator="rule"),
]


class Judgement(NamedTuple):
    """What a list of rules says of a batch."""

    names: list[str]
    """Of the rules, in order."""
    values: dict[str, Values]
    """What each rule measured, per document."""
    failed: Values
    """Per document the index of the first rule it fails; len(names) for an empty text, -1 for none."""
    value: Values
    """What that rule measured; NaN where there is none."""
    threshold: Values
    """The bound it crossed; NaN where there is none."""


def judged(rules: tuple[Rule, ...], batch: Batch) -> Judgement:
    """Every rule is asked about every document: the audit draws what each would have dropped."""
    documents = len(batch.texts.offsets) - 1
    failed = np.full(documents, -1, np.int64)
    value, threshold = np.full(documents, np.nan), np.full(documents, np.nan)
    values: dict[str, Values] = {}
    for index, rule in enumerate(rules):
        measured = values[rule.name] = np.asarray(rule.measure(batch), np.float64)
        for bound in rule.bounds:
            crossed = measured < bound.threshold if bound.direction == "min" else measured > bound.threshold
            new = (failed < 0) & crossed
            failed[new], value[new], threshold[new] = index, measured[new], bound.threshold
    failed[(failed < 0) & (batch.chars == 0)] = len(rules)
    return Judgement([rule.name for rule in rules], values, failed, value, threshold)


def listed(rules: tuple[Rule, ...]) -> list[dict[str, object]]:
    """The bounds in order, as `rules.json` holds them (docs/formats.md)."""
    return [
        {
            "name": rule.name,
            "rule": rule.rule,
            "direction": bound.direction,
            "threshold": bound.threshold,
            "source": type(rule).source,
            "description": (type(rule).__doc__ or "").strip(),
        }
        for rule in rules
        for bound in rule.bounds
    ]
