"""Complete lists of rules by name, one per kind of source.

The thresholds were set by reading what each list drops from real texts of its kind; the shares that
must pass stand in tests/real/test_corpus_real.py. No list fits all: the one for web pages keeps 27 of 81
technical pages, of which technical-ja keeps 78.
"""

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, model_validator
from pydantic_core import PydanticCustomError

from components.clean.lines import LineKind
from components.clean.rules import Rule
from components.clean.rules.repetition import (
    DuplicateLines,
    DuplicateNgrams,
    TopNgram,
    TopNgramFrequency,
    ZlibRatio,
)
from components.clean.rules.script import (
    HiraganaShare,
    JapaneseChars,
    JapaneseShare,
    KanaAtStart,
    KatakanaShare,
    LatinShare,
    Length,
    Mojibake,
    SymbolShare,
)
from components.clean.rules.sentences import (
    BrokenOff,
    BrokenOffSentences,
    CharsPerFullStop,
    CharsPerSentence,
    LongestSentence,
    SentenceLength,
)
from components.clean.rules.words import AdultWords, AdvertisingWords
from kajiya.settings import Settings


class RuleSet(Settings):
    """What to take out of a document, and what to judge it by."""

    lines: tuple[LineKind, ...] = ()
    """Kinds of boilerplate lines to remove."""
    documents: tuple[Rule, ...] = ()
    """Rules in the order they are asked; the first that fails is the reason."""

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [rule.name for rule in self.documents]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the rule `{name}` stands here twice: give it both bounds in one entry")
        return self


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
    # Source files: licence headers and generated tables repeat; names and operators are the text.
    "code": RuleSet(
        documents=(
            Mojibake(),
            Length(min_chars=50, max_chars=1_000_000),
            LatinShare(min_share=0.25),
            SymbolShare(max_share=0.6),
            DuplicateLines(max_share=0.6),
            DuplicateNgrams(n=25, max_share=0.6),
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
    # For comparison, not for use: as docs/cleaning.md tells what is known of them. Swallow's list of
    # words is private, so its footers stay.
    "swallow-v1": RuleSet(
        documents=(
            JapaneseChars(min_chars=400),
            HiraganaShare(min_share=0.2),
            KatakanaShare(max_share=0.5),
            JapaneseShare(min_share=0.5),
            SentenceLength(min_mean_chars=20, max_mean_chars=90),
            LongestSentence(max_chars=200),
            BrokenOffSentences(max_share=0.2),
            DuplicateLines(max_share=0.3),
            TopNgramFrequency(n=2, max_share=0.2),
            TopNgramFrequency(n=3, max_share=0.18),
            TopNgramFrequency(n=4, max_share=0.16),
            DuplicateNgrams(n=5, max_share=0.15),
            DuplicateNgrams(n=6, max_share=0.14),
            DuplicateNgrams(n=7, max_share=0.13),
            DuplicateNgrams(n=8, max_share=0.12),
            DuplicateNgrams(n=9, max_share=0.11),
            DuplicateNgrams(n=10, max_share=0.1),
        ),
    ),
    "llm-jp": RuleSet(
        documents=(
            Length(min_chars=1),
            KanaAtStart(min_chars=1),
            CharsPerFullStop(max_chars=250),
            ZlibRatio(min_ratio=0.3, max_ratio=0.7),
            AdultWords(max_distinct=3),
            AdvertisingWords(max_distinct=10),
        ),
    ),
}


def _resolved(value: object) -> object:
    """A named set by its name; one that begins `from` a named set with its changes made."""
    if isinstance(value, str):
        return _named(value)
    if not isinstance(value, dict) or "from" not in value:
        return value
    rest = dict(value)
    base = _named(rest.pop("from"))
    changes, dropped, added = rest.pop("change", {}), rest.pop("drop", []), rest.pop("add", [])
    for what, kind in ((changes, dict), (dropped, list), (added, list)):
        if not isinstance(what, kind):
            raise PydanticCustomError(
                "rule_set", "`change` is a mapping of rules, `drop` and `add` are lists"
            )
    names = [rule.name for rule in base.documents]
    for name in [*changes, *dropped]:
        if name not in names:
            raise PydanticCustomError(
                "rule_set", "no rule `{name}` in the set to change, it has: {known}",
                {"name": name, "known": ", ".join(names)},
            )  # fmt: skip
    documents: list[Any] = [
        _changed(rule, changes.get(rule.name, {})) for rule in base.documents if rule.name not in dropped
    ]
    return {"lines": base.lines, **rest, "documents": [*documents, *added]}


def _changed(rule: Rule, change: object) -> dict[str, Any]:
    settings = rule.model_dump()
    unknown = [key for key in change if key not in settings] if isinstance(change, dict) else [str(change)]
    if unknown:
        raise PydanticCustomError(
            "rule_set",
            "rule `{name}` has no setting `{key}`, it has: {known}",
            {"name": rule.name, "key": unknown[0], "known": ", ".join(settings)},
        )
    return settings | dict(change)  # type: ignore[call-overload]


def _named(name: object) -> RuleSet:
    if name not in RULE_SETS:
        known = ", ".join(RULE_SETS)
        raise PydanticCustomError(
            "rule_set", "no rule set of this name, known are: {known}", {"known": known}
        )
    return RULE_SETS[str(name)]


NamedRuleSet = Annotated[RuleSet, BeforeValidator(_resolved)]
