"""A stage with a ledger: what is finished is not done again, whatever ended the run before."""

import datetime
import os
import subprocess
import sys
from pathlib import Path

import pytest
import shard_stage
from corpus_folders import output_bytes, rejected, write_source
from shard_stage import SharpenSettings

from components.clean import CleanSettings
from components.clean import run as clean
from kajiya.errors import KajiyaError
from kajiya.exclusions import Exclusion, add
from kajiya.shards import read_shard
from kajiya.stage import execute
from kajiya.workplace import identity_by_listing

SENTENCES = {str(number): "鍛冶屋は朝から鉄を打つ。" * number for number in range(1, 5)}


class World:
    def __init__(self, folder: Path) -> None:
        self.source = write_source(folder / "crawl" / "web", SENTENCES, shard_bytes=1)
        self.trouble = folder / "trouble"
        self.trouble.mkdir()
        self.out = folder / "clean" / "web"
        self.config = SharpenSettings(trouble=str(self.trouble))

    def run(self, config: SharpenSettings | None = None) -> None:
        execute(shard_stage.run, config or self.config, [self.source], self.out)

    def undisturbed(self, folder: Path) -> dict[str, bytes]:
        execute(shard_stage.run, SharpenSettings(), [self.source], folder / "other")
        return output_bytes(folder / "other")

    def done(self) -> dict[str, int]:
        return {path.name[8:10]: len(path.read_text()) for path in sorted(self.trouble.glob("*.done"))}


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setenv("KAJIYA_WORKERS", "1")
    return World(tmp_path)


def test_failed_shard_leaves_the_others_done(world, tmp_path):
    poison = world.trouble / "part-00001.parquet.poisoned"
    poison.touch()
    with pytest.raises(KajiyaError, match=r"part-00001.parquet: ValueError: poison\n.*other 3 of 4 shards"):
        world.run()
    assert not world.out.exists()
    poison.unlink()
    world.run()

    assert world.done() == {"00": 1, "01": 1, "02": 1, "03": 1}
    assert output_bytes(world.out) == world.undisturbed(tmp_path)
    assert not (world.out.parent / ".work" / "web").exists()


KILLED = """
import sys
from pathlib import Path
import shard_stage
from kajiya.stage import execute
source, out, trouble = sys.argv[1:]
execute(shard_stage.run, shard_stage.SharpenSettings(trouble=trouble), [Path(source)], Path(out))
"""


def test_stage_killed_goes_on_with_the_shards_that_were_not_finished(world, tmp_path):
    kill = world.trouble / "part-00002.parquet.killed"
    kill.touch()
    root = Path(__file__).parents[1]
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, world.source, world.out, world.trouble],
        env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}"},
        stderr=subprocess.DEVNULL,
        check=False,
    )
    assert ended.returncode == -9
    kill.unlink()
    world.run()

    assert world.done() == {"00": 1, "01": 1, "02": 1, "03": 1}
    assert output_bytes(world.out) == world.undisturbed(tmp_path)


@pytest.mark.parametrize("change", ["settings", "input", "code"])
def test_nothing_is_kept_when_settings_inputs_or_code_change(world, tmp_path, monkeypatch, change):
    poison = world.trouble / "part-00003.parquet.poisoned"
    poison.touch()
    with pytest.raises(KajiyaError):
        world.run()
    poison.unlink()
    if change == "input":
        write_source(world.source, SENTENCES | {"1": "別の文"}, shard_bytes=1)
    if change == "code":
        monkeypatch.setattr("kajiya.workplace.code_digest", lambda module: "another")
    world.run(world.config.model_copy(update={"mark": "！"}) if change == "settings" else None)

    assert world.done() == {"00": 2, "01": 2, "02": 2, "03": 1}


def test_stage_killed_after_publishing_is_run_anew(world, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("kajiya.stage.write_file", killed)  # of the reports
        with pytest.raises(KeyboardInterrupt):
            world.run()
    assert world.out.exists()
    world.run()

    assert world.done() == {"00": 2, "01": 2, "02": 2, "03": 2}
    assert (world.out.parent / "web.report.json").exists()


@pytest.mark.parametrize("change", ["contents", "nothing"])
def test_input_that_is_a_file_takes_part_in_what_may_be_continued(tmp_path, change):
    file = tmp_path / "exclusions.yaml"
    file.write_text("[]")
    config = SharpenSettings()
    before = identity_by_listing(config, [file], shard_stage.__name__)
    if change == "contents":
        file.write_text("[web:1]")
    same = identity_by_listing(config, [file], shard_stage.__name__) == before
    assert same == (change == "nothing")


def test_takedown_between_a_failed_run_and_the_next_is_heeded(world, tmp_path, monkeypatch):
    """Of clean itself: a shard that was finished before the takedown still holds the document."""
    exclusions = tmp_path / "exclusions.yaml"
    exclusions.write_text("[]\n")
    config = CleanSettings(rules={"documents": [{"rule": "length", "min_chars": 1}]})

    def fail_at_the_second(shard):
        if shard.name == "part-00001.parquet":
            raise KajiyaError(f"{shard}: the disk does not answer")
        return read_shard(shard)

    with monkeypatch.context() as patch:
        patch.setattr("components.clean.read_shard", fail_at_the_second)
        with pytest.raises(KajiyaError, match="the disk does not answer"):
            execute(clean, config, [world.source, exclusions], world.out)
    day = datetime.date(2026, 1, 5)
    add(exclusions, [Exclusion(id="web:1", reason="asked by its author", requested=day)])
    execute(clean, config, [world.source, exclusions], world.out)

    assert rejected(world.out) == {"web:1": ("takedown", "asked by its author")}


def test_input_that_changes_while_it_is_read_is_not_published(world, monkeypatch):
    def rewrite(*arguments):
        write_source(world.source, SENTENCES | {"1": "別の文"}, shard_bytes=1)

    monkeypatch.setattr("kajiya.stage._check_rows", rewrite)
    with pytest.raises(KajiyaError, match="web: changed while it was read"):
        world.run()
    assert not world.out.exists()
