"""Evaluation beside plain lm-eval: `make bench-eval`, which runs benchmarks.quantize too.

    python -m benchmarks.eval [--only WORK ...] [--rounds N] [--items N] [--out FILE]
    python -m benchmarks.eval --table

Both sides (evaluators.py) run the same tasks on the same real items through lm-eval's `evaluate`, from building the
requests to the scores: ours with the model object of the stage, the peer with lm-eval's HFLM at several batch sizes,
of which the best counts for each task. They are processes that take turns; the best turn counts. On CPUs each has one
thread and CPU seconds count; on a GPU wall seconds do, and one contender after the other has the device.

Random weights are as fast as trained ones. Every likelihood, text and score of both sides is compared: `differing`
counts the answers and scores that are not the same, `nats` is the largest difference of two likelihoods.

Writes benchmarks/results/eval.json, takes the rows of quantize.json over into it, and writes the table of
docs/performance.md. `--only` measures anew what it names and leaves the other rows as they are.
"""

import argparse
import datetime
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.contender import Contender, NoResultError
from benchmarks.eval_table import Row, table, with_table
from benchmarks.eval_works import WORKS, Work, link_sets
from benchmarks.machine import gpu_name, machine

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "eval.json"
DOCUMENT = ROOT / "docs" / "performance.md"


def main(argv: list[str] | None = None) -> None:
    options = _options(argv)
    known = json.loads(options.out.read_text(encoding="utf-8")) if options.out.is_file() else {"rows": []}
    if not options.table:
        for name in options.only or WORKS:
            print(f"{name} ...", file=sys.stderr, flush=True)
            rows = [row for row in known["rows"] if row["name"] != name] + _measure(name, options)
            known = {"machine": machine(), "rows": sorted(rows, key=lambda row: [*WORKS].index(row["name"]))}
            _save(known, options.out)  # at once: a later work may fail
    print(table(known))


def _save(results: dict[str, Any], out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    companion = out.with_name("quantize.json")
    if companion.is_file():
        results["quantization"] = json.loads(companion.read_text(encoding="utf-8"))["rows"]
    out.write_text(json.dumps(results, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    if out == RESULTS and DOCUMENT.is_file():
        DOCUMENT.write_text(with_table(results, DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


def _measure(name: str, options: argparse.Namespace) -> list[Row]:
    work = WORKS[name]
    tasks = {task: {**one, "items": options.items or one["items"]} for task, one in work.tasks.items()}
    rows = {task: _row(name, task, work, tasks, options) for task in (*tasks, "all")}
    reason = "no GPU here" if work.gpu and gpu_name() is None else None
    missing = [str(folder) for folder in work.sets if not folder.is_dir()]
    reason = reason or (f"no real data at {missing[0]} (set KAJIYA_SHARED_DATA)" if missing else None)
    if reason:
        return [row | {"reason": reason} for row in rows.values()]
    model, sets = options.work / name, options.work / f"{name}-sets"
    link_sets(work, sets)
    if not (model / "config.json").is_file():
        work.model(model)
    given = {"model": str(model), "sets": str(sets), "settings": work.settings}
    sides: list[tuple[str, dict[str, Any]]] = [("ours", {"tasks": tasks})]
    for batch, asked in work.batches.items():
        sides.append(("plain", {"batch": batch, "tasks": {task: tasks[task] for task in asked}}))
    contenders = [
        Contender(
            sys.executable, "benchmarks.evaluators", side, {**given, **more},
            options.work / f"{name}-{side}{more.get('batch', '')}.log", _threads(work), limit_seconds=1800,
        )
        for side, more in sides
    ]  # fmt: skip
    failed = _take_turns(contenders, options.rounds, alone=work.gpu)
    ours, peers = contenders[0], [peer for peer in contenders[1:] if peer not in failed]
    if ours in failed or {task for peer in peers for task in peer.options["tasks"]} != set(tasks):
        return [row | {"reason": next(iter(failed.values()))} for row in rows.values()]
    return _filled(rows, ours, peers, "wall" if work.gpu else "cpu")


def _take_turns(contenders: list[Contender], rounds: int, alone: bool) -> dict[Contender, str]:
    """Who has no result, and why."""
    failed: dict[Contender, str] = {}
    for group in [[one] for one in contenders] if alone else [contenders]:
        with ExitStack() as begun:
            for one in group:
                try:
                    begun.enter_context(one)
                except NoResultError as error:
                    failed[one] = str(error)
            for one in (one for _ in range(rounds) for one in group if one not in failed):
                try:
                    one.begin()
                    one.end()
                except NoResultError as error:
                    failed[one] = str(error)
    for one, reason in failed.items():
        print(f"  {one.log.stem}: {reason}", file=sys.stderr, flush=True)
    return failed


def _filled(rows: dict[str, Row], ours: Contender, peers: list[Contender], kind: str) -> list[Row]:
    """The rows with their figures: a row for each task, and one for all of them together."""

    def seconds(side: Contender, task: str) -> float:
        return min(turn.counts[task][kind] for turn in side.turns)

    total = {"requests": 0, "ours": 0.0, "peer": 0.0}
    filled = []
    for task, row in rows.items():
        if task == "all":
            break
        tried = [peer for peer in peers if task in peer.options["tasks"]]
        best = min(tried, key=lambda peer: seconds(peer, task))
        said, theirs = ours.turns[-1].counts[task], best.turns[-1].counts[task]
        times = {"ours": seconds(ours, task), "peer": seconds(best, task)}
        total = {
            "requests": total["requests"] + said["requests"],
            **{k: total[k] + t for k, t in times.items()},
        }
        filled.append(
            row
            | _speeds(said["requests"], **times)
            | compared(said, theirs)
            | {
                "peer": f"lm-eval, batch size {best.options['batch']}",
                "ours_settings": ours.settings, "peer_settings": best.settings,
                "peer_seconds": {str(peer.options["batch"]): round(seconds(peer, task), 3) for peer in tried},
            }
        )  # fmt: skip
    nats = [row["nats"] for row in filled if row["nats"] is not None]
    whole = {"differing": sum(row["differing"] for row in filled), "nats": max(nats, default=None)}
    return [*filled, rows["all"] | _speeds(**total) | whole | {"peer": "lm-eval, best batch size of each"}]


def _speeds(requests: int, ours: float, peer: float) -> Row:
    return {
        "requests": requests, "ours": float(f"{requests / ours:.4g}"), "peer_value": float(f"{requests / peer:.4g}"),
        "ratio": round(peer / ours, 3), "ours_seconds": round(ours, 3),
    }  # fmt: skip


def compared(ours: dict[str, Any], theirs: dict[str, Any]) -> Row:
    """Answers and scores that are not the same, and the largest difference of two likelihoods in nats."""
    differing = sum(ours["scores"].get(name) != value for name, value in theirs["scores"].items())
    nats = None
    for one, other in zip(ours["answers"], theirs["answers"], strict=True):
        if isinstance(one[0], str):
            differing += one != other
        else:
            differing += one.index(max(one)) != other.index(max(other))
            nats = max(nats or 0.0, *(abs(a - b) for a, b in zip(one, other, strict=True)))
    return {"differing": differing, "nats": nats}


def _row(name: str, task: str, work: Work, tasks: dict[str, Any], options: argparse.Namespace) -> Row:
    """A row without figures."""
    asked = {key: tasks[key] for key in (tasks if task == "all" else [task])}
    words = [
        f"{key} {one['shots']}-shot, {one['items']} items"
        + (f", {one['new_tokens']} new tokens" if "new_tokens" in one else "")
        for key, one in asked.items()
    ]
    turns = f"best of {options.rounds} turns" if options.rounds > 1 else "one turn"
    items = f" --items {options.items}" if options.items else ""
    return {
        "name": name, "task": task, "work": work.title,
        "unit": "requests/s" if work.gpu else "requests per CPU second",
        "ours": None, "peer": None, "peer_value": None, "ratio": None, "ratio_goal": work.ratio_goal,
        "differing": None, "nats": None,
        "device": gpu_name() or ("none at hand" if work.gpu else machine()["processor"]),
        "cores": len(os.sched_getaffinity(0)) if work.gpu else 1,
        "input": f"{'; '.join(words)}; {turns}",
        "command": f"python -m benchmarks.eval --only {name} --rounds {options.rounds}{items}",
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "load": round(os.getloadavg()[0], 1), "reason": None,
    }  # fmt: skip


def _threads(work: Work) -> dict[str, str]:
    return {"OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))} if work.gpu else {}


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.eval", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", nargs="+", choices=WORKS, metavar="WORK")
    parser.add_argument("--rounds", type=int, default=1, help="turns of each side (default 1)")
    parser.add_argument("--items", type=int, help="items of each task, in place of as many as the work says")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "benchmark-eval", help="models and logs"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="print the table of the results there are")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
