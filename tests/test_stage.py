"""The ground of every stage: publishing whole or not at all, reports that add up, work that survives."""

import fcntl
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import pytest
from corpus_folders import document, write_source

from kajiya.errors import MEND_FIRST, KajiyaError
from kajiya.records import REJECTED
from kajiya.report import Flow, Report
from kajiya.settings import Settings
from kajiya.shards import write_dataset, write_file
from kajiya.stage import beside, execute


class CopySettings(Settings):
    suffix: str = "!"
    """Appended to the text."""


def copy(config: CopySettings, source: Path, *, out: Path) -> Report:
    (out / "text").write_text(source.read_text() + config.suffix)
    return Report(flows={"web": Flow(came_in=2, out=1, rejected={"short": 1})})


def lose(config: CopySettings, source: Path, *, out: Path) -> Report:
    (out / "text").write_text("half")
    return Report(flows={"web": Flow(came_in=2, out=1)})


def crash_once(config: CopySettings, source: Path, *, out: Path, work: Path) -> Report:
    marker = work / "begun"
    if not marker.exists():
        marker.write_text("x")
        raise RuntimeError("killed")
    (out / "text").write_text("resumed")
    return Report()


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source"
    path.write_text("鍛冶屋")
    return path


def test_stage_success_publishes_output_and_reports(tmp_path, source):
    out = tmp_path / "data" / "web"
    execute(copy, CopySettings(), [source], out)
    assert (out / "text").read_text() == "鍛冶屋!"
    report = Report.model_validate_json(beside(out, "report").read_bytes())
    assert report.flows["web"].rejected["short"] == 1
    assert json.loads(beside(out, "run").read_text())["seconds"] >= 0
    assert not list(out.parent.glob(".partial/*"))


def test_stage_lost_document_publishes_nothing(tmp_path, source):
    out = tmp_path / "data" / "web"
    with pytest.raises(KajiyaError, match="2 documents came in"):
        execute(lose, CopySettings(), [source], out)
    assert not out.exists()
    assert not beside(out, "report").exists()


def test_stage_failure_keeps_the_old_output(tmp_path, source):
    out = tmp_path / "data" / "web"
    execute(copy, CopySettings(), [source], out)
    with pytest.raises(KajiyaError):
        execute(lose, CopySettings(), [source], out)
    assert (out / "text").read_text() == "鍛冶屋!"


def test_stage_killed_while_the_old_output_goes_leaves_the_new_one_whole(tmp_path, source, monkeypatch):
    out = tmp_path / "data" / "web"
    execute(copy, CopySettings(), [source], out)
    remove = shutil.rmtree

    def killed(path, **options):
        if path.exists() and (path / "text").exists() and (path / "text").read_text() == "鍛冶屋!":
            (path / "text").unlink()
            raise KeyboardInterrupt
        remove(path, **options)

    monkeypatch.setattr("kajiya.stage.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        execute(copy, CopySettings(suffix="?"), [source], out)
    assert (out / "text").read_text() == "鍛冶屋?"


@pytest.mark.parametrize(
    ("out_count", "short_count", "said"), [(1, 2, "1 documents out"), (2, 0, "0 documents rejected")]
)
def test_stage_that_counts_other_documents_than_it_wrote_publishes_nothing(
    tmp_path, source, out_count, short_count, said
):
    def miscount(config: CopySettings, source: Path, *, out: Path) -> Report:
        write_source(out, {"a": "川", "b": "山"})
        rejected = [document("c", "谷") | {"reason": "short", "detail": "1"}]
        write_dataset(rejected, out / "rejected", REJECTED)
        flow = Flow(came_in=out_count + short_count, out=out_count, rejected={"short": short_count})
        return Report(flows={"web": flow})

    out = tmp_path / "data" / "web"
    with pytest.raises(KajiyaError, match=f"web: the report counts {said}"):
        execute(miscount, CopySettings(), [source], out)
    assert not out.exists()


def test_stage_work_survives_a_crash(tmp_path, source):
    out = tmp_path / "data" / "web"
    with pytest.raises(RuntimeError):
        execute(crash_once, CopySettings(), [source], out)
    execute(crash_once, CopySettings(), [source], out)
    assert (out / "text").read_text() == "resumed"
    assert not (out.parent / ".work" / "web").exists()


@pytest.mark.parametrize("change", ["settings", "input"])
def test_stage_work_is_emptied_when_identity_changes(tmp_path, source, change):
    out = tmp_path / "data" / "web"
    with pytest.raises(RuntimeError):
        execute(crash_once, CopySettings(), [source], out)
    if change == "input":
        source.write_text("別の文")
    config = CopySettings(suffix="?") if change == "settings" else CopySettings()
    with pytest.raises(RuntimeError):
        execute(crash_once, config, [source], out)


class Bounds(Settings):
    free: ClassVar[frozenset[str]] = frozenset({"most"})

    most: int = 3
    """Free."""
    rate: float = 0.5
    """Bound."""


class SlowSettings(Settings):
    free: ClassVar[frozenset[str]] = frozenset({"pause"})
    precious: ClassVar[str] = "beg*"

    pause: int = 5
    """Free."""
    bounds: Bounds = Bounds()
    """Of which one is free."""


def slow(config: SlowSettings, source: Path, *, out: Path, work: Path) -> Report:
    return crash_once(CopySettings(), source, out=out, work=work)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (SlowSettings(pause=9, bounds=Bounds(most=9)), None),
        (
            SlowSettings(bounds=Bounds(rate=0.25)),
            r"bounds\.rate from 0\.5 to 0\.25\. Nothing was removed.*rm -r .*web",
        ),
        (None, "the contents of the input `source`"),
    ],
    ids=["free settings", "bound setting", "input"],
)
def test_stage_work_that_is_precious_is_continued_or_refused_but_never_emptied(
    tmp_path, source, changed, said
):
    out = tmp_path / "data" / "web"
    with pytest.raises(RuntimeError):
        execute(slow, SlowSettings(), [source], out)
    if changed is None:
        source.write_text("別の文")
    if said:
        with pytest.raises(KajiyaError, match=said):
            execute(slow, changed or SlowSettings(), [source], out)
        source.write_text("鍛冶屋")  # undone
    execute(slow, SlowSettings() if said else changed, [source], out)
    assert (out / "text").read_text() == "resumed"


def test_stage_work_of_another_version_is_refused_where_it_is_precious(tmp_path, source):
    out = tmp_path / "data" / "web"
    with pytest.raises(RuntimeError):
        execute(slow, SlowSettings(), [source], out)
    (out.parent / ".work" / "web" / "identity").write_text("0f3a")
    with pytest.raises(KajiyaError, match="another version of kajiya began it"):
        execute(slow, SlowSettings(), [source], out)


def test_stage_killed_while_work_is_removed_does_not_continue_from_the_rest(tmp_path, source, monkeypatch):
    out = tmp_path / "data" / "web"
    with pytest.raises(RuntimeError):
        execute(crash_once, CopySettings(), [source], out)
    remove = shutil.rmtree

    def stop_at_work(path, **options):
        if Path(path).parent.name == ".work":
            raise KeyboardInterrupt
        remove(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", stop_at_work)
        with pytest.raises(KeyboardInterrupt):
            execute(crash_once, CopySettings(), [source], out)
    assert (out.parent / ".work" / "web" / "begun").exists()
    with pytest.raises(RuntimeError):  # begun anew
        execute(crash_once, CopySettings(), [source], out)


def test_stage_missing_input_is_named(tmp_path):
    with pytest.raises(KajiyaError, match="nowhere: no such input"):
        execute(copy, CopySettings(), [tmp_path / "nowhere"], tmp_path / "out")


def test_stage_does_not_replace_a_file_by_its_output(tmp_path, source):
    with pytest.raises(KajiyaError, match="source: a file"):
        execute(copy, CopySettings(), [tmp_path], source)
    assert source.read_text() == "鍛冶屋"


def test_stage_does_not_replace_a_folder_that_no_stage_has_written(tmp_path, source):
    out = tmp_path / "notes"
    out.mkdir()
    execute(copy, CopySettings(), [source], out)  # empty: nothing is lost
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    for _ in range(2):  # the first refusal leaves nothing that would let the second pass
        with pytest.raises(KajiyaError, match=r"mine: holds files, but no mine.report.json lies beside it"):
            execute(copy, CopySettings(), [source], tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()


@pytest.mark.parametrize("place", ["source/out", "/proc/kajiya/out"])
def test_stage_output_folder_that_cannot_be_made_is_named(tmp_path, source, place):
    with pytest.raises(KajiyaError, match=r"cannot be made or written to \(.*\). Choose another OUT"):
        execute(copy, CopySettings(), [source], tmp_path / place)


def test_full_disk_is_told_with_the_file_that_was_written(tmp_path):
    path = tmp_path / "shard"
    path.with_name("shard.partial").symlink_to("/dev/full")
    with pytest.raises(KajiyaError, match=rf"^{path}: No space left on device. The disk is full"):
        write_file(path, "鉄" * 99999)


def test_stage_disk_full_is_told_without_traceback(tmp_path):
    """/dev/full answers every write with ENOSPC, as a full disk does."""
    script = (
        "import sys; from kajiya.stage import main\n"
        "def run(config: dict, *, out):\n    open('/dev/full', 'w').write('x' * 99999)\n"
        "run.__module__ = 'components.toy'; sys.argv = ['toy', 'out']; main(run)\n"
    )
    (tmp_path / "params.yaml").write_text("toy: {}\n")
    root = Path(__file__).parents[1]
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        check=False,
        text=True,
    )
    assert result.returncode == MEND_FIRST
    assert "error: toy: out: No space left on device. The disk is full" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_stage_waits_for_another_process_that_still_writes_the_same_output(tmp_path, source):
    out = tmp_path / "out"
    lock = out.parent / ".work" / "out.lock"
    lock.parent.mkdir()
    with ThreadPoolExecutor() as pool:
        with open(lock, "ab") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            waiting = pool.submit(execute, copy, CopySettings(), [source], out)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.5)
            assert not out.exists()
        waiting.result(timeout=30)

    assert out.exists()
