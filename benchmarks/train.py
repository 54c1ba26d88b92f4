"""Training beside what a user would pick instead: `make bench-train`, under ten minutes on two quiet cores.

    python -m benchmarks.train [--only WORK ...] [--rounds N] [--steps N] [--out FILE]
    python -m benchmarks.train --table

Contenders (trainers.py) are processes that take turns with the same model, sequences and optimizer; the best
turn of each counts. HF Trainer is measured as its users start it, and again with the memory settings that our
launcher gives its ranks; for bf16 also with the weights themselves in bf16. On CPUs each has one thread and CPU seconds count; on a GPU wall seconds do, and one
contender after the other has the device. Without a GPU its rows say "not measured".

The COMPANIONS are programs of their own, `python -m benchmarks.NAME`, which write NAME.json, {"rows": [...]}, beside
the results. They are run from here, and their rows taken over. A row says work, unit, ours, peer, peer_value, ratio,
cores, input, command, date, and where there are ones ratio_goal, or goal: what our value should not exceed. A figure that
could not be taken is None, and `reason` says why.

Writes benchmarks/results/train.json and from it the table of docs/performance.md. `--only` measures anew what it
names and leaves the other rows as they are.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.contender import Contender, NoResultError
from benchmarks.machine import gpu_name, machine
from benchmarks.train_table import Row, table, with_table
from benchmarks.train_works import CPU, LOADER, OURS, PEERS, WORKS, Work

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "train.json"
DOCUMENT = ROOT / "docs" / "performance.md"
COMPANIONS = ("checkpointing", "speculative")
ORDER = (*WORKS, LOADER, *COMPANIONS)


def main(argv: list[str] | None = None) -> None:
    options = _options(argv)
    known = json.loads(options.out.read_text(encoding="utf-8")) if options.out.is_file() else {"rows": []}
    if not options.table:
        made: dict[str, list[Row]] = {}
        for name in options.only or ORDER:
            print(f"{name} ...", file=sys.stderr, flush=True)
            made[name] = _measure(name, options, made)
            known = _merged(known, made)
            _save(known, options.out)  # at once: a later work may fail
    print(table(known))


def _merged(known: dict[str, Any], made: Mapping[str, list[Row]]) -> dict[str, Any]:
    kept = [row for row in known["rows"] if row["name"] not in made]
    rows = [*kept, *(row for some in made.values() for row in some)]
    return {"machine": machine(), "rows": sorted(rows, key=lambda row: ORDER.index(row["name"]))}


def _save(results: dict[str, Any], out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    if out == RESULTS and DOCUMENT.is_file():
        DOCUMENT.write_text(with_table(results, DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


def _measure(name: str, options: argparse.Namespace, made: Mapping[str, list[Row]]) -> list[Row]:
    if name in COMPANIONS:
        return _companion(name, options.out.parent)
    if name == LOADER:
        return [_loader(options, made)]
    work = WORKS[name]
    if work.gpu and gpu_name() is None:
        return [_row(name, work.title, PEERS[peer].title, options, "no GPU here") for peer in work.peers]
    return _train(name, work, options)


def _train(name: str, work: Work, options: argparse.Namespace) -> list[Row]:
    settings = dict(work.settings)
    if name == "gpu-7b":
        settings["model"] = {**settings["model"], "layers": _layers_that_fit()}
    tokens = _tokens(options.work, work.vocabulary)
    sides = {
        side: _contender(side, settings, tokens, options, profile=work.gpu) for side in ("ours", *work.peers)
    }
    failed = _alone(sides, options.rounds) if work.gpu else _in_turns(sides, options.rounds)
    kind = "wall" if work.gpu else "cpu"
    ours = sides["ours"]
    value = None if "ours" in failed else _speed(ours, kind)
    rows = []
    for peer in work.peers:
        theirs = None if peer in failed else _speed(sides[peer], kind)
        row = _row(name, work.title, PEERS[peer].title, options, failed.get("ours") or failed.get(peer))
        row |= {
            "unit": "tokens/s" if work.gpu else "tokens per CPU second",
            "ours": value, "peer_value": theirs, "ratio": round(value / theirs, 3) if value and theirs else None,
            "ratio_goal": work.ratio_goal, "settings": settings,
            "ours_turns": [turn.counts for turn in ours.turns], "peer_turns": [turn.counts for turn in sides[peer].turns],
            "ours_settings": ours.settings, "peer_settings": sides[peer].settings,
        }  # fmt: skip
        if work.gpu:
            row |= _utilisation(settings, work, value, theirs)
        rows.append(row)
    return rows


def _loader(options: argparse.Namespace, made: Mapping[str, list[Row]]) -> Row:
    """Batches alone, beside what the fastest trainer measured in this run eats."""
    speeds = [row["ours"] for name in WORKS for row in made.get(name, []) if row["ours"]]
    contender = _contender("loader", CPU, _tokens(options.work, 32000), options)
    contender.options = {**contender.options, "steps": 5000}
    row = _row(
        LOADER, "batches alone: order, memory map, tensors", "the fastest trainer above", options, None
    )
    row["input"] = row["input"].replace(f"of {options.steps} steps", "of 5000 steps")
    failed = _in_turns({"loader": contender}, options.rounds)
    value = None if failed else _speed(contender, "cpu")
    eaten = max(speeds, default=None)
    reason = failed.get("loader") or (None if eaten else "no trainer was measured in this run")
    return row | {
        "unit": "tokens per CPU second", "ours": value, "peer_value": eaten, "reason": reason,
        "ratio": round(value / eaten, 1) if value and eaten else None, "ratio_goal": 50,
    }  # fmt: skip


def _contender(
    side: str, settings: Mapping[str, Any], tokens: Path, options: argparse.Namespace, profile: bool = False
) -> Contender:
    peer = PEERS.get(side, OURS._replace(contender=side, memory=side == "ours"))
    given = {
        "tokens": str(tokens), "work": str(options.work / side), "settings": settings, "steps": options.steps,
        **peer.options, **({"profile": profile} if peer.contender in ("ours", "plain") else {}),
    }  # fmt: skip
    environment = {}
    if peer.memory:  # as the launcher gives its ranks
        from components.pretrain.launch import MEMORY  # noqa: PLC0415

        environment = dict(MEMORY)
    if gpu_name():
        environment |= {"OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))}
    log = options.work / f"{side}.log"
    return Contender(sys.executable, "benchmarks.trainers", peer.contender, given, log, environment)


def _in_turns(sides: Mapping[str, Contender], rounds: int) -> dict[str, str]:
    """All at work in turns; who has no result, and why."""
    failed: dict[str, str] = {}
    begun: list[Contender] = []
    try:
        for name, side in sides.items():
            _try(failed, name, lambda side=side: begun.append(side.__enter__()))  # type: ignore[misc]
        for _ in range(rounds):
            for name, side in sides.items():
                if name not in failed:
                    _try(failed, name, lambda side=side: (side.begin(), side.end()))  # type: ignore[misc]
    finally:
        for side in begun:
            side.__exit__()
    return failed


def _alone(sides: Mapping[str, Contender], rounds: int) -> dict[str, str]:
    failed: dict[str, str] = {}
    for name, side in sides.items():
        failed |= _in_turns({name: side}, rounds)
    return failed


def _try(failed: dict[str, str], name: str, call: Callable[[], Any]) -> None:
    try:
        call()
    except NoResultError as error:
        failed[name] = str(error)
        print(f"  {name}: {error}", file=sys.stderr, flush=True)


def _speed(side: Contender, kind: str) -> float:
    """Tokens a second of the best turn: what disturbs one only makes it longer."""
    return float(f"{max(turn.counts['tokens'] / turn.counts[kind] for turn in side.turns):.4g}")


def _utilisation(settings: Mapping[str, Any], work: Work, ours: float | None, theirs: float | None) -> Row:
    """MFU with causal attention counted by half, and in full as llm-foundry counts it."""
    from components.pretrain.settings import PretrainSettings  # noqa: PLC0415
    from components.pretrain.throughput import mfu, peak_flops, training_flops_per_token  # noqa: PLC0415
    from kajiya.lm.model import llama_config  # noqa: PLC0415

    config = PretrainSettings.model_validate(settings)
    shape = llama_config(config.model, work.vocabulary, {})
    peak = peak_flops(gpu_name() or "", config.precision)
    result: Row = {"mfu_goal": work.mfu_goal}
    for causal, suffix in ((True, ""), (False, "_full_attention")):
        flops = training_flops_per_token(shape, config.model.context, causal)
        for side, speed in (("ours", ours), ("peer", theirs)):
            result[f"{side}_mfu{suffix}"] = round(mfu(speed, flops, peak), 4) if speed and peak else None
    return result


def _layers_that_fit() -> int:
    """Of the shape of 7B: 18 bytes per parameter, and a tenth of the memory for activations."""
    import torch  # noqa: PLC0415

    memory = torch.cuda.get_device_properties(0).total_memory
    layer, embeddings = 4 * 4096**2 + 3 * 4096 * 11008, 2 * 32000 * 4096
    return max(1, min(32, int((0.88 * memory / 18 - embeddings) // layer)))


def _tokens(work: Path, vocabulary: int) -> Path:
    from benchmarks.trainers import write_tokens  # noqa: PLC0415

    folder = work / f"tokens-{vocabulary}"
    if not (folder / "tokens.json").is_file():
        write_tokens(folder, vocabulary, 5_000_000)
    return folder


def _companion(name: str, folder: Path) -> list[Row]:
    path = folder / f"{name}.json"
    ended = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--out", str(path)], stdout=sys.stderr, check=False
    )
    if ended.returncode:
        sys.exit(f"error: benchmarks.{name} ended with {ended.returncode}; what it says stands above")
    return taken_over(name, json.loads(path.read_text(encoding="utf-8")))


def taken_over(name: str, results: Mapping[str, Any]) -> list[Row]:
    """The rows of a companion as they stand in ours."""
    empty = {"peer": None, "peer_value": None, "ratio": None, "reason": None}
    return [empty | row | {"name": name} for row in results["rows"]]


def _row(name: str, title: str, peer: str, options: argparse.Namespace, reason: str | None) -> Row:
    """A row without figures. Rounds and steps stand in the command that gives it again, and in words beside the input."""
    turns = f"best of {options.rounds} turns" if options.rounds > 1 else "one turn"
    gpu = name.startswith("gpu")
    names = " ".join(("cpu-fp32", "cpu-bf16", name)) if name == LOADER else name
    return {
        "name": name, "work": title, "unit": None, "ours": None, "peer": peer, "peer_value": None, "ratio": None,
        "ratio_goal": None, "device": gpu_name() or ("none at hand" if gpu else machine()["processor"]),
        "cores": len(os.sched_getaffinity(0)) if gpu else 1,
        "input": f"synthetic tokens: each 1 to 3 above the one before; {turns} of {options.steps} steps",
        "command": f"python -m benchmarks.train --only {names} --rounds {options.rounds} --steps {options.steps}",
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "load": round(os.getloadavg()[0], 1), "reason": reason,
    }  # fmt: skip


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", nargs="+", choices=ORDER, metavar="WORK")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each contender (default 2)")
    parser.add_argument("--steps", type=int, default=2, help="timed optimizer steps of a turn (default 2)")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "benchmark-train", help="inputs and logs"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="print the table of the results there are")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
