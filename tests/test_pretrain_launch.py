"""The launcher: ranks that die, hang, or are told to stop; how many there are."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from test_pretrain import small

from components.pretrain.endings import REWIND, Notice, Rank, beat_path, stacks_path
from components.pretrain.guards import Alarm, RewindNeeded
from components.pretrain.history import History
from components.pretrain.launch import _end, _notice, _watch, environment, ranks_of_this_run
from components.pretrain.rank import verdict
from components.pretrain.watchdog import Beat, Heart, Watchdog, Witness, culprits, following, read_beat
from kajiya.errors import MEND_FIRST, TRY_AGAIN, KajiyaError, PassingError

ROOT = Path(__file__).parents[1]


def start(number: int, script: str, work: Path) -> Rank:
    read_end, write_end = os.pipe()
    log = work / f"rank-{number}.log"
    command = [sys.executable, "-c", script, str(write_end), str(work), str(number)]
    with open(log, "wb") as errors:
        process = subprocess.Popen(command, stderr=errors, pass_fds=[write_end], cwd=ROOT)
    os.close(write_end)
    return Rank(number, process, log, read_end)


def watch(ranks: list[Rank], work: Path, limit: float | None = None, notice: Notice | None = None) -> None:
    beats = [beat_path(work, rank.number) for rank in ranks]
    try:
        _watch(ranks, notice or Notice(), Watchdog(beats, limit), work)
    finally:
        _end(ranks)


def test_rank_that_dies_is_named_with_its_log_and_the_others_are_ended(tmp_path):
    dying = "import os, sys; print('bad memory', file=sys.stderr, flush=True); os.kill(os.getpid(), 9)"
    ranks = [start(0, "import time; time.sleep(60)", tmp_path), start(1, dying, tmp_path)]
    with pytest.raises(PassingError, match=r"(?s)rank 1 .*killed by SIGKILL.*rank-1\.log.*bad memory"):
        watch(ranks, tmp_path)
    assert ranks[0].process.returncode == -9


@pytest.mark.parametrize(("status", "passing"), [(2, False), (1, False), (75, True)])
def test_rank_that_knows_why_it_fails_is_quoted(tmp_path, status, passing):
    script = (
        f"import os, sys; os.write(int(sys.argv[1]), 'データが壊れています'.encode()); sys.exit({status})"
    )
    with pytest.raises(KajiyaError, match=r"^データが壊れています$") as caught:
        watch([start(0, script, tmp_path)], tmp_path)
    assert isinstance(caught.value, PassingError) == passing


def test_rank_that_falls_before_it_can_say_why_is_for_a_person_to_mend(tmp_path):
    script = "import sys; print('no module named deepspeed', file=sys.stderr); sys.exit(1)"
    with pytest.raises(KajiyaError, match=r"(?s)exit status 1.*no module named deepspeed") as caught:
        watch([start(1, script, tmp_path)], tmp_path)
    assert not isinstance(caught.value, PassingError)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "x/history.jsonl"),
            MEND_FIRST,
            "x/history.jsonl: .*disk is full",
        ),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), MEND_FIRST, "quota of this disk is used up"),
        (
            SafetensorError("I/O error: No space left on device (os error 28)"),
            MEND_FIRST,
            "Free some disk space",
        ),
        (torch.OutOfMemoryError("CUDA out of memory."), MEND_FIRST, "micro_batch_sequences"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), MEND_FIRST, "KAJIYA_RANKS"),
        (KeyError("labels"), MEND_FIRST, "defect"),
        (KajiyaError("said"), MEND_FIRST, "^said$"),
        (PassingError("said"), TRY_AGAIN, "^said$"),
        (RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer"), TRY_AGAIN, "^$"),
        (OSError(errno.ESTALE, "Stale file handle"), TRY_AGAIN, "Run again"),
        (RewindNeeded(Alarm(3, "loss spike", "rewind", "loss 9")), REWIND, "^$"),
    ],
    ids=[
        "full",
        "quota",
        "full elsewhere",
        "device memory",
        "memory",
        "bug",
        "known",
        "passing",
        "echo",
        "network",
        "rewind",
    ],
)
def test_rank_asks_to_be_tried_again_only_for_what_may_pass(error, status, said):
    found, message = verdict(error)
    assert found == status
    assert re.search(said, message)


def test_second_notice_leaves_no_more_time_than_the_first():
    with _notice() as notice:
        os.kill(os.getpid(), signal.SIGTERM)
        first = (notice.signal, notice.came)
        os.kill(os.getpid(), signal.SIGTERM)
        assert (notice.signal, notice.came) == first
        assert first[0] == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_ranks_meet_on_this_machine_unless_told_otherwise(monkeypatch):
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "eth1")
    given = environment(0, small(), 1)
    assert (given["GLOO_SOCKET_IFNAME"], given["NCCL_SOCKET_IFNAME"]) == ("lo", "eth1")
    monkeypatch.delenv("NCCL_SOCKET_IFNAME")
    assert environment(0, small(), 1)["NCCL_SOCKET_IFNAME"] == "lo"


LIVING = """
import os, signal, sys, time
from pathlib import Path
from components.pretrain.endings import beat_path, stacks_path
from components.pretrain.watchdog import Heart, answer_with_stacks

work, rank = Path(sys.argv[2]), int(sys.argv[3])
answer_with_stacks(stacks_path(work, rank))
heart = Heart(beat_path(work, rank))
"""

STOPPED = """
for step in range(1, 4):
    heart.beat("forward", step)
if rank == 1:
    os.kill(os.getpid(), signal.SIGSTOP)
time.sleep(60)
"""


def test_rank_that_stands_still_is_named_and_all_are_ended(tmp_path):
    ranks = [start(number, LIVING + STOPPED, tmp_path) for number in range(2)]
    with pytest.raises(PassingError) as caught:
        watch(ranks, tmp_path, limit=3.0)
    said = str(caught.value)
    assert "no rank of the training got on" in said
    assert "rank 1 hangs in step 4 (forward): it does not answer; its process is in state T (stopped)" in said
    assert "rank 0 hangs" not in said
    assert 'File "<string>"' in stacks_path(tmp_path, 0).read_text()
    assert [rank.process.returncode for rank in ranks] == [-9, -9]


IN_COLLECTIVE = (
    '  File "torch/distributed/distributed_c10d.py", line 3 in all_reduce\n  File "training.py", line 9'
)
IN_FORWARD = '  File "torch/nn/linear.py", line 3 in forward\n  File "training.py", line 5'


@pytest.mark.parametrize(
    ("steps", "stacks", "expected"),
    [
        ((4, 4, 4), (IN_COLLECTIVE, IN_FORWARD, IN_COLLECTIVE), [1]),
        ((4, 3, 4), (IN_COLLECTIVE, IN_COLLECTIVE, IN_COLLECTIVE), [1]),
        ((4, 4, 4), (IN_COLLECTIVE, "", IN_FORWARD), [1]),
        ((4, 4), (IN_COLLECTIVE, IN_COLLECTIVE), [0, 1]),
    ],
)
def test_culprits_are_silent_or_behind_or_outside_of_the_collective(steps, stacks, expected):
    witnesses = [
        Witness(rank, Beat(9, 1, step, "forward"), stack, "S (sleeping)")
        for rank, (step, stack) in enumerate(zip(steps, stacks, strict=True))
    ]
    assert [witness.rank for witness in culprits(witnesses)] == expected


def test_watchdog_waits_in_proportion_to_what_steps_took(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    heart = Heart(tmp_path / "beat")
    dog = Watchdog([tmp_path / "beat"], None)
    now[0] = 1700.0
    assert dog.silent_seconds() is None  # loading
    for step in range(1, 4):  # one step takes 100 s
        heart.beat("forward", step)
        assert dog.silent_seconds() is None
        now[0] += 100
    now[0] += 1800
    assert dog.silent_seconds() is None
    now[0] += 200
    assert dog.silent_seconds() == 2100.0


def test_folder_that_grows_counts_as_life_and_one_that_does_not_is_silence(tmp_path):
    heart = Heart(tmp_path / "beat")
    heart.beat("write the model", 7)
    pulsed = threading.Event()

    def pulse():
        heart.pulse()
        pulsed.set()

    out = tmp_path / "out"
    out.mkdir()
    with following(out, pulse, seconds=0.01):
        assert not pulsed.wait(0.3)
        (out / "model.safetensors").write_bytes(b"x" * 10_000)
        assert pulsed.wait(30)
    found = read_beat(tmp_path / "beat")
    assert (found.count >= 2, found.step, found.doing) == (True, 7, "write the model")


WAITS_FOR_NOTICE = """
came = []
signal.signal(signal.SIGTERM, lambda *_: came.append(1))
heart.beat("forward", 1)
while not came:
    time.sleep(0.01)
(work / "checkpoints" / "step-00000007").mkdir(parents=True)
os._exit(75)
"""


def test_notice_to_stop_is_passed_on_and_the_checkpoint_is_told(tmp_path):
    rank = start(0, LIVING + WAITS_FOR_NOTICE, tmp_path)
    while not beat_path(tmp_path, 0).exists():
        time.sleep(0.01)
    time.sleep(0.1)
    notice = Notice(signal.SIGTERM, time.monotonic())
    with pytest.raises(PassingError, match="told to stop by SIGTERM; the last checkpoint is that of step 7"):
        watch([rank], tmp_path, notice=notice)


def test_rank_that_does_not_heed_the_notice_is_ended_in_time(tmp_path, monkeypatch):
    monkeypatch.setenv("KAJIYA_NOTICE_SECONDS", "1")
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    rank = start(0, script, tmp_path)
    time.sleep(0.3)
    with pytest.raises(PassingError, match="no checkpoint is there yet, but not within 1 s of the notice"):
        watch([rank], tmp_path, notice=Notice(signal.SIGTERM, time.monotonic()))


def test_number_of_ranks_is_the_environments_where_it_fits(monkeypatch):
    config = small(ranks=2)  # 16 sequences a step, 4 a micro-batch
    assert ranks_of_this_run(config) == 2
    monkeypatch.setenv("KAJIYA_RANKS", "4")
    assert ranks_of_this_run(config) == 4
    for value, said in [
        ("3", r"no multiple of micro_batch_sequences 4 x 3. Ranks that fit: 1, 2, 4"),
        ("0", "from 1 up"),
    ]:
        monkeypatch.setenv("KAJIYA_RANKS", value)
        with pytest.raises(KajiyaError, match=said):
            ranks_of_this_run(config)


def test_history_tells_of_a_run_that_ended_without_a_word(tmp_path):
    History(tmp_path).begin(2, [1, 2])
    with open(tmp_path / "history.jsonl", "a") as handle:
        handle.write('{"event": "contin')  # cut by the kill
    # The cut line must not swallow the next one.
    History(tmp_path).begin(1, [3])
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines if line.endswith("}")]
    assert [event["event"] for event in events] == ["begin", "end", "begin"]
    assert "without a word" in events[1]["why"]
