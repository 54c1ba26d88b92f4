"""Disturb trainings at random and compare with undisturbed ones: `python tests/chaos_training.py --kills 30`.

Each round trains a tiny model as a person would start it, disturbs it again and again, starts it anew, and
compares what comes out. At the planned number of ranks the whole OUT and its report must have the bytes of
the calm run; where rounds change the number of ranks, samples.parquet must, and the loss may differ by BOUND.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1])]

from test_pretrain import prepare, small
from training_run import (
    contents,
    damage_newest,
    end,
    events,
    losses,
    rank_processes,
    saved_steps,
    signal_all,
    start,
    wait_for_step,
)

from components.pretrain.settings import PretrainSettings

STEPS = 300
BOUND = 1e-4
"""Relative, of each loss: sums of other orders differ in the last bits, and the steps carry them on."""
KINDS = ("one rank", "all ranks", "stage", "notice", "notice to all", "stop one rank", "damage")
STATUS = {
    "one rank": 75,
    "all ranks": 75,
    "stage": -9,
    "notice": 75,
    "notice to all": 75,
    "stop one rank": 75,
}
HANG_SECONDS = 30


def settings(ranks: int, zero_stage: int) -> PretrainSettings:
    return small(
        steps=STEPS, max_epochs=99, ranks=ranks, zero_stage=zero_stage, precision="fp32", save_every_steps=20,
        validate_every_steps=100, log_every_steps=5,
    )  # fmt: skip


def disturb(kind: str, stage: subprocess.Popen, out: Path, chance: random.Random) -> None:
    ranks = rank_processes(out)
    if kind == "one rank":
        signal_all([chance.choice(ranks)], signal.SIGKILL)
    elif kind == "all ranks":
        signal_all(ranks, signal.SIGKILL)
    elif kind == "notice":
        stage.send_signal(signal.SIGTERM)
    elif kind == "notice to all":
        signal_all([stage.pid, *ranks], signal.SIGTERM)
    elif kind == "stop one rank":
        signal_all([chance.choice(ranks)], signal.SIGSTOP)
    else:
        stage.kill()


def one_start(world: dict, out: Path, config: PretrainSettings, ranks: int, chance: random.Random) -> str:
    """Start, and disturb at a random step not far ahead. Returns what was done, "" when it came to its end."""
    environment = {"KAJIYA_RANKS": str(ranks), "KAJIYA_HANG_SECONDS": str(HANG_SECONDS)}
    stage = start(world, config, out, **environment)
    try:
        before = max(saved_steps(out), default=0)
        kind = chance.choice(KINDS)
        target = before + chance.randrange(1, 60)
        if chance.random() < 0.15:  # while it starts
            time.sleep(chance.uniform(0.5, 6))
            kind = "stage"
        elif not wait_for_step(stage, out, target):
            assert stage.wait() == 0, f"ended with {stage.returncode}, see {out}.log"
            return ""
        time.sleep(chance.uniform(0, 0.02))  # anywhere within a step
        disturb("stage" if kind == "damage" else kind, stage, out, chance)
        status = stage.wait()
    finally:
        end(stage)
    if status == 0:
        return ""  # the last step was quicker
    assert status == STATUS.get(kind, -9), f"{kind}: ended with {status}, see {out}.log"
    told = f"{kind}, {ranks} ranks, from step {before}, at {target}"
    if kind.startswith("notice"):
        assert saved_steps(out)[-1] >= min(target, STEPS), f"{told}: saved at {saved_steps(out)}"
    return f"{told}: {damage_newest(out, chance)}" if kind == "damage" else told


def one_round(
    world: dict, out: Path, config: PretrainSettings, chance: random.Random, change: bool
) -> list[str]:
    done = []
    while True:
        ranks = chance.choice([1, 2]) if change else config.ranks
        told = one_start(world, out, config, ranks, chance)
        if not told:
            return done
        print(f"  {told}", flush=True)
        done.append(told)


def compare(out: Path, calm: Path, change: bool) -> float:
    """Largest relative difference of a loss. Raises AssertionError where more than it may differs."""
    found, expected = contents(out), contents(calm)
    assert found["samples.parquet"] == expected["samples.parquet"], f"{out}: other samples"
    if not change:
        different = sorted(name for name in expected if found.get(name) != expected[name])
        assert not different, f"{out}: other bytes in {different}"
    pairs = zip(losses(out), losses(calm), strict=True)
    worst = max(abs(one - other) / other for one, other in pairs)
    assert worst <= (BOUND if change else 0), f"{out}: losses differ by {worst:.2e}"
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30, help="go on until so many disturbances were made")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--plan", default="1-0,2-1-change,2-3,2-2-change,2-0", help="ranks-zero stage[-change], ..."
    )
    arguments = parser.parse_args()
    os.environ |= {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    chance, counts, worst = random.Random(arguments.seed), Counter(), 0.0
    plans = arguments.plan.split(",")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        world = prepare(Path(folder))
        calm: dict[tuple[str, str], Path] = {}
        rounds = 0
        while counts.total() < arguments.kills:
            ranks, zero_stage, *change = plans[rounds % len(plans)].split("-")
            config = settings(int(ranks), int(zero_stage))
            if (ranks, zero_stage) not in calm:
                out = Path(folder) / f"calm-{ranks}-{zero_stage}" / "base"
                stage = start(world, config, out)
                assert stage.wait() == 0, (out.parent / "base.log").read_text()[-2000:]
                calm[ranks, zero_stage] = out
            out = Path(folder) / f"round-{rounds}" / "base"
            done = one_round(world, out, config, chance, bool(change))
            difference = compare(out, calm[ranks, zero_stage], bool(change))
            worst = max(worst, difference)
            counts.update(told.split(",")[0] for told in done)
            used = {event["ranks"] for event in events(out) if event["event"] == "begin"}
            equal = f"samples equal, losses within {difference:.1e}" if change else "every byte equal"
            print(
                f"round {rounds}: {len(done)} disturbances, ZeRO {zero_stage}, ranks {sorted(used)}: {equal}",
                flush=True,
            )
            rounds += 1
    print(f"{rounds} rounds, {counts.total()} disturbances: {dict(sorted(counts.items()))}")
    print(f"Largest relative difference of a loss where the number of ranks changed: {worst:.1e}")


if __name__ == "__main__":
    main()
