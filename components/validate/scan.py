"""One shard of the corpus in numbers: what is wrong with which documents, histograms, and hashes."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from components.validate import characters as ch
from components.validate.profile import BINS, Profile, Source
from components.validate.settings import ValidateSettings
from kajiya import scripts
from kajiya.shards import read_shard

# What the cleaning masks, written anew: a check that shared its patterns would miss what it missed.
EMAIL = r"[A-Za-z0-9._%+-]+[@＠][A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
# Digits in the groupings of Japanese numbers, 10 or 11 in all: dates and ISBNs have others.
_DIGIT, _HYPHEN = "[0-9０-９]", "[-‐‑–−－ー]"
_GROUPINGS = ((2, 4, 4), (3, 3, 4), (4, 2, 4), (5, 1, 4), (3, 4, 4), (4, 3, 3))
_NUMBERS = "|".join(
    [
        *(
            rf"[0０]{_DIGIT}{{{area - 1}}}{_HYPHEN}{_DIGIT}{{{office}}}{_HYPHEN}{_DIGIT}{{{line}}}"
            for area, office, line in _GROUPINGS
        ),
        rf"[(（][0０]{_DIGIT}{{1,4}}[)）] ?{_DIGIT}{{1,4}}{_HYPHEN}{_DIGIT}{{4}}",
        r"0[789]0 [0-9]{4} [0-9]{4}",
        r"\+81[- ]?[0-9]{1,3}[- ][0-9]{2,4}[- ][0-9]{4}",
    ]
)
PHONE = rf"(?:^|[^0-9０-９A-Za-z-])(?:{_NUMBERS})(?:$|[^0-9０-９-])"
_ENGLISH_WORDS = r"(?i)\b(?:the|of|and|to|in|a|is|for|that|with)\b"
_EXCERPT_CHARS = 60
_FEW_LETTERS = 20  # too few to tell a language by
_VALUES = ("language", "license", "generator")


class Task(NamedTuple):
    shard: Path
    number: int
    hashes: Path
    """Folder for the hashes: text-00000.npy, id-00000.npy, ..."""
    config: ValidateSettings


def scan_shard(task: Task) -> Profile:
    """Profile of one shard; writes sorted hashes of its ids and texts beside their rows."""
    table = read_shard(task.shard)
    counts = ch.count(table["text"])
    _save_hashes(task, "text", counts.hashes)
    _save_hashes(task, "id", ch.count(table["id"].cast(pa.large_string())).hashes)
    measured = measure_language(table, counts)
    faults = find_faults(table, counts, measured, task.config)
    sources, codes = np.unique(_strings(table, "source"), return_inverse=True)
    profile = Profile(documents=table.num_rows, characters=int(counts.characters.sum()))
    bins = histogram_bins(counts)
    japanese = _strings(table, "language") == "ja"
    for code, name in enumerate(sources.tolist()):
        here = codes == code
        profile.sources[name] = Source(
            documents=int(here.sum()),
            characters=int(counts.characters[here].sum()),
            japanese=int((here & japanese).sum()),
            faults={fault: int((mask & here).sum()) for fault, mask in faults.items()},
            examples={fault: _examples(table, mask & here, task.config) for fault, mask in faults.items()},
            histograms={feature: _histogram(feature, bin_of[here]) for feature, bin_of in bins.items()},
        )
    for column in _VALUES:
        profile.values[column] = dict(Counter(_strings(table, column).tolist()))
        profile.first[column] = _first(table, column, task.shard.name)
    profile.values["measured_language"] = dict(Counter(measured.tolist()))
    profile.nulls = {name: table[name].null_count for name in table.column_names if table[name].null_count}
    return profile


def measure_language(table: pa.Table, counts: ch.Counts) -> npt.NDArray[np.object_]:
    """`ja`, `ko`, `zh`, `en`, `latin`, `other` by script, or `` where there are too few letters to tell.

    Kana are Japanese alone; Latin letters are English when a document said to be `en` has its small words.
    """
    of = counts.classes.T
    letters = of[
        [scripts.HIRAGANA, scripts.KATAKANA, scripts.KANJI, scripts.LATIN, ch.HANGUL, ch.LETTER]
    ].sum(axis=0)
    share = of / np.maximum(letters, 1)
    kana = share[scripts.HIRAGANA] + share[scripts.KATAKANA]
    conditions = [
        letters < _FEW_LETTERS,
        (kana >= 0.1)
        | ((kana >= 0.03) & (kana + share[scripts.KANJI] >= 0.5)),  # minutes list names in kanji
        share[ch.HANGUL] >= 0.3,
        share[scripts.KANJI] >= 0.3,
        share[scripts.LATIN] >= 0.5,
    ]
    found = np.select(conditions, ["", "ja", "ko", "zh", "latin"], "other").astype(object)
    english = np.flatnonzero((found == "latin") & (_strings(table, "language") == "en"))
    texts = pl.Series(table["text"].take(pa.array(english)).to_pylist(), dtype=pl.String)
    words = texts.str.count_matches(_ENGLISH_WORDS).to_numpy()
    # English has a small word in four; names and numbers about one in ten. A word has about five letters.
    found[english[words >= of[scripts.LATIN][english] / 5 * 0.05]] = "en"
    return found


def find_faults(
    table: pa.Table, counts: ch.Counts, measured: npt.NDArray[np.object_], config: ValidateSettings
) -> dict[str, npt.NDArray[np.bool_]]:
    """Per fault the documents that have it."""
    language, visible = _strings(table, "language"), counts.visible
    of = counts.classes.T
    japanese = of[scripts.HIRAGANA] + of[scripts.KATAKANA] + of[scripts.KANJI]
    expected = np.where(np.isin(language, ["ja", "ko", "zh", "en"]), language, "latin")
    text = table["text"]
    return {
        "text_not_empty": counts.characters == 0,
        "text_length": (counts.characters > 0)
        & ((counts.characters < config.min_chars) | (counts.characters > config.max_chars)),
        "japanese_share": (language == "ja")
        & (visible > 0)
        & (japanese < config.min_japanese_share * visible),
        "language_measured": (measured != "") & (measured != expected),
        "unreadable": of[ch.UNREADABLE] > 0,
        "line_ends": of[ch.RETURN] > 0,
        "emails": _matches(text, counts.classes[:, ch.AT_SIGN] > 0, EMAIL),
        "phones": _matches(text, of[scripts.DIGIT] >= 9, PHONE),
        "url": ~_strings_match(table["url"], r"^https?://\S+$"),
        "id_prefix": ~_prefixed(table),
    }


def histogram_bins(counts: ch.Counts) -> dict[str, npt.NDArray[np.int64]]:
    """Per feature the bin of each document."""
    visible = np.maximum(counts.visible, 1)
    values = {
        "length_chars": counts.characters,
        "line_chars": counts.characters / np.maximum(counts.lines, 1),
        "hiragana_share": counts.classes[:, scripts.HIRAGANA] / visible,
        "katakana_share": counts.classes[:, scripts.KATAKANA] / visible,
        "kanji_share": counts.classes[:, scripts.KANJI] / visible,
        "latin_share": counts.classes[:, scripts.LATIN] / visible,
        "digit_share": counts.classes[:, scripts.DIGIT] / visible,
        "symbol_share": (counts.classes[:, ch.OTHER] + counts.classes[:, ch.AT_SIGN]) / visible,
    }
    return {feature: np.searchsorted(BINS[feature], value, "right") - 1 for feature, value in values.items()}


def _histogram(feature: str, bins: npt.NDArray[np.int64]) -> dict[float, int]:
    counts = np.bincount(bins, minlength=len(BINS[feature]))
    return {float(BINS[feature][i]): int(counts[i]) for i in np.flatnonzero(counts)}


def _matches(
    texts: pa.ChunkedArray, candidates: npt.NDArray[np.bool_], pattern: str
) -> npt.NDArray[np.bool_]:
    """Whether the pattern is in the text; only `candidates` are searched."""
    rows = np.flatnonzero(candidates)
    found = np.zeros(len(texts), np.bool_)
    chosen = pl.Series(texts.take(pa.array(rows)).to_pylist(), dtype=pl.String)
    found[rows] = chosen.str.contains(pattern).to_numpy()
    return found


def _strings(table: pa.Table, column: str) -> npt.NDArray[np.object_]:
    """Values as Python strings, nulls as ``."""
    return np.array(table[column].fill_null("").to_pylist(), dtype=object)


def _strings_match(column: pa.ChunkedArray, pattern: str) -> npt.NDArray[np.bool_]:
    """Whether each value matches; what is null does."""
    return np.array(pc.match_substring_regex(column, pattern).fill_null(True).to_pylist(), np.bool_)


def _prefixed(table: pa.Table) -> npt.NDArray[np.bool_]:
    pairs = zip(_strings(table, "id"), _strings(table, "source"), strict=True)
    return np.array([len(i) > len(s) + 1 and i.startswith(f"{s}:") for i, s in pairs], np.bool_)


def _first(table: pa.Table, column: str, shard: str) -> dict[str, str]:
    """For each value the first document that has it, and its shard."""
    values, rows = np.unique(_strings(table, column), return_index=True)
    return {
        value: f"{table['id'][row].as_py()} in {shard}"
        for value, row in zip(values.tolist(), rows.tolist(), strict=True)
    }


def _examples(table: pa.Table, mask: npt.NDArray[np.bool_], config: ValidateSettings) -> list[str]:
    return [describe(table, row) for row in np.flatnonzero(mask)[: config.sample_rows].tolist()]


def describe(table: pa.Table, row: int) -> str:
    """Id and the beginning of the text, on one line."""
    text = " ".join((table["text"][row].as_py() or "")[: 4 * _EXCERPT_CHARS].split())
    return f"{table['id'][row].as_py()}: {text[:_EXCERPT_CHARS]}{'…' if len(text) > _EXCERPT_CHARS else ''}"


def _save_hashes(task: Task, kind: str, hashes: npt.NDArray[np.uint64]) -> None:
    order = np.argsort(hashes, kind="stable")
    np.save(task.hashes / f"{kind}-{task.number:05d}.npy", hashes[order], allow_pickle=False)
    np.save(task.hashes / f"{kind}-rows-{task.number:05d}.npy", order, allow_pickle=False)
