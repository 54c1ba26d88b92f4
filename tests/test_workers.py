"""What cannot be carried from a worker process is told for what it is."""

import pytest

from kajiya.engine import map_shards
from kajiya.errors import KajiyaError


class OddError(Exception):
    """Cannot be made again from its message alone."""

    def __init__(self, shard: str, line: int) -> None:
        super().__init__(f"{shard}, line {line}: not iron")


def fail_oddly(number: int) -> int:
    raise OddError(f"part {number}", 7)


def give_what_cannot_be_carried(number: int):
    return lambda: number


def test_error_that_cannot_be_carried_between_processes_keeps_its_cause(monkeypatch, capfd):
    monkeypatch.setenv("KAJIYA_WORKERS", "2")
    with pytest.raises(KajiyaError, match="OddError: part 5, line 7: not iron") as found:
        list(map_shards(fail_oddly, [5, 5], "sharpen"))
    assert "in fail_oddly" in "".join(found.value.__cause__.__notes__)


def test_result_that_cannot_be_carried_between_processes_is_told_as_such(monkeypatch, capfd):
    monkeypatch.setenv("KAJIYA_WORKERS", "2")
    with pytest.raises(KajiyaError, match=r"sharpen: part 1 of 2: .*<lambda>"):
        list(map_shards(give_what_cannot_be_carried, [1, 2], "sharpen"))
