"""Shards mapped over worker processes."""

import os
import signal

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
