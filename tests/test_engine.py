"""Shards mapped over worker processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kajiya.engine import map_shards
from kajiya.errors import KajiyaError


def double_or_die(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def test_worker_killed_says_how_to_go_on(monkeypatch):
    monkeypatch.setenv("KAJIYA_WORKERS", "2")
    with pytest.raises(KajiyaError, match=r"words: a worker process was killed.* below 2"):
        list(map_shards(double_or_die, [1, 2, 3], "words"))


def test_results_come_in_the_order_of_the_tasks(monkeypatch):
    monkeypatch.setenv("KAJIYA_WORKERS", "2")
    assert list(map_shards(double_or_die, [5, 4, 1, 2], "words")) == [10, 8, 2, 4]


SLEEPERS = """
import os, pathlib, sys, time
from kajiya.engine import map_shards

def sleep(folder):
    (pathlib.Path(folder) / str(os.getpid())).touch()
    time.sleep(600)

if __name__ == "__main__":
    list(map_shards(sleep, [sys.argv[1]] * 2, "sleep"))
"""


def test_stage_killed_takes_its_workers_with_it(tmp_path):
    script, folder = tmp_path / "sleepers.py", tmp_path / "pids"
    script.write_text(SLEEPERS)
    folder.mkdir()
    environment = {**os.environ, "KAJIYA_WORKERS": "2", "PYTHONPATH": str(Path(__file__).parent.parent)}
    stage = subprocess.Popen([sys.executable, script, folder], env=environment, stderr=subprocess.DEVNULL)
    wait_until(lambda: len(list(folder.iterdir())) == 2)
    stage.kill()
    stage.wait()
    wait_until(lambda: not any(alive(int(path.name)) for path in folder.iterdir()))


def alive(pid):
    """Whether the process still runs; a zombie that nobody has asked for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.1)
