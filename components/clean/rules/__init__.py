"""The rules a document must pass. Each measures one thing, says where its bounds lie, and whose idea it is.

Thresholds are fields, so a rule set is data (rulesets.py) and a source may bring its own list. A rule's
bounds are its fields `min_...` and `max_...`.
"""

from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from components.clean.measures import Batch
from components.clean.rules.base import Values
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
    OpenEnd,
    SentenceLength,
)
from components.clean.rules.words import AdultWords, AdvertisingWords

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
