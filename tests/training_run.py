"""Trainings of a tiny model as a person starts them, to be disturbed from outside."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

from components.pretrain import run
from components.pretrain.endings import beat_path
from components.pretrain.settings import PretrainSettings
from components.pretrain.watchdog import read_beat
from kajiya.lm import checkpoint
from kajiya.stage import execute

INPUTS = ("tokens", "tokenizer", "base", "evaluation_sets")
ROOT = Path(__file__).parents[1]


def train(world: dict[str, Path], config: PretrainSettings, out: Path) -> Path:
    """To the end, started from this process."""
    execute(run, config, [world[name] for name in INPUTS], out)
    return out


def start(
    world: dict[str, Path], config: PretrainSettings, out: Path, **environment: str
) -> subprocess.Popen:
    """From the command line; its errors go to OUT.log."""
    out.parent.mkdir(parents=True, exist_ok=True)
    params = out.parent / "recipe.yaml"
    params.write_text(yaml.safe_dump({"pretrain": config.model_dump(mode="json")}))
    paths = [str(world[name]) for name in INPUTS]
    with open(out.parent / f"{out.name}.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "components.pretrain", "--params", str(params), *paths, str(out)],
            stdout=subprocess.DEVNULL,
            stderr=log,
            cwd=ROOT,
            env=os.environ | environment,
            start_new_session=True,
        )


def wait_for_step(stage: subprocess.Popen, out: Path, step: int) -> bool:
    """Whether `step` was begun before the stage came to its end."""
    beat = beat_path(work_of(out), 0)
    while stage.poll() is None:
        if _parent(rank_processes(out)[:1]) == stage.pid and read_beat(beat).step >= step:
            return True
        time.sleep(0.001)
    return False


def _parent(processes: list[int]) -> int:
    """Of a rank; 0 where it is gone: the history and the beats of an earlier start lie there until the next."""
    try:
        return int(Path(f"/proc/{processes[0]}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def wait_for_checkpoint(stage: subprocess.Popen, out: Path, step: int) -> None:
    while stage.poll() is None and not any(saved >= step for saved in saved_steps(out)):
        time.sleep(0.002)


def work_of(out: Path) -> Path:
    return out.parent / ".work" / out.name


def saved_steps(out: Path) -> list[int]:
    return checkpoint.list_steps(work_of(out) / "checkpoints")


def events(out: Path) -> list[dict]:
    path = out.parent / f"{out.name}.pages" / "history.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    whole = [json.loads(line) for line in lines if line.endswith("}")]
    return whole or [{"event": "nothing yet"}]


def rank_processes(out: Path) -> list[int]:
    """Of the last start."""
    return next((event["processes"] for event in reversed(events(out)) if event["event"] == "begin"), [])


def signal_all(processes: list[int], number: int) -> None:
    for process in processes:
        try:
            os.kill(process, number)
        except ProcessLookupError:
            continue


def damage_newest(out: Path, chance: random.Random) -> str:
    """Flip a bit of a file of the newest checkpoint or of its rows, cut it or remove it. Says what was done."""
    steps = saved_steps(out)
    if not steps:
        return "nothing to damage"
    rows = sorted((work_of(out) / "samples").glob(f"until-{steps[-1]:08d}-*"))
    files = sorted(checkpoint.step_folder(work_of(out) / "checkpoints", steps[-1]).iterdir()) + rows
    path = chance.choice(files)
    content = bytearray(path.read_bytes())
    how = chance.choice(["flip", "cut", "remove"])
    if how == "flip":
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
    elif how == "cut":
        path.write_bytes(content[: chance.randrange(len(content))])
    else:
        path.unlink()
    return f"{how} {path.name} of step {steps[-1]}"


def contents(out: Path) -> dict[str, bytes]:
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    return files | {"report": (out.parent / f"{out.name}.report.json").read_bytes()}


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def end(stage: subprocess.Popen) -> None:
    if stage.poll() is None:
        os.killpg(stage.pid, signal.SIGKILL)
    stage.wait()
