"""Sources in a store of fsspec: resumed, begun afresh where they changed, and no key in any message."""

import fsspec
import pytest
from crawl_world import C4, FILES, crawl, output_bytes, rows
from test_crawl_c4 import c4_files, c4_shard
from test_storage import SECRET, bucket, server  # noqa: F401 - fixtures

from components.crawl.stores import fetch
from kajiya.errors import KajiyaError


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setenv("KAJIYA_HTTP_WAIT_SECONDS", "0")
    monkeypatch.setenv("KAJIYA_HTTP_ATTEMPTS", "2")


def fill(folder, files):
    for name, body in files.items():
        path = folder / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


def test_c4_on_s3_gives_the_bytes_of_the_folder(tmp_path, bucket):  # noqa: F811
    address, folder = bucket
    files = c4_files([c4_shard("一", "二"), c4_shard("三")])
    fill(folder, files)
    fill(tmp_path / "disk" / "in", files)
    crawl(tmp_path / "s3", {**C4, "base_url": str(address).rstrip("/")})
    crawl(tmp_path / "disk", {**C4, "base_url": "input"}, folder=tmp_path / "disk" / "in")
    assert output_bytes(tmp_path / "s3" / "crawl" / "s") == output_bytes(tmp_path / "disk" / "crawl" / "s")


def test_files_pattern_in_a_store_is_read_in_order(tmp_path, bucket):  # noqa: F811
    address, folder = bucket
    fill(folder, {f"d/{n}.jsonl": f'{{"text": "{n}"}}\n'.encode() for n in "bac"})
    crawl(tmp_path, {**FILES, "paths": [f"{str(address).rstrip('/')}/d/*.jsonl"]})
    assert [row["text"] for row in rows(tmp_path)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("AWS_SECRET_ACCESS_KEY", "wrong-secret-of-nobody"), ("AWS_ACCESS_KEY_ID", "nobody-at-all")],
)
def test_store_refuses_wrong_keys_and_no_message_shows_them(tmp_path, bucket, monkeypatch, name, value):  # noqa: F811
    address, folder = bucket
    fill(folder, {"a.jsonl": b'{"text": "x"}\n'})
    monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with pytest.raises(KajiyaError) as caught:
        crawl(tmp_path, {**FILES, "paths": [f"{str(address).rstrip('/')}/a.jsonl"]})
    assert value not in str(caught.value)
    assert SECRET not in str(caught.value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_store_file_missing_is_named(tmp_path, bucket):  # noqa: F811
    address, _ = bucket
    with pytest.raises(KajiyaError, match="no such file or bucket"):
        fetch(f"{str(address).rstrip('/')}/none.gz", tmp_path / "none.gz")


class Breaking(fsspec.get_filesystem_class("memory")):
    """A store in memory that breaks off, and whose file may change meanwhile."""

    protocol = "breaking"
    fails, change = 0, None

    def cat_file(self, path, start=None, end=None, **more):
        if start and Breaking.fails:
            Breaking.fails -= 1
            if Breaking.change is not None:
                self.pipe_file(path, Breaking.change)
            raise ConnectionResetError("gone")
        return super().cat_file(path, start=start, end=end, **more)


@pytest.mark.parametrize("change", [None, b"B" * 1000], ids=["the same file", "another file"])
def test_store_broken_off_is_continued_but_never_glued(tmp_path, monkeypatch, change):
    fsspec.register_implementation("breaking", Breaking, clobber=True)
    monkeypatch.setattr("components.crawl.stores.BLOCK_BYTES", 300)
    Breaking.fails, Breaking.change = 1, change
    fsspec.filesystem("breaking").pipe_file("breaking://f", b"A" * 1000)
    fetched = fetch("breaking://f", tmp_path / "f")
    assert fetched.path.read_bytes() == (change or b"A" * 1000)
