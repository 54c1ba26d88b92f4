"""Complete lists of rules by name, one per kind of source.

The thresholds were set by reading what each list drops from real texts of its kind; the shares that
must pass stand in tests/real/test_corpus_real.py. No list fits all: the one for web pages keeps 27 of 81
technical pages, of which technical-ja keeps 78.
"""

from typing import Annotated

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from components.clean.lines import LineKind
from components.clean.rules import (
    AdultWords,
    AdvertisingWords,
    BrokenOff,
    CharsPerSentence,
    DuplicateLines,
    DuplicateNgrams,
    HiraganaShare,
    JapaneseShare,
    KatakanaShare,
    LatinShare,
    Length,
    Mojibake,
    Rule,
    SymbolShare,
    TopNgram,
)
from kajiya.settings import Settings


class RuleSet(Settings):
    """What to take out of a document, and what to judge it by."""

    lines: tuple[LineKind, ...] = ()
    """Kinds of boilerplate lines to remove."""
    documents: tuple[Rule, ...] = ()
    """Rules in the order they are asked; the first that fails is the reason."""


RULE_SETS = {
    "web-ja": RuleSet(
        lines=tuple(LineKind),
        documents=(
            Mojibake(),
            Length(min_chars=100),
            AdultWords(max_distinct=2),
            AdvertisingWords(max_distinct=4),
            JapaneseShare(min_share=0.5),
            HiraganaShare(min_share=0.2),
            KatakanaShare(max_share=0.5),
            DuplicateLines(max_share=0.3),
            DuplicateNgrams(n=5, max_share=0.33),
            DuplicateNgrams(n=10, max_share=0.2),
            TopNgram(n=5, max_share=0.3),
            BrokenOff(max_share=0.2),
            CharsPerSentence(max_chars=250),
        ),
    ),
    # Documentation with code in it: half of the letters are Latin, and code repeats itself.
    "technical-ja": RuleSet(
        lines=(LineKind.FOOTER, LineKind.SHARING),
        documents=(
            Mojibake(),
            Length(min_chars=200),
            JapaneseShare(min_share=0.15),
            HiraganaShare(min_share=0.08),
            AdultWords(max_distinct=2),
            DuplicateLines(max_share=0.5),
            DuplicateNgrams(n=10, max_share=0.5),
            SymbolShare(max_share=0.4),
        ),
    ),
    # Paragraphs full of names: little hiragana, many katakana, short texts are good texts.
    "encyclopedic-ja": RuleSet(
        documents=(
            Mojibake(),
            Length(min_chars=20),
            JapaneseShare(min_share=0.4),
            HiraganaShare(min_share=0.06),
            DuplicateLines(max_share=0.3),
            DuplicateNgrams(n=10, max_share=0.3),
            TopNgram(n=5, max_share=0.5),
            CharsPerSentence(max_chars=400),
        ),
    ),
    # Spoken sentences run long, and formulas of procedure come again and again.
    "minutes-ja": RuleSet(
        documents=(
            Mojibake(),
            Length(min_chars=30),
            JapaneseShare(min_share=0.5),
            HiraganaShare(min_share=0.15),
            DuplicateLines(max_share=0.3),
            DuplicateNgrams(n=10, max_share=0.3),
            CharsPerSentence(max_chars=800),
        ),
    ),
    # Novels and verse: dialogue repeats, verse has no full stops.
    "literature-ja": RuleSet(
        documents=(
            Mojibake(),
            Length(min_chars=150),
            JapaneseShare(min_share=0.6),  # no bound on hiragana: children's books are all in katakana
            DuplicateLines(max_share=0.5),
            DuplicateNgrams(n=10, max_share=0.3),
        ),
    ),
    "web-en": RuleSet(
        lines=tuple(LineKind),
        documents=(
            Mojibake(),
            Length(min_chars=100),
            AdultWords(max_distinct=2),
            AdvertisingWords(max_distinct=3),
            LatinShare(min_share=0.6),
            DuplicateLines(max_share=0.3),
            DuplicateNgrams(n=10, max_share=0.4),  # long books reach 0.32
            DuplicateNgrams(n=25, max_share=0.2),
            BrokenOff(max_share=0.2),
            CharsPerSentence(max_chars=600),
        ),
    ),
    "literature-en": RuleSet(
        documents=(
            Mojibake(),
            Length(min_chars=200),
            LatinShare(min_share=0.7),
            DuplicateLines(max_share=0.4),
            DuplicateNgrams(n=25, max_share=0.3),
        ),
    ),
}


def _by_name(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value not in RULE_SETS:
        known = ", ".join(RULE_SETS)
        raise PydanticCustomError(
            "rule_set", "no rule set of this name, known are: {known}", {"known": known}
        )
    return RULE_SETS[value]


NamedRuleSet = Annotated[RuleSet, BeforeValidator(_by_name)]
