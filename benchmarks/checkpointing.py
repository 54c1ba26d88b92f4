"""What checkpoints cost the training: `python -m benchmarks.checkpointing`, under two minutes on two quiet cores.

The trainer of the stage runs in this process, one rank on plain torch and all cores, in turns: without checkpoints,
with them, and (the peer) with the same written within the step, as trainers do that have no thread for it. Measured are
the same steps with and without a checkpoint in them: how much longer they take is what it costs, the copy in which the
training stands still and the writing thread's share of the cores. It is told as a share of `--interval-seconds` of
training between two checkpoints. The second checkpoint counts: the first one allocates memory that the others use again.
On a machine that does other work wall time says little; `seconds` also holds for how long training stood still and the
CPU time of copying and writing.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from components.pretrain.settings import PretrainSettings
from components.pretrain.training import train
from kajiya.lm.checkpoint_writer import CheckpointWriter

PIECES, CONTEXT = 32_000, 128
GOAL = 0.03
OUT = Path("benchmarks/results/checkpointing.json")
KINDS = ("without", "beside", "within")


class Notice:
    came = False


@dataclass
class Clock:
    """In the place of the heart: when each step began, and what each save cost."""

    begun: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Wall and CPU seconds at the begin of each step."""
    held: dict[int, float] = field(default_factory=dict)
    """Wall seconds for which the save after a step held up the next."""
    worked: dict[int, float] = field(default_factory=dict)
    """CPU seconds of the save after a step, in both threads."""
    saving: tuple[int, float, float] | None = None

    def start(self, step: int) -> None:
        self.beat("load", step)

    def beat(self, doing: str, step: int) -> None:
        now = time.perf_counter()
        if self.saving:
            saved, wall, cpu = self.saving
            self.held[saved], self.saving = now - wall, None
            self.add(saved, time.thread_time() - cpu)
        if doing == "save":
            self.saving = step, now, time.thread_time()
        elif doing == "forward and backward":
            self.begun.setdefault(step, (now, time.process_time()))

    def pulse(self) -> None:
        """What is long between two beats is no matter here."""

    def add(self, step: int, seconds: float) -> None:
        self.worked[step] = self.worked.get(step, 0.0) + seconds


@dataclass
class Cost:
    """Of one interval, in seconds."""

    wall: float
    cpu: float
    held: float
    worked: float


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--interval-seconds", type=float, default=60.0, help="of training between two checkpoints"
    )
    parser.add_argument("--steps", type=int, default=8, help="measured, with one checkpoint among them")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each; the shortest counts")
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args(argv)
    os.environ["TQDM_DISABLE"] = "1"
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    with tempfile.TemporaryDirectory(dir=os.environ.get("KAJIYA_SCRATCH")) as folder:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{folder}/meet", rank=0, world_size=1
        )
        world = write_world(Path(folder))
        shape = {"hidden_size": arguments.hidden, "layers": arguments.layers, "heads": 8, "context": CONTEXT}
        costs: dict[str, list[Cost]] = {kind: [] for kind in KINDS}
        for _ in range(arguments.rounds):
            for kind in KINDS:
                costs[kind].append(measure(world, shape, kind, arguments.steps))
        parameters = json.loads((Path(folder) / "without" / "work" / "figures.json").read_text())[
            "parameters"
        ]
        torch.distributed.destroy_process_group()
    row = make_row(costs, parameters, arguments)
    arguments.out.write_text(json.dumps({"rows": [row]}, indent=2) + "\n")
    print(json.dumps(row, indent=2))


def measure(world: Path, shape: dict[str, Any], kind: str, every: int) -> Cost:
    """Train for three intervals, and take the last one: it begins with a step and the second checkpoint."""
    folder = world / kind
    config = settings(shape, every, kind)
    job = {
        "config": config.model_dump(mode="json"), "steps": config.steps, "base": None, "tokens": str(world / "tokens"),
        "tokenizer": str(world / "tokenizer"), "evaluation_sets": str(world), "out": str(folder / "out"),
        "work": str(folder / "work"), "pages": str(folder / "pages"),
    }  # fmt: skip
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "work").mkdir(parents=True)
    clock = Clock()
    with timed(clock, within=kind == "within"):
        train(job, Notice(), clock)
    saved = 2 * every
    (wall, cpu), (wall_end, cpu_end) = clock.begun[saved - 1], clock.begun[saved - 1 + every]
    return Cost(wall_end - wall, cpu_end - cpu, clock.held.get(saved, 0.0), clock.worked.get(saved, 0.0))


@contextmanager
def timed(clock: Clock, within: bool) -> Iterator[None]:
    """Tell the clock what the writing thread works; within: the step waits for it."""
    save, run = CheckpointWriter.save, CheckpointWriter._run

    def saved(writer: CheckpointWriter, *given: Any) -> None:
        save(writer, *given)
        if within:
            writer.wait()

    def ran(writer: CheckpointWriter, step: int, *given: Any) -> None:
        run(writer, step, *given)
        clock.add(step, time.thread_time())

    with patch.object(CheckpointWriter, "save", saved), patch.object(CheckpointWriter, "_run", ran):
        yield


def settings(shape: dict[str, Any], every: int, kind: str) -> PretrainSettings:
    """Checkpoints after one and two intervals, and after the last step."""
    steps = 3 * every
    return PretrainSettings.model_validate(
        {
            "model": shape, "steps": steps, "max_epochs": 1e6, "schedule": {"warmup_steps": 1}, "precision": "fp32",
            "global_batch_sequences": 2, "micro_batch_sequences": 2, "zero_stage": 0, "validation_sequences": 1,
            "save_every_steps": steps if kind == "without" else every, "keep_checkpoints": 1,
            "validate_every_steps": steps, "log_every_steps": steps,
        }
    )  # fmt: skip


def write_world(folder: Path) -> Path:
    """Random tokens and the names of their pieces: what is learned does not matter here."""
    tokens, tokenizer = folder / "tokens", folder / "tokenizer"
    for path in (tokens, tokenizer):
        path.mkdir()
    rng = np.random.default_rng(0)
    for split, count in (("train", 100_000), ("validation", 2_000)):
        np.save(tokens / f"{split}.npy", rng.integers(3, PIECES, count).astype(np.uint16))
        spans = {"start": [0], "end": [count], "document_id": ["d"], "source": ["noise"]}
        pq.write_table(pa.table(spans), tokens / f"{split}.spans.parquet")
    (tokens / "tokens.json").write_text(json.dumps({"vocabulary_size": PIECES, "end_of_sequence": 2}))
    pieces = [
        ["<unk>", 0.0],
        ["<s>", 0.0],
        ["</s>", 0.0],
        *([f"p{number}", -1.0] for number in range(PIECES - 3)),
    ]
    model = {"type": "Unigram", "unk_id": 0, "vocab": pieces}
    (tokenizer / "tokenizer.json").write_text(
        json.dumps({"version": "1.0", "model": model, "added_tokens": []})
    )
    names = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(names))
    return folder


def make_row(costs: dict[str, list[Cost]], parameters: int, arguments: argparse.Namespace) -> dict[str, Any]:
    best = {kind: min(found, key=lambda cost: cost.wall) for kind, found in costs.items()}
    interval = arguments.interval_seconds
    ours, theirs = ((best[kind].wall - best["without"].wall) / interval for kind in ("beside", "within"))
    turns = f"best of {arguments.rounds} turns" if arguments.rounds > 1 else "one turn"
    return {
        "name": "checkpointing",
        "work": f"a checkpoint of {parameters / 1e6:.0f}M parameters ({12 * parameters / 1e9:.2f} GB) every "
        f"{interval:g} s of training, fp32",
        "unit": "share of wall time that it costs",
        "ours": round(ours, 4),
        "goal": GOAL,
        "peer": "the same, written within the step",
        "peer_value": round(theirs, 4),
        "ratio": round(theirs / ours, 2) if min(ours, theirs) > 0 else None,
        "share_stood_still": round(best["beside"].held / interval, 4),
        "share_of_cpu_time": round(best["beside"].worked / interval, 4),
        "seconds": {
            kind: {name: round(value, 2) for name, value in asdict(cost).items()}
            for kind, cost in best.items()
        },
        "load": round(os.getloadavg()[0], 1),
        "cores": len(os.sched_getaffinity(0)),
        "input": f"random tokens, 2 sequences of {CONTEXT} a step; one checkpoint in {arguments.steps} steps, {turns}",
        "command": f"python -m benchmarks.checkpointing --interval-seconds {interval:g} --steps {arguments.steps} "
        f"--rounds {arguments.rounds}",
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
    }


if __name__ == "__main__":
    main()
