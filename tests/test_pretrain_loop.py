"""The training loop in this process, one rank: crashes, notices, bad steps and damaged files at chosen moments.

Whole processes are killed in test_pretrain_runs.py; here a crash is an exception at some beat of the loop.
"""

import json
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from test_pretrain import prepare, small

from components.pretrain.batches import Batches
from components.pretrain.guards import RewindNeeded
from components.pretrain.settings import PretrainSettings
from components.pretrain.training import Training, train
from kajiya.errors import KajiyaError, PassingError
from kajiya.lm import checkpoint, checkpoint_writer
from kajiya.lm.packing import TokenDataset


@pytest.fixture(scope="module", autouse=True)
def one_rank(tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    meet = tmp_path_factory.mktemp("rendezvous") / "meet"
    torch.distributed.init_process_group("gloo", init_method=f"file://{meet}", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    paths = prepare(tmp_path_factory.mktemp("world"))
    # Sequences of noise among the guessable ones: the loss of a step that reads them leaps.
    ids = np.load(paths["tokens"] / "train.npy")
    config = settings()
    plan = Batches(TokenDataset(paths["tokens"], "train", 16), config.seed, 16, 4)
    noise = np.random.default_rng(9).permutation(64).astype(ids.dtype)
    for number in plan.sequence_indices(NOISY_STEP - 1):
        ids[number * 16 : number * 16 + 16] = noise[:16]
    np.save(paths["tokens"] / "train.npy", ids)
    return paths


class Crash(BaseException):
    """As sudden as a kill, within this process."""


class Notice:
    came = False


class Hand:
    """In the place of the heart: crashes, or gives notice, at a chosen beat."""

    def __init__(self, doing: str = "", step: int = -1, notice: Notice | None = None) -> None:
        self.at = (doing, step)
        self.pulses = 0
        self.notice = notice

    def start(self, step: int) -> None:
        self.beat("start", step)

    def pulse(self) -> None:
        self.pulses += 1

    def beat(self, doing: str, step: int) -> None:
        if (doing, step) != self.at:
            return
        if self.notice is None:
            raise Crash
        self.notice.came = True


NOISY_STEP = 14


def settings(**changes) -> PretrainSettings:
    guards = {"spike_window_steps": 8, "spike_deviations": 4, "spike_rise": 0.3, "left_out_steps": 3}
    return small(steps=20, precision="fp32", guards=guards | changes.pop("guards", {}), **changes)


def job(world: dict[str, Path], folder: Path, config: PretrainSettings) -> dict:
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: str(world[name]) for name in ("tokens", "tokenizer", "evaluation_sets") if name in world}
    own = {name: str(folder / name) for name in ("out", "work", "pages")}
    return {"config": config.model_dump(mode="json"), "steps": config.steps, "base": None, **paths, **own}


def run(world, folder, config, hand=None, notice=None, rewinds=3) -> dict[str, bytes]:
    """Train to the end, beginning again after each rewind as the launcher does."""
    for _ in range(rewinds + 1):
        try:
            train(job(world, folder, config), notice or Notice(), hand or Hand())
            break
        except RewindNeeded:
            continue
        finally:
            for thread in threading.enumerate():  # a kill would end it, and its checkpoint with it
                if thread.name == "checkpoint":
                    thread.join()
    figures = (folder / "work" / "figures.json").read_bytes()
    return {path.name: path.read_bytes() for path in (folder / "out").iterdir()} | {"figures": figures}


def events(folder: Path) -> list[str]:
    lines = (folder / "pages" / "history.jsonl").read_text().splitlines()
    return [json.loads(line)["event"] for line in lines]


def states(folder: Path) -> dict[int, str]:
    table = pq.read_table(folder / "out" / "samples.parquet").to_pylist()
    return {row["step"]: row["state"] for row in table if row["state"] != "trained"}


@pytest.fixture(scope="module")
def calm(world, tmp_path_factory):
    return run(world, tmp_path_factory.mktemp("calm"), settings(guards={"loss_spike": "off"}))


CRASHES = [
    ("forward and backward", 0),
    ("forward and backward", 7),
    ("gradient norm", 10),
    ("validate", 12),
    ("save", 16),
    ("write the model", 20),
    ("check the samples", 20),
]


def test_crashes_at_any_moment_end_in_the_same_bytes(world, calm, tmp_path):
    config = settings(guards={"loss_spike": "off"})
    for doing, step in CRASHES:
        with pytest.raises(Crash):
            run(world, tmp_path, config, Hand(doing, step))
    assert run(world, tmp_path, config) == calm
    assert events(tmp_path).count("continue") == 6


@pytest.mark.parametrize("moment", ["rows committed", "old one dropped"])
def test_crash_while_a_checkpoint_is_published_ends_in_the_same_bytes(
    world, calm, tmp_path, monkeypatch, moment
):
    """The rows of step 12 lie there and no checkpoint names them; or it has its manifest and not its name."""
    config = settings(guards={"loss_spike": "off"})
    name = {"rows committed": "publish", "old one dropped": "drop"}[moment]
    owner = checkpoint_writer if name == "publish" else checkpoint
    original = getattr(owner, name)

    def crash(folder, step, *rest):
        original(folder, step, *rest) if name == "drop" or step != 12 else None
        if step == 12:
            raise KajiyaError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, crash)
        with pytest.raises(KajiyaError, match="killed"):
            run(world, tmp_path, config)
    work = tmp_path / "work"
    assert checkpoint.list_steps(work / "checkpoints") == [4, 8]
    assert list((work / "samples").glob("until-00000012-*"))
    assert run(world, tmp_path, config) == calm


def test_notice_saves_the_step_and_the_next_run_goes_on_from_it(world, calm, tmp_path):
    config, notice = settings(guards={"loss_spike": "off"}), Notice()
    with pytest.raises(PassingError, match="saved at step 10 of 20"):
        run(world, tmp_path, config, Hand("forward and backward", 9, notice), notice)
    assert checkpoint.list_steps(tmp_path / "work" / "checkpoints") == [4, 8, 10]
    assert run(world, tmp_path, config) == calm


def test_notice_before_the_first_step_ends_without_one(world, tmp_path):
    notice = Notice()
    with pytest.raises(PassingError, match="saved at step 0 of 20"):
        run(world, tmp_path, settings(), Hand("load", 0, notice), notice)
    assert checkpoint.list_steps(tmp_path / "work" / "checkpoints") == []


def test_samples_damaged_or_lost_lead_back_to_the_checkpoint_before(world, calm, tmp_path, capfd):
    config = settings(guards={"loss_spike": "off"})
    with pytest.raises(Crash):
        run(world, tmp_path, config, Hand("forward and backward", 14))
    (newest,) = (tmp_path / "work" / "samples").glob("until-00000012-*")
    newest.write_bytes(newest.read_bytes()[:-8])
    assert run(world, tmp_path, config) == calm
    assert "step-00000012 is damaged (samples/until-00000012" in capfd.readouterr().err
    assert "warning" in events(tmp_path)


def test_step_skipped_leaves_the_weights_and_is_told(world, tmp_path):
    config = settings(guards={"loss_spike": "skip"})
    whole = run(world, tmp_path / "whole", config)
    assert states(tmp_path / "whole") == {NOISY_STEP: "skipped: loss spike"}
    figures = json.loads(whole["figures"])["samples"]
    assert figures["skipped: loss spike"] == 16
    assert figures["trained"] == 19 * 16
    rows = [json.loads(line) for line in whole["metrics.jsonl"].decode().splitlines()]
    assert NOISY_STEP not in [row["step"] for row in rows]
    with pytest.raises(Crash):
        run(world, tmp_path / "crashed", config, Hand("forward and backward", 17))
    assert run(world, tmp_path / "crashed", config) == whole


def test_rewind_leaves_out_the_steps_around_and_is_remembered_across_crashes(world, calm, tmp_path):
    config = settings(guards={"loss_spike": "rewind"})
    whole = run(world, tmp_path / "whole", config)
    left_out = dict.fromkeys(range(NOISY_STEP - 2, NOISY_STEP + 1), "left out: loss spike")
    assert states(tmp_path / "whole") == left_out
    entry = {"step": NOISY_STEP, "reason": "loss spike", "first": NOISY_STEP - 2, "last": NOISY_STEP}
    assert json.loads(whole["figures"])["rewinds"] == [entry]
    assert whole["model.safetensors"] != calm["model.safetensors"]

    folder = tmp_path / "crashed"
    with pytest.raises(RewindNeeded):
        train(job(world, folder, config), Notice(), Hand())
    # Step 12 is saved and is one of those left out: the way leads back to step 8.
    assert 12 in checkpoint.list_steps(folder / "work" / "checkpoints")
    for step in (9, 18):
        with pytest.raises(Crash):
            run(world, folder, config, Hand("forward and backward", step))
    assert run(world, folder, config) == whole
    assert events(folder).count("rewind") == 1


def test_loss_not_a_number_in_one_step_is_skipped(world, tmp_path, monkeypatch):
    class Poisoned(Hand):
        """Puts NaN into the gradients of one step, as a broken device would."""

        def beat(self, doing: str, step: int) -> None:
            if (doing, step) == ("gradient norm", 5) and self.training:
                master = next(iter(self.training.engine._masters.values()))
                master.grad.fill_(float("nan"))

        training: Training | None = None

    hand = Poisoned()
    made = Training.__init__

    def remember(training, *arguments):
        made(training, *arguments)
        hand.training = training

    monkeypatch.setattr(Training, "__init__", remember)
    run(world, tmp_path, settings(guards={"loss_spike": "off"}), hand)
    assert states(tmp_path) == {6: "skipped: not finite"}


def test_sequence_read_otherwise_than_planned_is_found_at_the_end(world, tmp_path, monkeypatch):
    right = Batches.micro_batches

    def wrong(batches, step, rank, ranks):
        parts = right(batches, step, rank, ranks)
        return [(numbers, ids.flip(1) if step == 5 else ids) for numbers, ids in parts]

    monkeypatch.setattr(Batches, "micro_batches", wrong)
    with pytest.raises(
        KajiyaError, match=r"step 6: rank 0 gave the model other token ids than those of sequence"
    ):
        run(world, tmp_path, settings(guards={"loss_spike": "off"}))


def test_disk_full_ends_the_training_and_space_lets_it_go_on(world, calm, tmp_path, monkeypatch):
    write = checkpoint_writer.write_slices

    def full(path, slices, *pulse):
        if "step-00000012" in str(path):
            raise OSError(28, "No space left on device", str(path))
        return write(path, slices, *pulse)

    config = settings(guards={"loss_spike": "off"})
    with monkeypatch.context() as disk:
        disk.setattr(checkpoint_writer, "write_slices", full)
        with pytest.raises(
            KajiyaError, match=r"step 12 could not be written \(No space.*good checkpoint \(step 4, step 8\)"
        ):
            run(world, tmp_path, config)
    assert run(world, tmp_path, config) == calm
