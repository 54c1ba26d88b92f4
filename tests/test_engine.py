"""Shards mapped over worker processes and over a Ray cluster."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from corpus_folders import write_source

from kajiya.engine import Ledger, map_shards
from kajiya.errors import KajiyaError
from kajiya.ledger import JsonArray
from kajiya.report import Flow
from kajiya.shards import list_shards, read_shard, write_shard

SENTENCES = ["鍛冶屋は朝から鉄を打つ。", "火の色を見て、槌を置く。", "水に入れると音がする。"]


class Sharpen(NamedTuple):
    shard: Path
    kept: Path
    trouble: Path
    """Holds `killed/<shard>`, with how many times, and `poisoned/<shard>`; each try is counted there."""


class Sharpened(NamedTuple):
    flows: dict[str, Flow]
    letters: Counter[str]
    lengths: JsonArray


def sharpen(task: Sharpen) -> Sharpened:
    """Append a mark to every document, by way of what a real stage does with a shard."""
    killed = task.trouble / "killed" / task.shard.name
    if killed.exists() and tried(task) <= int(killed.read_text()):
        os.kill(os.getpid(), signal.SIGKILL)
    if (task.trouble / "poisoned" / task.shard.name).exists():
        raise ValueError("poison")
    tried(task)
    table = read_shard(task.shard)
    texts = [f"{text}刃" for text in table["text"].to_pylist()]
    write_shard(
        table.set_column(2, table.schema.field("text"), pa.array(texts, pa.large_string())), task.kept
    )
    flow = Flow(came_in=len(texts), out=len(texts))
    return Sharpened({"web": flow}, Counter("".join(texts)), np.array([len(text) / 3 for text in texts]))


def tried(task: Sharpen) -> int:
    tries = task.trouble / f"{task.shard.name}.tries"
    with tries.open("a") as handle:
        handle.write("x")
    return len(tries.read_text())


class Smithy:
    """Five shards to sharpen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        texts = {str(number): SENTENCES[number % 3] * (number + 1) for number in range(5)}
        self.source = write_source(folder / "web", texts, shard_bytes=1)

    def shard(self, number: int) -> Path:
        return list_shards(self.source)[number]

    def trouble(self, kind: str, number: int, times: int = 1) -> Path:
        path = self.folder / kind / self.shard(number).name
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(times))
        return path

    def work(self, out: str, ledger: Ledger | None = None) -> list[Sharpened]:
        shards = list_shards(self.source)
        tasks = [Sharpen(shard, self.folder / out / shard.name, self.folder) for shard in shards]
        return list(map_shards(sharpen, tasks, "sharpen", ledger))

    def bytes(self, out: str) -> list[bytes]:
        return [path.read_bytes() for path in list_shards(self.folder / out)]

    def tries(self) -> list[int]:
        found = [self.folder / f"{shard.name}.tries" for shard in list_shards(self.source)]
        return [len(path.read_text()) if path.exists() else 0 for path in found]


@pytest.fixture
def smithy(tmp_path, monkeypatch):
    monkeypatch.setenv("KAJIYA_WORKERS", "2")
    return Smithy(tmp_path)


def same(one, other):
    return all(
        a.flows == b.flows and a.letters == b.letters and np.array_equal(a.lengths, b.lengths)
        for a, b in zip(one, other, strict=True)
    )


def test_shards_have_the_same_bytes_and_order_from_one_worker_and_two(smithy, monkeypatch):
    two = smithy.work("two")
    monkeypatch.setenv("KAJIYA_WORKERS", "1")
    one = smithy.work("one")

    assert same(one, two)
    assert smithy.bytes("one") == smithy.bytes("two")


def test_worker_killed_costs_its_shard_alone_another_try(smithy, capfd):
    smithy.trouble("killed", 2)

    results = smithy.work("out")

    assert [result.flows["web"].out for result in results] == [1] * 5
    assert smithy.tries() == [1, 1, 3, 1, 1]  # the third's: killed, asked again, done
    assert f"{smithy.shard(2)}: a worker process was killed; trying again (1 of 2)" in capfd.readouterr().err


def test_worker_killed_each_time_names_the_shard_and_says_how_to_go_on(smithy):
    smithy.trouble("killed", 3, times=99)

    with pytest.raises(KajiyaError, match=r"sharpen: .*part-00003.parquet: .*killed 3 times.* below 2"):
        smithy.work("out")


def test_poisoned_shard_is_named_and_only_it_is_done_again(smithy):
    ledger = Ledger(smithy.folder / "ledger")
    poison = smithy.trouble("poisoned", 1)

    with pytest.raises(KajiyaError, match=r"part-00001.parquet: ValueError: poison\n.*other 4 of 5"):
        smithy.work("out", ledger)
    assert smithy.tries() == [1, 0, 1, 1, 1]
    poison.unlink()
    again = smithy.work("out", ledger)

    assert smithy.tries() == [1, 1, 1, 1, 1]
    assert same(again, smithy.work("undisturbed"))
    assert smithy.bytes("out") == smithy.bytes("undisturbed")


def test_poisoned_shard_without_ledger_stops_at_once(smithy, monkeypatch):
    monkeypatch.setenv("KAJIYA_WORKERS", "1")
    smithy.trouble("poisoned", 1)

    with pytest.raises(KajiyaError, match=r"sharpen: .*part-00001.parquet: ValueError: poison$"):
        smithy.work("out")
    assert smithy.tries() == [1, 0, 0, 0, 0]


def test_damaged_shard_is_named_once(smithy):
    smithy.shard(4).write_bytes(b"PAR1")

    with pytest.raises(KajiyaError, match=rf"^sharpen: {smithy.shard(4)}: not a readable Parquet file"):
        smithy.work("out")


def test_bar_tells_documents_and_rejects(smithy, capfd):
    smithy.work("out")

    last = capfd.readouterr().err.split("\r")[-1]
    assert "sharpen: 100% 5/5 [" in last
    assert ", 5 docs, " in last
    assert ", 0 rejected] |" in last


def test_engine_of_another_name_is_refused(smithy, monkeypatch):
    monkeypatch.setenv("KAJIYA_ENGINE", "spark")
    with pytest.raises(KajiyaError, match=r"KAJIYA_ENGINE='spark' .* local or ray"):
        smithy.work("out")


@pytest.mark.parametrize(
    ("missing", "said"),
    [("RAY_ADDRESS", "needs RAY_ADDRESS"), ("RAY_AUTH_MODE", "needs RAY_AUTH_MODE=token")],
)
def test_ray_without_address_or_token_is_refused(smithy, monkeypatch, missing, said):
    environment = {"KAJIYA_ENGINE": "ray", "RAY_ADDRESS": "127.0.0.2:1", "RAY_AUTH_MODE": "token"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(missing)
    with pytest.raises(KajiyaError, match=said):
        smithy.work("out")


@pytest.fixture(scope="module")
def cluster():
    """Two nodes on loopback; not 127.0.0.1, which Ray takes for the machine's outer address."""
    memory = 80 * 2**20  # bytes
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", os.urandom(32).hex())
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", f"{Path(__file__).parents[1]}{os.pathsep}{Path(__file__).parent}")
        from ray import cluster_utils  # reads RAY_AUTH_MODE once

        head = {"node_ip_address": "127.0.0.2", "include_dashboard": False}
        cluster = cluster_utils.Cluster(
            initialize_head=True, head_node_args={**head, "num_cpus": 1, "object_store_memory": memory}
        )
        cluster.add_node(node_ip_address="127.0.0.3", num_cpus=1, object_store_memory=memory)
        try:
            yield cluster.address
        finally:
            cluster.shutdown()


@pytest.fixture
def on_ray(cluster, monkeypatch):
    monkeypatch.setenv("KAJIYA_ENGINE", "ray")
    monkeypatch.setenv("RAY_ADDRESS", cluster)


def test_ray_cluster_gives_the_same_bytes_though_a_worker_is_killed(on_ray, smithy, monkeypatch, capfd):
    smithy.trouble("killed", 2)
    ray = smithy.work("ray")
    killed = capfd.readouterr().err
    monkeypatch.setenv("KAJIYA_ENGINE", "local")
    local = smithy.work("local")

    assert same(ray, local)
    assert smithy.bytes("ray") == smithy.bytes("local")
    assert f"{smithy.shard(2)}: a worker process was killed; trying again (1 of 2)" in killed


def test_ray_poisoned_shard_is_named_and_only_it_is_done_again(on_ray, smithy):
    ledger = Ledger(smithy.folder / "ledger")
    poison = smithy.trouble("poisoned", 1)

    with pytest.raises(KajiyaError, match=r"part-00001.parquet: ValueError: poison\n.*other 4 of 5"):
        smithy.work("out", ledger)
    poison.unlink()
    smithy.work("out", ledger)

    assert smithy.tries() == [1, 1, 1, 1, 1]


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
