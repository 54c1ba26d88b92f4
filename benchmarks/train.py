"""Training beside what a user would pick instead: `make bench-train`, about six minutes on two quiet cores.

    python -m benchmarks.train [--only WORK ...] [--rounds N] [--steps N] [--out FILE]
    python -m benchmarks.train --table

Contenders (trainers.py) are processes that take turns with the same model, sequences and optimizer; the best
turn of each counts. On CPUs each has one thread and CPU seconds count; on a GPU wall seconds do, and one
contender after the other has the device. Without a GPU its rows say "not measured".

Works that take minutes of their own have commands of their own, `python -m benchmarks.NAME` for each of COMPANIONS,
which write results/NAME.json: {"rows": [...]}. Their rows are taken over from there. A row says work, unit, ours,
peer, peer_value, ratio, cores, input, command, date, and where there is one ratio_goal; a figure that could not be
taken is None, and `reason` says why.

Writes benchmarks/results/train.json and from it the table of docs/performance.md. `--only` measures anew what it
names and leaves the other rows as they are.
"""

import argparse
import datetime
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.contender import Contender, NoResultError
from benchmarks.train_table import Row, machine, table, with_table

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "train.json"
DOCUMENT = ROOT / "docs" / "performance.md"
COMPANIONS = ("checkpointing", "speculative")

_CONSTANT = {"warmup_steps": 0, "final_fraction": 1.0}
_CPU = {
    "model": {"hidden_size": 384, "layers": 6, "heads": 6, "ffn_size": 1024, "context": 512},
    "schedule": _CONSTANT, "global_batch_sequences": 4, "micro_batch_sequences": 4, "threads_per_rank": 1,
    "log_every_steps": 10,
}  # fmt: skip
_1B = {
    "model": {"hidden_size": 2048, "layers": 24, "heads": 16, "context": 2048}, "schedule": _CONSTANT,
    "global_batch_sequences": 32, "micro_batch_sequences": 8, "precision": "bf16", "compile": True,
}  # fmt: skip
_7B = {
    "model": {"hidden_size": 4096, "layers": 24, "heads": 32, "context": 2048}, "schedule": _CONSTANT,
    "global_batch_sequences": 16, "micro_batch_sequences": 4, "precision": "bf16", "compile": True,
    "activation_checkpointing": True,
}  # fmt: skip


class Work(NamedTuple):
    title: str
    settings: Mapping[str, Any]
    vocabulary: int
    peers: tuple[str, ...]
    goal: float | None
    ratio_goal: float | None
    gpu: bool


_SMALL = "6 layers x 384, 32,000 pieces, 4 sequences of 512"
WORKS = {
    "cpu-fp32": Work(f"train on a CPU, fp32: {_SMALL}", _CPU | {"precision": "fp32"}, 32000, ("hf",), None, 1.3, False),
    "cpu-bf16": Work(f"train on a CPU, bf16: {_SMALL}", _CPU | {"precision": "bf16"}, 32000, ("hf",), None, 1.3, False),
    "gpu-1.3b": Work("train 1.3B on one GPU, bf16, sequence 2048", _1B, 50000, ("hf", "plain"), 0.5, None, True),
    "gpu-7b": Work("train the shape of 7B, layers that fit, bf16", _7B, 32000, ("hf", "plain"), None, None, True),
}  # fmt: skip
LOADER = "loader"
PEER_NAMES = {"hf": "HF Trainer", "plain": "plain loop (nanoGPT's style)"}


def main(argv: list[str] | None = None) -> None:
    options = _options(argv)
    known = json.loads(options.out.read_text(encoding="utf-8")) if options.out.is_file() else {"rows": []}
    if not options.table:
        names = options.only or [*WORKS, LOADER, *COMPANIONS]
        made: dict[str, list[Row]] = {}
        for name in names:
            print(f"{name} ...", file=sys.stderr, flush=True)
            made[name] = _measure(name, options, made)
        kept = [row for row in known["rows"] if row["name"] not in made]
        order = [*WORKS, LOADER, *COMPANIONS]
        rows = sorted(
            [*kept, *(row for some in made.values() for row in some)],
            key=lambda row: order.index(row["name"]),
        )
        known = {"machine": machine(), "rows": rows}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(known, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        if options.out == RESULTS and DOCUMENT.is_file():
            document = DOCUMENT.read_text(encoding="utf-8")
            DOCUMENT.write_text(with_table(known, document), encoding="utf-8")
    print(table(known))


def _measure(name: str, options: argparse.Namespace, made: Mapping[str, list[Row]]) -> list[Row]:
    if name in COMPANIONS:
        return _companion(name)
    if name == LOADER:
        return [_loader(options, made)]
    work = WORKS[name]
    if work.gpu and _gpu() is None:
        return [_row(name, work.title, peer=PEER_NAMES[peer], reason="no GPU here") for peer in work.peers]
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
        row = _row(name, work.title, peer=PEER_NAMES[peer], reason=failed.get("ours") or failed.get(peer))
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
    contender = _contender("loader", _CPU, _tokens(options.work, 32000), options)
    contender.options = {**contender.options, "steps": 5000}
    row = _row(
        LOADER, "batches alone: order, memory map, tensors", peer="the fastest trainer above", reason=None
    )
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
    given = {
        "tokens": str(tokens),
        "work": str(options.work / side),
        "settings": settings,
        "steps": options.steps,
    }
    environment = {}
    if side == "ours":  # as the launcher gives its ranks
        from components.pretrain.launch import MEMORY  # noqa: PLC0415

        environment = dict(MEMORY)
    if _gpu():
        environment |= {"OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))}
    extra = {"profile": profile} if side in ("ours", "plain") else {}
    log = options.work / f"{side}.log"
    return Contender(sys.executable, "benchmarks.trainers", side, given | extra, log, environment)


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
    peak = peak_flops(_gpu() or "", config.precision)
    result: Row = {"goal": work.goal}
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


def _companion(name: str) -> list[Row]:
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
    return [
        {"peer": None, "peer_value": None, "ratio": None, "reason": None} | row | {"name": name}
        for row in rows
    ]


def _row(name: str, title: str, peer: str, reason: str | None) -> Row:
    return {
        "name": name, "work": title, "unit": None, "ours": None, "peer": peer, "peer_value": None, "ratio": None,
        "goal": None, "ratio_goal": None, "device": _gpu() or machine()["processor"],
        "cores": len(os.sched_getaffinity(0)) if name.startswith("gpu") else 1,
        "input": "synthetic tokens: each 1 to 3 above the one before", "command": f"python -m benchmarks.train --only {name}",
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "load": round(os.getloadavg()[0], 1), "reason": reason,
    }  # fmt: skip


def _gpu() -> str | None:
    import torch  # noqa: PLC0415 - the tables need none of it

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", nargs="+", choices=[*WORKS, LOADER, *COMPANIONS], metavar="WORK")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender (default 3)")
    parser.add_argument("--steps", type=int, default=2, help="timed optimizer steps of a turn (default 2)")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "benchmark-train", help="inputs and logs"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="print the table of the results there are")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
