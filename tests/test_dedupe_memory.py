"""What lies on disk, how little memory it takes, and that neither changes a byte."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from corpus_folders import kept, output_bytes, write_source
from dedupe_corpus import changed, prose, rejected

from components.dedupe import DedupeSettings, run
from components.dedupe.budget import working_bytes
from components.dedupe.candidates import MOST_PARTNERS, candidate_pairs
from components.dedupe.spill import HASHED, SpillWriter, as_records, ascending
from kajiya.errors import KajiyaError
from kajiya.stage import execute
from kajiya.workers import LocalWorkers

pytestmark = pytest.mark.usefixtures("one_worker")


def test_bucket_of_many_unlike_texts_gives_no_more_pairs_than_its_size_allows():
    size = 500
    group = as_records(HASHED, key=np.full(size, 7, np.uint64), document=np.arange(size, dtype=np.uint32))
    ranks = np.arange(size, dtype=np.uint32)
    pairs = np.concatenate(list(candidate_pairs(group, ranks, ranks)))
    assert len(pairs) == len(np.unique(pairs)) == sum(min(i, MOST_PARTNERS) for i in range(size))
    assert (pairs >> np.uint64(32)).max() < MOST_PARTNERS + 1


def test_memory_budget_changes_no_byte(tmp_path: Path, monkeypatch):
    texts = {f"{i:03}": changed(prose(i % 40, 250), 1 + i // 40) for i in range(160)}
    write_source(tmp_path / "clean" / "web", texts, 20_000)
    config = DedupeSettings(priority=("web",), boilerplate={"sources": ["web"], "max_documents": 3})
    outputs = []
    for number, memory in enumerate((1 << 30, 4000)):  # the second: many groups, and partitions split
        monkeypatch.setattr("components.dedupe.working_bytes", lambda memory=memory: memory)
        execute(run, config, [tmp_path / "clean"], tmp_path / str(number))
        outputs.append(output_bytes(tmp_path / str(number)))
    assert outputs[0] == outputs[1]
    assert len(kept(tmp_path / "0")) == 40


@pytest.mark.parametrize("limit_bytes", [1 << 30, 5000, 100])
def test_spilled_records_come_back_ascending_and_whole(tmp_path: Path, limit_bytes):
    generator = np.random.default_rng(1)
    keys = generator.integers(0, 1 << 64, 3000, dtype=np.uint64)
    keys[::3] = keys[0]  # one key of many records stays together
    records = as_records(HASHED, key=keys, document=np.arange(3000, dtype=np.uint32))
    files = []
    for number, part in enumerate(np.array_split(records, 3)):
        writer = SpillWriter(tmp_path / str(number), HASHED)
        for piece in np.array_split(part, 4):
            writer.add(piece)
        files.append(writer.close())
    groups = list(ascending(files, limit_bytes))
    together = np.concatenate(groups)
    assert sorted(together.tolist()) == sorted(records.tolist())
    for one, following in itertools.pairwise(groups):
        assert one["key"].max() < following["key"].min()
    assert all(group.nbytes <= 2 * limit_bytes or len(set(group["key"])) < 30 for group in groups)


@pytest.mark.parametrize("value", ["viel", "200"])
def test_memory_that_is_no_number_or_too_little_is_refused(monkeypatch, value):
    monkeypatch.setenv("KAJIYA_MEMORY_MB", value)
    with pytest.raises(KajiyaError, match="KAJIYA_MEMORY_MB="):
        working_bytes()


def test_memory_is_never_too_little_where_none_is_set(monkeypatch):
    monkeypatch.delenv("KAJIYA_MEMORY_MB", raising=False)
    monkeypatch.setenv("KAJIYA_WORKERS", "100000")
    assert working_bytes() == 32 << 20


@pytest.fixture
def one_pool(monkeypatch):
    """Two real worker processes for all phases of a stage: each phase starts its own otherwise, for seconds."""
    pool = LocalWorkers(2)
    end = pool.close
    monkeypatch.setattr(pool, "close", lambda: None)
    monkeypatch.setattr("kajiya.engine.LocalWorkers", lambda count: pool)
    yield
    end()


def test_dedupe_with_other_workers_and_shards_keeps_the_same(tmp_path: Path, monkeypatch, one_pool):
    texts = {f"{i:02}": changed(prose(i % 12, 250), 1 + i // 12) for i in range(36)}
    outputs, documents = [], []
    for workers, shard_bytes in (("1", 6000), ("2", 6000), ("1", 1 << 20)):
        monkeypatch.setenv("KAJIYA_WORKERS", workers)
        folder = tmp_path / f"{workers}-{shard_bytes}"
        write_source(folder / "clean" / "web", texts, shard_bytes)
        execute(run, DedupeSettings(priority=("web",)), [folder / "clean"], folder / "out")
        outputs.append(output_bytes(folder / "out"))
        documents.append((kept(folder / "out"), rejected(folder / "out")))
    assert outputs[0] == outputs[1]
    assert documents[0] == documents[2]
    assert len(documents[0][0]) == 12
