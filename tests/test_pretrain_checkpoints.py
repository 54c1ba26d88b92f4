"""Checkpoints: whole or absent, checked, kept by rule, written beside the training."""

import errno
import json
import os
import resource
import shutil
import threading
from pathlib import Path

import pytest
import torch

from kajiya.errors import KajiyaError
from kajiya.lm import checkpoint, checkpoint_slices, checkpoint_writer
from kajiya.lm.checkpoint import Retention
from kajiya.lm.checkpoint_slices import SliceReader, slice_key, write_slices
from kajiya.lm.checkpoint_writer import CheckpointWriter

KEEP_TWO = Retention(last=2, regular_steps=4)


def writer(folder, rank: int = 0, ranks: int = 1, retention: Retention = KEEP_TWO) -> CheckpointWriter:
    return CheckpointWriter(folder, rank, ranks, retention)


def save(folder, step: int, retention: Retention = KEEP_TWO) -> None:
    one = writer(folder, retention=retention)
    state = [(slice_key("master", "w", 0), torch.full((500,), float(step)))]
    one.save(step, state, {}, lambda partial: {"facts": step})
    one.wait()


def first_value(folder, step: int) -> float:
    value = torch.empty(1)
    SliceReader(checkpoint.step_folder(folder, step)).read("master", "w", 7, value)
    return float(value)


def test_slices_written_by_three_ranks_are_read_by_any_ranges(tmp_path):
    whole = torch.arange(100, dtype=torch.float32)
    for rank, (begin, end) in enumerate([(0, 30), (30, 31), (31, 100)]):
        part = {slice_key("exp_avg", "layers.0.w", begin): whole[begin:end]}
        write_slices(tmp_path / f"rank-{rank}.safetensors", part)
    reader = SliceReader(tmp_path)
    for begin, end in [(0, 100), (0, 30), (29, 32), (31, 99), (50, 50)]:
        target = torch.full((end - begin,), -1.0)
        reader.read("exp_avg", "layers.0.w", begin, target)
        assert torch.equal(target, whole[begin:end])
    with pytest.raises(KajiyaError, match="holds 10 of the values 90 to 110 of exp_avg/layers"):
        reader.read("exp_avg", "layers.0.w", 90, torch.empty(20))
    with pytest.raises(KajiyaError, match="holds 0 of the values"):
        reader.read("master", "layers.0.w", 0, torch.empty(20))


def test_slices_written_show_how_far_they_are_and_are_flushed_on_the_way(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_slices, "_BLOCK", 400)
    monkeypatch.setattr(checkpoint_slices, "_FLUSHED_BYTES", 1000)
    path, seen = tmp_path / "part", []
    digest = write_slices(
        path, {slice_key("master", "w", 0): torch.zeros(1000)}, lambda: seen.append(path.stat().st_size)
    )
    assert len(seen) == 11  # the header and ten blocks
    assert 0 < seen[5] < seen[10]
    assert digest == checkpoint.checksum(path)


def test_checkpoints_keep_the_last_two_and_give_back_the_newest(tmp_path):
    for step in (4, 8, 12):
        save(tmp_path, step)
    assert checkpoint.list_steps(tmp_path) == [8, 12]
    assert checkpoint.newest_good(tmp_path) == 12
    assert first_value(tmp_path, 12) == 12.0
    assert checkpoint.read_manifest(tmp_path, 12)["facts"] == 12


@pytest.mark.parametrize(
    ("steps", "every", "kept"),
    [
        ([4, 8, 12, 16], None, [12, 16]),
        ([4, 8, 12, 16, 20], 8, [8, 16, 20]),
        ([4, 8, 9], None, [4, 8, 9]),  # a notice to stop came at 9
        ([4, 8, 9, 10], None, [4, 8, 10]),
        ([4, 8, 9, 12], None, [8, 12]),
        ([4, 8, 12, 8], None, [8]),  # 12 was damaged
    ],
)
def test_retention_keeps_by_rule(steps, every, kept):
    rule = Retention(last=2, regular_steps=4, every_steps=every)
    there: list[int] = []
    for step in steps:
        there = sorted({*there, step})
        there = [found for found in there if found not in rule.dropped(there, step)]
    assert there == kept


def test_checkpoints_damaged_do_not_push_out_the_good_ones_before_them(tmp_path):
    for step in (8, 12):
        save(tmp_path, step)
        (checkpoint.step_folder(tmp_path, step) / "rank-0.safetensors").unlink()
    save(tmp_path, 4)  # from the start again
    assert checkpoint.newest_good(tmp_path) == 4
    assert checkpoint.list_steps(tmp_path) == [4]


@pytest.mark.parametrize(
    "damage", ["flip", "cut", "remove", "manifest", "step count", "samples", "unreadable"]
)
def test_checkpoint_damaged_is_said_and_the_one_before_is_used(tmp_path, capfd, monkeypatch, damage):
    save(tmp_path, 4)
    save(tmp_path, 8)
    part = checkpoint.step_folder(tmp_path, 8) / "rank-0.safetensors"
    manifest = part.parent / "manifest.json"
    content = bytearray(part.read_bytes())
    others = None
    if damage == "flip":
        content[-5] ^= 1
        part.write_bytes(content)
    elif damage == "cut":
        part.write_bytes(content[:100])
    elif damage == "remove":
        part.unlink()
    elif damage == "manifest":
        manifest.write_text("{")
    elif damage == "step count":
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"facts": 9}))
    elif damage == "unreadable":  # as from a disk with a bad sector
        read = checkpoint.checksum
        monkeypatch.setattr(
            checkpoint, "checksum", lambda path: fail(errno.EIO) if path == part else read(path)
        )
    else:
        others = lambda manifest: ["no rows"] if manifest["step"] == 8 else []  # noqa: E731
    assert checkpoint.newest_good(tmp_path, others) == 4
    assert "step-00000008 is damaged" in capfd.readouterr().err


def fail(number: int) -> None:
    raise OSError(number, os.strerror(number))


class Killed(BaseException):
    """As sudden as a kill, within this process."""


@pytest.mark.parametrize(
    ("moment", "found"),
    [("flush", [4]), ("drop", [4]), ("replace", [4]), ("dropped", [4, 8])],
)
def test_kill_in_the_midst_of_publishing_leaves_a_good_checkpoint(tmp_path, monkeypatch, moment, found):
    """Before the folder is named, between the removal of the old one of its step and that, and after it."""
    retention = Retention(last=1, regular_steps=4)
    for step in (4, 8):
        save(tmp_path, step, Retention(last=2, regular_steps=4))
    manifest = checkpoint.step_folder(tmp_path, 8) / "manifest.json"
    manifest.write_text("{")  # damaged, so that step 8 is made again
    partial = checkpoint.partial_folder(tmp_path, 8)
    partial.mkdir(parents=True)
    kill = {
        "flush": (checkpoint, "flush", lambda path: path == partial),
        "drop": (checkpoint, "drop", lambda folder, step: step == 8),
        "replace": (Path, "replace", lambda path, target: path == partial),
        "dropped": (checkpoint, "drop", lambda folder, step: step == 4),
    }
    owner, name, when = kill[moment]
    original = getattr(owner, name)

    def call(*arguments):
        if when(*arguments):
            raise Killed
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, call)
        with pytest.raises(Killed):
            checkpoint.publish(tmp_path, 8, {"checksums": {}}, retention)
    there = {step: checkpoint.step_folder(tmp_path, step) for step in checkpoint.list_steps(tmp_path)}
    assert [step for step, folder in there.items() if not list(checkpoint._damages(folder, None))] == found
    assert checkpoint.newest_good(tmp_path) == found[-1]
    save(tmp_path, 8, retention)
    assert checkpoint.list_steps(tmp_path) == [8]
    assert first_value(tmp_path, 8) == 8.0


def test_checkpoint_copied_aside_by_a_person_does_not_count(tmp_path):
    save(tmp_path, 4)
    for name in ("step-00000004.bak", "step-copy", "step-4"):
        shutil.copytree(checkpoint.step_folder(tmp_path, 4), tmp_path / name)
    assert checkpoint.list_steps(tmp_path) == [4]


def test_checkpoint_that_one_rank_did_not_finish_is_no_checkpoint(tmp_path):
    save(tmp_path, 4)
    one = writer(tmp_path, rank=1, ranks=2)
    one.save(8, [(slice_key("master", "w", 0), torch.zeros(5))], {}, lambda partial: {})
    one.wait()
    assert checkpoint.newest_good(tmp_path) == 4


def test_checkpoint_of_two_ranks_appears_when_both_have_written(tmp_path):
    whole = torch.arange(10, dtype=torch.float32)
    both = [writer(tmp_path, rank, ranks=2) for rank in range(2)]
    for rank, one in enumerate(both):
        begin = 5 * rank
        one.save(4, [(slice_key("master", "w", begin), whole[begin : begin + 5])], {}, lambda partial: {})
    for one in both:
        one.wait()
    assert checkpoint.newest_good(tmp_path) == 4
    assert first_value(tmp_path, 4) == 7.0
    assert not list(checkpoint.step_folder(tmp_path, 4).glob("*.json.tmp"))
    assert checkpoint.read_manifest(tmp_path, 4)["ranks"] == 2


def test_checkpoint_holds_the_moment_of_the_save_while_the_training_goes_on(tmp_path, capfd, monkeypatch):
    one, gate = writer(tmp_path), threading.Event()

    def slow(path, slices, *pulse):
        gate.wait(30)
        return write_slices(path, slices, *pulse)

    monkeypatch.setattr(checkpoint_writer, "write_slices", slow)
    weights = torch.full((500,), 4.0)
    one.save(4, [(slice_key("master", "w", 0), weights)], {}, lambda partial: {})
    weights.fill_(5.0)  # the next step
    assert checkpoint.list_steps(tmp_path) == []
    timer = threading.Timer(0.7, gate.set)
    timer.start()
    one.save(8, [(slice_key("master", "w", 0), weights)], {}, lambda partial: {})  # never two at once
    one.wait()
    assert [first_value(tmp_path, step) for step in (4, 8)] == [4.0, 5.0]
    assert "waited" in capfd.readouterr().err


def test_checkpoint_on_a_full_disk_says_so_and_leaves_the_last_good_one(tmp_path):
    save(tmp_path, 4)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # a write past it fails like a full disk
    try:
        with pytest.raises(
            KajiyaError, match=r"step 8 could not be written.*last good checkpoint \(step 4\)"
        ):
            save(tmp_path, 8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert checkpoint.newest_good(tmp_path) == 4


def test_checkpoint_larger_than_the_free_space_is_not_begun(tmp_path, monkeypatch):
    save(tmp_path, 4)
    usage = type("Usage", (), {"free": 1999})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(KajiyaError, match=r"0.0 MB are free.*step 8.*last good checkpoint \(step 4\)"):
        save(tmp_path, 8)
    assert not checkpoint.partial_folder(tmp_path, 8).exists()


def test_disk_soon_full_is_said_early(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 2500}))
    save(tmp_path, 4)
    assert "a full disk stops the training" in capfd.readouterr().err
