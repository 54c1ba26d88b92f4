"""How far a corpus has moved from the accepted one: population stability index per feature.

PSI = sum over bins of (now - then) * ln(now / then), with shares of the documents (Siddiqi, Credit Risk
Scorecards, 2006, for the index and its usual limits 0.1 and 0.25).
"""

import math
from collections.abc import Hashable
from typing import NamedTuple

from components.validate.profile import BINS, Profile

_MIN_BIN = 0.05  # share of the documents in a bin: fewer, and chance shows as drift
_FLOOR = 1e-4  # share taken for an empty bin: the logarithm of nothing would be endless


class Drift(NamedTuple):
    feature: str
    psi: float
    then: str
    """The accepted corpus in a few words."""
    now: str
    worst_source: str
    """The source that moved most, with its PSI; empty where there is none to compare."""


def measure_drift(accepted: Profile, now: Profile) -> list[Drift]:
    """One row per feature, the largest drift first."""
    rows = [
        _categorical("sources", _documents(accepted), _documents(now)),
        _categorical("sources by characters", _characters(accepted), _characters(now)),
        *(
            _categorical(column, accepted.values.get(column, {}), now.values.get(column, {}))
            for column in ("language", "measured_language", "license", "generator")
        ),
        *(_ordered(feature, accepted, now) for feature in BINS),
        _categorical("copies of a text", _copies(accepted), _copies(now)),
    ]
    return sorted(rows, key=lambda row: (-row.psi, row.feature))


def psi(then: dict, now: dict) -> float:
    """Index between two histograms over the same keys; 0 for two that are alike."""
    all_then, all_now = max(1, sum(then.values())), max(1, sum(now.values()))
    total = 0.0
    for key in sorted(then.keys() | now.keys()):
        a = max(then.get(key, 0) / all_then, _FLOOR)
        b = max(now.get(key, 0) / all_now, _FLOOR)
        total += (b - a) * math.log(b / a)
    return round(total, 6)


def merge_bins(then: dict[float, int], now: dict[float, int]) -> tuple[dict[float, int], dict[float, int]]:
    """Both over wider bins, each with at least _MIN_BIN of the documents of `then` or of `now`."""
    least_then, least_now = _MIN_BIN * sum(then.values()), _MIN_BIN * sum(now.values())
    wide_then: dict[float, int] = {}
    wide_now: dict[float, int] = {}
    begin, open_bin = None, False
    for edge in sorted(then.keys() | now.keys()):
        if begin is None or not open_bin:
            begin = edge
        wide_then[begin] = wide_then.get(begin, 0) + then.get(edge, 0)
        wide_now[begin] = wide_now.get(begin, 0) + now.get(edge, 0)
        open_bin = wide_then[begin] < least_then and wide_now[begin] < least_now
    if open_bin and len(wide_then) > 1:  # what is left at the end is too little: to its neighbour
        *_, before, last = sorted(wide_then)
        wide_then[before] += wide_then.pop(last)
        wide_now[before] += wide_now.pop(last)
    return wide_then, wide_now


def _categorical(feature: str, then: dict[Hashable, int], now: dict[Hashable, int]) -> Drift:
    return Drift(feature, psi(then, now), _largest(then), _largest(now), "")


def _ordered(feature: str, accepted: Profile, now: Profile) -> Drift:
    a, b = accepted.histogram(feature), now.histogram(feature)
    by_source = [
        (
            psi(
                *merge_bins(accepted.sources[name].histograms[feature], now.sources[name].histograms[feature])
            ),
            name,
        )
        for name in sorted(accepted.sources.keys() & now.sources.keys())
    ]
    worst = f"{max(by_source)[1]} {max(by_source)[0]:.3f}" if by_source else ""
    return Drift(feature, psi(*merge_bins(a, b)), _middle(a), _middle(b), worst)


def _middle(histogram: dict[float, int]) -> str:
    """Mean of the lower edges of the bins."""
    total = sum(histogram.values())
    return f"mean {sum(edge * n for edge, n in histogram.items()) / total:.3g}" if total else "none"


def _largest(counts: dict[Hashable, int]) -> str:
    total = max(1, sum(counts.values()))
    first = sorted(counts.items(), key=lambda one: (-one[1], str(one[0])))[:3]
    return ", ".join(f"{name or 'too short to tell'} {count / total:.1%}" for name, count in first)


def _documents(profile: Profile) -> dict:
    return {name: source.documents for name, source in profile.sources.items()}


def _characters(profile: Profile) -> dict:
    return {name: source.characters for name, source in profile.sources.items()}


def _copies(profile: Profile) -> dict:
    groups: dict = {}
    for times, texts in profile.copies.items():
        name = str(times) if times < 4 else "4 or more"
        groups[name] = groups.get(name, 0) + texts
    return groups
