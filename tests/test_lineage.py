"""A lineage reaches the raw files, names the code, and is the same for the same work."""

import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from kajiya.dvc_lock import Hashed, check_unchanged, folder_hash, read_lock, upstream
from kajiya.errors import KajiyaError
from kajiya.git import code_state
from kajiya.lineage import Lineage, collect_lineages
from kajiya.lineage_page import lineage_html, lineage_tree
from tests.finished_project import commit, git, make_project, write_lock

MODELS = Path("models/smoke")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")
    return make_project(tmp_path / "project", model)


def test_lineage_reaches_the_hash_of_every_raw_file(project):
    lineage = collect_lineages(MODELS, project)["gptq"]
    assert [stage.name for stage in lineage.stages if stage.name.startswith("crawl")] == [
        "crawl@diet",
        "crawl@wikipedia",
    ]
    assert {source.name: source.inputs for source in lineage.sources} == {
        "diet": {"diet-raw.bz2": "5e" * 32},
        "wikipedia": {"wikipedia-raw.bz2": "5e" * 32},
    }
    assert [(part.license, part.documents) for part in lineage.corpus] == [
        ("ndl-terms", 2),
        ("CC-BY-SA-4.0", 2),
    ]
    assert lineage.stage("decontaminate").report.flows["diet"].rejected == {"evaluation_overlap": 1}


def test_lineage_holds_only_what_the_variant_was_made_from(project):
    names = {stage.name for stage in collect_lineages(MODELS, project)["base"].stages}
    assert "evaluate@smoke-base" in names
    assert not {name for name in names if name.startswith(("sft", "quantize")) or name.endswith("instruct")}


def test_parents_follow_the_order_of_making(project):
    lineages = collect_lineages(MODELS, project)
    parents = {name: lineage.parent and lineage.parent.variant for name, lineage in lineages.items()}
    assert parents == {"base": None, "instruct": "base", "gptq": "instruct", "awq": "instruct"}
    assert lineages["awq"].parent.digest == lineages["instruct"].digest()


def test_same_work_elsewhere_has_the_same_lineage(project, tmp_path):
    here = collect_lineages(MODELS, project)["base"]
    there = collect_lineages(MODELS, Path(shutil.copytree(project, tmp_path / "copy")))["base"]
    assert here == there
    assert here.digest() == there.digest()
    assert Lineage.model_validate_json(here.model_dump_json()).digest() == here.digest()


def test_another_setting_or_commit_changes_the_digest(project):
    before = collect_lineages(MODELS, project)["base"].digest()
    lock = project / "dvc.lock"
    lock.write_text(lock.read_text().replace("seed: 1", "seed: 2"))
    assert collect_lineages(MODELS, project)["base"].digest() != before
    write_lock(project)
    git(
        project,
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.org",
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "next",
    )
    assert collect_lineages(MODELS, project)["base"].digest() != before


def test_change_of_dvc_lock_alone_is_not_dirty(project):
    assert code_state(project).dirty is False
    (project / "dvc.lock").write_text("stages: {}\n")
    assert code_state(project).dirty is False


def test_uncommitted_change_is_dirty_and_the_patch_restores_it(project, tmp_path):
    clean = shutil.copytree(project, tmp_path / "clean")
    (project / "params.yaml").write_text("recipes: {smoke: 改}\n", encoding="utf-8")
    (project / "components" / "new 鍛冶.py").write_text("x = 1\n")
    state = code_state(project)
    assert state.dirty
    assert state.untracked == ("components/new 鍛冶.py",)
    subprocess.run(["git", "apply"], cwd=clean, input=state.patch.encode(), check=True)
    assert (clean / "params.yaml").read_bytes() == (project / "params.yaml").read_bytes()


def test_patch_does_not_depend_on_the_persons_git_settings(project):
    (project / "params.yaml").write_text("recipes: 2\n")
    patch = code_state(project).patch
    for key in ("diff.noprefix", "diff.mnemonicPrefix"):
        git(project, "config", key, "true")
    git(project, "config", "color.diff", "always")
    assert code_state(project).patch == patch


def test_folder_outside_git_says_so_and_has_a_lineage(project):
    shutil.rmtree(project / ".git")
    lineage = collect_lineages(MODELS, project)["base"]
    assert lineage.code.commit is None
    assert lineage.code.dirty is None
    assert "not a git repository" in lineage.code.problem


def test_repository_without_a_commit_says_so(tmp_path):
    git(tmp_path, "init", "-q")
    assert "commit is unknown" in code_state(tmp_path).problem


def test_missing_dvc_lock_is_an_error_with_the_remedy(project):
    (project / "dvc.lock").unlink()
    with pytest.raises(KajiyaError, match=r"dvc\.lock: no such file.*kajiya run"):
        collect_lineages(MODELS, project)


def test_model_that_no_stage_wrote_is_an_error_naming_it(project):
    with pytest.raises(KajiyaError, match="no stage in it writes models/other"):
        upstream(read_lock(project / "dvc.lock"), ["models/other"], project / "dvc.lock")


@pytest.mark.parametrize(
    "changed", ["models/smoke/base/model.safetensors", "data/decontaminated.report.json"]
)
def test_file_changed_by_hand_is_an_error_naming_it(project, changed):
    (project / changed).write_bytes(b"{}")
    with pytest.raises(KajiyaError, match=r"dvc\.lock records"):
        collect_lineages(MODELS, project)


def test_folder_hash_is_the_one_dvc_takes(tmp_path):
    folder = tmp_path / "out"
    for name in ("b/x.txt", "b-1/y.txt", "a.txt", "日本.txt", "b.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name}\r\n")
    for arguments in (["init", "-q", "--no-scm"], ["add", "-q", "out"]):
        dvc = [sys.executable, "-m", "dvc", *arguments]
        subprocess.run(dvc, cwd=tmp_path, check=True, capture_output=True)
    assert f"md5: {folder_hash(folder)}\n" in (tmp_path / "out.dvc").read_text()
    check_unchanged(Hashed(path="out", hash=folder_hash(folder)), tmp_path, tmp_path / "dvc.lock")


def test_tree_shows_each_stage_once_down_to_the_raw_files(project):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(lineage_tree(collect_lineages(MODELS, project)["awq"]))
    text = console.export_text()
    for wanted in (
        "kajiya-smoke awq",
        "quantize@smoke-awq",
        "pretrain@smoke",
        "wikipedia-raw.bz2",
        "ndl-terms 2",
    ):
        assert wanted in text
    assert text.count("wikipedia-raw.bz2") == 1
    assert "(above)" in text


def test_page_holds_every_stage_and_no_outside_address(project):
    (project / "params.yaml").write_text("recipes: '<script>alert(1)</script>'\n")
    commit(project)
    (project / "params.yaml").write_text("recipes: '<b>'\n")
    lineage = collect_lineages(MODELS, project)["instruct"]
    page = lineage_html(lineage)
    assert all(f'id="{stage.name}"' in page for stage in lineage.stages)
    assert page.count("<rect") == len(lineage.stages)
    assert "<script" not in page
    assert not [address for address in ("src=", "https://", "@import") if address in page]
