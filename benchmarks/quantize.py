"""Quantizing beside a plain llm-compressor call: `make bench-eval` runs it too.

    python -m benchmarks.quantize [--only WORK ...] [--rounds N] [--out FILE]
    python -m benchmarks.quantize --table

A random Llama is quantized by the stage `quantize` as it runs, from the model's folder to the published one with its
report, and by llm-compressor alone, with the same settings on the same calibration sequences. What the stage does
besides (choosing sequences, weight errors, comparing the models on held-out sequences, publishing) is its overhead. The
two are processes that take turns; the best turn of each counts. On CPUs each has one thread and CPU seconds count; on a
GPU wall seconds do. Both must write the same tensors: `same_tensors` says whether they did.

Writes benchmarks/results/quantize.json and from it the table of docs/performance.md. `--only` measures anew what it
names and leaves the other rows as they are.
"""

import argparse
import datetime
import json
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.contender import Contender, NoResultError
from benchmarks.machine import gpu_name, machine

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "quantize.json"
DOCUMENT = ROOT / "docs" / "performance.md"
_BEGIN, _END = "<!-- quantization -->\n", "<!-- end -->"
_GOAL = 1.1
_HEAD = """\
| work | s per million parameters | llm-compressor alone | ratio | goal | peak memory, MB | alone | same tensors |
|---|--:|--:|--:|--:|--:|--:|---|"""

Row = dict[str, Any]


class Work(NamedTuple):
    title: str
    shape: Mapping[str, int]
    settings: Mapping[str, Any]
    gpu: bool = False


_SMALL = {
    "vocab_size": 8000, "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 4,
    "num_attention_heads": 6, "num_key_value_heads": 6, "max_position_embeddings": 512,
}  # fmt: skip
_1B = {
    "vocab_size": 50000, "hidden_size": 2048, "intermediate_size": 5504, "num_hidden_layers": 24,
    "num_attention_heads": 16, "num_key_value_heads": 16, "max_position_embeddings": 2048,
}  # fmt: skip
# Sixteen sequences to calibrate on for each that is held out, as the settings' defaults have it.
_FEW = {"group_size": 128, "calibration_sequences": 32, "held_out_sequences": 2, "sequence_tokens": 512}
_FEWER = {**_FEW, "calibration_sequences": 16, "held_out_sequences": 1, "sequence_tokens": 256}
_MANY = {"group_size": 128, "sequence_tokens": 2048}
WORKS = {
    "cpu-gptq": Work("GPTQ on a CPU, 13M parameters", _SMALL, {"method": "gptq", **_FEW}),
    "cpu-awq": Work("AWQ on a CPU, 13M parameters", _SMALL, {"method": "awq", **_FEWER}),
    "gpu-gptq": Work("GPTQ of the shape of 1.3B on one GPU", _1B, {"method": "gptq", **_MANY}, gpu=True),
    "gpu-awq": Work("AWQ of the shape of 1.3B on one GPU", _1B, {"method": "awq", **_MANY}, gpu=True),
}


def main(argv: list[str] | None = None) -> None:
    options = _options(argv)
    known = json.loads(options.out.read_text(encoding="utf-8")) if options.out.is_file() else {"rows": []}
    if not options.table:
        for name in options.only or WORKS:
            print(f"{name} ...", file=sys.stderr, flush=True)
            rows = [row for row in known["rows"] if row["name"] != name] + [_measure(name, options)]
            known = {"machine": machine(), "rows": sorted(rows, key=lambda row: [*WORKS].index(row["name"]))}
            _save(known, options.out)  # at once: a later work may fail
    print(table(known))


def table(results: dict[str, Any]) -> str:
    """What the terminal and docs/performance.md show."""
    rows = results["rows"]
    lines = [_HEAD, *(f"| {' | '.join(_cells(row))} |" for row in rows)]
    if measured := [row for row in rows if row["ours"]]:
        dates, loads = sorted(row["date"] for row in measured), sorted(row["load"] for row in measured)
        where = f"{results['machine']['processor']}, load average {loads[0]} to {loads[-1]}"
        lines += ["", f"Measured {dates[0]} to {dates[-1]} on {where}."]
    return "\n".join(lines)


def with_table(results: dict[str, Any], document: str) -> str:
    """The document with what stands between `<!-- quantization -->` and `<!-- end -->` made anew."""
    before, begin, rest = document.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError("no table `quantization` in the document")
    return f"{before}{begin}{table(results)}\n{end}{after}"


def _cells(row: Row) -> list[str]:
    if row["ours"] is None:
        return [row["work"], f"not measured: {row['reason']}", "", "", f"{row['ratio_goal']}", "", "", ""]
    return [
        row["work"],
        f"{row['ours']:.3g}",
        f"{row['peer_value']:.3g}",
        f"{row['ratio']:.3f}",
        f"at most {row['ratio_goal']}",
        f"{row['ours_peak_mb']}",
        f"{row['peer_peak_mb']}",
        "yes" if row["same_tensors"] else "no",
    ]


def _measure(name: str, options: argparse.Namespace) -> Row:
    work = WORKS[name]
    row = _row(name, work, options)
    if work.gpu and gpu_name() is None:
        return row | {"reason": "no GPU here"}
    folder = options.work / name
    model, tokens = folder / "model", folder / "tokens"
    parameters = _write_inputs(work, model, tokens)
    sides = {
        side: Contender(
            sys.executable, "benchmarks.quantizers", side,
            {"model": str(model), "tokens": str(tokens), "out": str(folder / side), "settings": work.settings},
            folder / f"{side}.log", _threads(work), limit_seconds=1800,
        )
        for side in ("ours", "plain")
    }  # fmt: skip
    # On a GPU one after the other has the device, and its memory.
    turns = [[side] for side in sides.values()] if work.gpu else [list(sides.values())]
    for group in turns:
        if reason := _take_turns(group, options.rounds):
            return row | {"reason": reason}
    kind = "wall" if work.gpu else "cpu"
    ours, theirs = (min(turn.counts[kind] for turn in side.turns) for side in sides.values())
    return row | {
        "parameters": parameters,
        "ours": round(ours / parameters * 1e6, 3), "peer_value": round(theirs / parameters * 1e6, 3),
        "ratio": round(ours / theirs, 3),
        "ours_peak_mb": sides["ours"].turns[0].counts["peak_mb"],
        "peer_peak_mb": sides["plain"].turns[0].counts["peak_mb"],
        "same_tensors": same_tensors(folder / "ours", folder / "plain"),
        "ours_turns": [turn.counts for turn in sides["ours"].turns],
        "peer_turns": [turn.counts for turn in sides["plain"].turns],
        "ours_settings": sides["ours"].settings, "peer_settings": sides["plain"].settings,
    }  # fmt: skip


def _take_turns(sides: list[Contender], rounds: int) -> str | None:
    """Why there is no result, if there is none."""
    try:
        with ExitStack() as begun:
            for side in sides:
                begun.enter_context(side)
            for _ in range(rounds):
                for side in sides:
                    side.begin()
                    side.end()
    except NoResultError as error:
        return str(error)
    return None


def same_tensors(one: Path, other: Path) -> bool:
    """Whether two model folders hold the same tensors, bit for bit."""
    import torch  # noqa: PLC0415 - the table needs none of it
    from safetensors.torch import load_file  # noqa: PLC0415 - NumPy has no bfloat16

    def held(folder: Path) -> dict[str, Any]:
        return {
            name: tensor for path in folder.glob("*.safetensors") for name, tensor in load_file(path).items()
        }

    def same(a: Any, b: Any) -> bool:
        # By bytes: as numbers NaN is not itself, and 0 is -0.
        parts = [tensor.reshape(-1).view(torch.uint8) for tensor in (a, b)]
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(*parts)

    first, second = held(one), held(other)
    return first.keys() == second.keys() != set() and all(same(first[name], second[name]) for name in first)


def _write_inputs(work: Work, model: Path, tokens: Path) -> int:
    """A random model with a tokenizer of its size, and tokens that can be guessed; returns its parameters."""
    import torch  # noqa: PLC0415
    from tokenizers import Tokenizer, models  # noqa: PLC0415
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: PLC0415

    from benchmarks.trainers import write_tokens  # noqa: PLC0415

    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16 if work.gpu else torch.float32)
    made = LlamaForCausalLM(LlamaConfig(**work.shape, tie_word_embeddings=False))
    torch.set_default_dtype(torch.float32)
    made.save_pretrained(model)
    size = work.shape["vocab_size"]
    pieces = Tokenizer(models.WordLevel({f"w{number}": number for number in range(size)}, "w0"))
    named = {"eos_token": "w1"}
    PreTrainedTokenizerFast(tokenizer_object=pieces, **named).save_pretrained(model)
    sequences = work.settings.get("calibration_sequences", 256) + work.settings.get("held_out_sequences", 16)
    # write_tokens gives a twentieth to validation, of which the stage calibrates on three quarters at most.
    write_tokens(tokens, size, 20 * 2 * sequences * work.settings["sequence_tokens"])
    return sum(weight.numel() for weight in made.parameters())


def _threads(work: Work) -> dict[str, str]:
    return {"OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))} if work.gpu else {}


def _row(name: str, work: Work, options: argparse.Namespace) -> Row:
    settings = ", ".join(f"{key} {value}" for key, value in work.settings.items() if key != "method")
    return {
        "name": name, "work": work.title,
        "unit": "seconds per million parameters" if work.gpu else "CPU seconds per million parameters",
        "ours": None, "peer": "llmcompressor.oneshot", "peer_value": None, "ratio": None, "ratio_goal": _GOAL,
        "device": gpu_name() or ("none at hand" if work.gpu else machine()["processor"]),
        "cores": len(os.sched_getaffinity(0)) if work.gpu else 1,
        "input": f"random weights; {settings}; best of {options.rounds} turns",
        "command": f"python -m benchmarks.quantize --only {name} --rounds {options.rounds}",
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "load": round(os.getloadavg()[0], 1), "reason": None,
    }  # fmt: skip


def _save(results: dict[str, Any], out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    if out == RESULTS and DOCUMENT.is_file():
        DOCUMENT.write_text(with_table(results, DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantize", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", nargs="+", choices=WORKS, metavar="WORK")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each side (default 2)")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "benchmark-quantize", help="inputs, outputs, logs"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="print the table of the results there are")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
