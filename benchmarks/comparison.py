"""Rows of the results: one work, ours and a peer, measured in turns."""

import argparse
import datetime
import os
import sys
from contextlib import ExitStack
from typing import Any

from benchmarks.contender import Contender, NoResultError
from benchmarks.inputs import Inputs
from benchmarks.works import STAGES, Side, Work, stage

TWO_WANTED = 1.8
_COPIES = 11  # of the text, for two processes: work that lasts longer than they take to start

Row = dict[str, Any]


class Bench:
    """Runs the contenders of one work after the other."""

    def __init__(self, inputs: Inputs, options: argparse.Namespace) -> None:
        self.inputs, self._options = inputs, options
        self._logs = inputs.root / "logs"

    def one_core(self, work: Work) -> list[Row]:
        """A row per peer, or one without."""
        peers = () if self._options.without_peers else work.peers
        ours = self._ours(work.ours)
        contenders = [self._peer(side) for side in peers]
        reasons = _take_turns([ours, *contenders], self._options.rounds, profile=True)
        rows = []
        for side, peer in zip(peers, contenders, strict=True):
            row = self._row(work.name, work.title, ours, reasons.get(ours))
            row |= {"goal": work.wanted, "input": work.ours.input, "cores": 1}
            row |= _beside(side, peer, reasons.get(peer))
            row["ratio"] = _ratio(row["ours"], row["peer_value"])
            rows.append(row)
        if not rows:
            row = self._row(work.name, work.title, ours, reasons.get(ours))
            rows = [row | {"goal": work.wanted, "input": work.ours.input, "cores": 1} | _NO_PEER]
        return rows

    def two_processes(self) -> list[Row]:
        """Each stage with one worker and with two, and what the machine itself gives a second process."""
        rows = [self._ceiling()]
        for name in STAGES:
            side = stage(self.inputs, name, _COPIES)
            one = self._ours(side, {"KAJIYA_WORKERS": "1"}, "one")
            two = self._ours(side, {"KAJIYA_WORKERS": "2"}, "two")
            reasons = _take_turns([one, two], max(2, self._options.rounds - 1))
            reason = reasons.get(one) or reasons.get(two)
            row = self._row("two-processes", f"{name}, two processes against one", two, reason)
            ours, alone = (None if reason else _megabytes(c) / c.wall for c in (two, one))
            row |= {
                "unit": "MB/s, wall",
                "ours": _rounded(ours),
                "goal": None,
                "input": side.input,
                "cores": 2,
            }
            row |= {"peer": "one process", "peer_value": _rounded(alone), "ratio": _ratio(ours, alone)}
            row |= {"ratio_goal": TWO_WANTED, "peer_input": side.input, "peer_settings": one.settings}
            row["peer_seconds"] = _seconds(one)
            rows.append(row)
        return rows

    def _ceiling(self) -> Row:
        first, second = (self._contender("loop", {}, {}, f"loop-{i}") for i in (1, 2))
        alone, both = [], []
        with first, second:
            for _ in range(self._options.rounds):
                first.begin()
                alone.append(first.end().wall)
                first.begin()
                second.begin()
                both.append(max(first.end().wall, second.end().wall))
        row = self._row("two-processes", "a plain loop, two processes against one", first, None)
        row |= {"unit": "loops/s, wall", "ours": _rounded(2 / min(both)), "goal": None, "cores": 2}
        row |= {"peer": "one process", "peer_value": _rounded(1 / min(alone)), "ratio_goal": None}
        return row | {"ratio": _ratio(2 / min(both), 1 / min(alone)), "input": "none: what the machine gives"}

    def _row(self, name: str, title: str, ours: Contender, reason: str | None) -> Row:
        value = None if reason else _megabytes(ours) / ours.cpu
        return {
            "name": name,
            "work": title,
            "unit": "MB/s/core",
            "ours": _rounded(value),
            "ours_settings": ours.settings,
            "ours_seconds": _seconds(ours),
            "ours_counts": ours.turns[-1].counts if ours.turns else None,
            "ours_profile": ours.hot,
            "reason": reason,
            "command": f"python -m benchmarks.corpus --only {name}",
            "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ"),
            "load": round(os.getloadavg()[0], 1),
        }

    def _ours(self, side: Side, environment: dict[str, str] | None = None, suffix: str = "") -> Contender:
        name = f"{side.options.get('stage', side.name)}{suffix}"
        options = dict(side.options)
        if suffix:  # two of them are there at the same time
            options["out"] = f"{options['out']}-{suffix}"
        return self._contender(side.name, options, environment or {}, name)

    def _contender(
        self, name: str, options: dict[str, Any], environment: dict[str, str], log: str
    ) -> Contender:
        path = self._logs / f"{log}.log"
        return Contender(sys.executable, "benchmarks.ours", name, options, path, environment)

    def _peer(self, side: Side) -> Contender:
        path = self._logs / f"{side.name}.log"
        return Contender(self._options.peers, "benchmarks.peers", side.name, side.options, path)


def _take_turns(contenders: list[Contender], rounds: int, profile: bool = False) -> dict[Contender, str]:
    """Ours, peer, peer, ours, ...; returns who has no result, and why. At the end ours is profiled."""
    failed: dict[Contender, str] = {}
    with ExitStack() as stack:
        for contender in contenders:
            try:
                stack.enter_context(contender)
            except NoResultError as error:
                failed[contender] = str(error)
        for _ in range(rounds):
            for contender in contenders:
                if contender in failed:
                    continue
                try:
                    contender.begin()
                    contender.end()
                except NoResultError as error:
                    failed[contender] = str(error)
        if profile and contenders[0] not in failed:
            contenders[0].hot = contenders[0].profile()
    for contender, reason in failed.items():
        print(f"  {contender.name}: {reason}", file=sys.stderr, flush=True)
    return failed


_NO_PEER: Row = {"peer": None, "peer_value": None, "ratio": None, "ratio_goal": None}


def _beside(side: Side, peer: Contender, reason: str | None) -> Row:
    return {
        "peer": side.label,
        "peer_value": None if reason else _rounded(_megabytes(peer) / peer.cpu),
        "ratio_goal": side.wanted,
        "peer_input": side.input,
        "peer_settings": peer.settings,
        "peer_seconds": _seconds(peer),
        "peer_counts": peer.turns[-1].counts if peer.turns else None,
        "peer_reason": reason,
    }


def _megabytes(contender: Contender) -> float:
    return contender.text_bytes / 1e6


def _seconds(contender: Contender) -> dict[str, list[float]]:
    return {kind: [round(getattr(turn, kind), 3) for turn in contender.turns] for kind in ("cpu", "wall")}


def _rounded(value: float | None) -> float | None:
    """Three digits: the rest is noise."""
    return None if value is None else float(f"{value:.3g}")


def _ratio(ours: float | None, peer: float | None) -> float | None:
    return None if ours is None or peer is None else _rounded(ours / peer)
