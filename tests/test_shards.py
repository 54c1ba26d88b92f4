"""Shards: written in order, whole, byte-stable; read back only in the declared schema."""

import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kajiya.errors import KajiyaError
from kajiya.records import DOCUMENT
from kajiya.shards import list_shards, read_dataset, read_shard, write_dataset, write_shard


def document(number: int, text: str = "川は海へ流れる。") -> dict:
    return {
        "id": f"web:{number}",
        "source": "web",
        "text": text,
        "url": None,
        "title": None,
        "date": datetime.date(2026, 1, 1),
        "license": "CC0-1.0",
        "generator": "human",
        "language": "ja",
    }


def test_dataset_many_shards_keep_the_order(tmp_path):
    write_dataset((document(i) for i in range(10)), tmp_path, shard_bytes=60)
    assert len(list_shards(tmp_path)) > 2
    ids = [i for table in read_dataset(tmp_path) for i in table["id"].to_pylist()]
    assert ids == [f"web:{i}" for i in range(10)]


def test_dataset_without_records_is_one_empty_shard(tmp_path):
    write_dataset([], tmp_path)
    assert read_shard(list_shards(tmp_path)[0]).num_rows == 0


def test_dataset_same_records_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        write_dataset((document(i) for i in range(5)), tmp_path / name)
    one, two = (list_shards(tmp_path / name)[0].read_bytes() for name in ("one", "two"))
    assert one == two


def test_shard_with_a_foreign_schema_is_refused_by_name(tmp_path):
    path = tmp_path / "part-00000.parquet"
    pq.write_table(pa.table({"content": ["x"]}), path)
    with pytest.raises(KajiyaError, match=r"part-00000\.parquet: columns do not match"):
        read_shard(path)


def test_shard_truncated_is_refused_by_name(tmp_path):
    path = tmp_path / "part-00000.parquet"
    write_shard(pa.Table.from_pylist([document(1)], DOCUMENT), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(KajiyaError, match=r"part-00000\.parquet: not a readable Parquet"):
        read_shard(path)


def test_dataset_absent_names_the_folder(tmp_path):
    with pytest.raises(KajiyaError, match=r"absent: no part-"):
        list_shards(tmp_path / "absent")
