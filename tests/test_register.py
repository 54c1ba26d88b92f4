"""Registering is whole, once, and survives being killed; against real MLflow."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from requests import ReadTimeout
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from components.register import RegisterSettings, run
from components.register.gate import gate_tags, verdict_on
from components.register.scores import MAX_POINTS, flatten, read_curve, read_json
from kajiya.cli import app
from kajiya.errors import KajiyaError
from kajiya.gate_verdict import read_verdict
from kajiya.lineage import collect_lineages
from kajiya.registered_version import RegisteredVersion, parse_version
from kajiya.registry import (
    LINEAGE_TAG,
    connect,
    fetch_model,
    how_to_open,
    list_versions,
    load_lineage,
    reachable,
    registry_exists,
    tracking_uri,
)
from kajiya.report import Report
from kajiya.stage import execute
from tests.finished_project import VARIANTS, make_project, write_lock, write_verdict
from tests.tiny_model import write_model

MODELS, OUT = Path("models/smoke"), Path("registered/smoke")
REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A finished project with a loadable model and an empty, migrated registry."""
    folder = tmp_path_factory.mktemp("finished")
    write_model(folder / "model")
    project = make_project(folder / "project", folder / "model")
    before = Path.cwd()
    os.chdir(project)
    try:
        connect().search_experiments()
    finally:
        os.chdir(before)
    return project


@pytest.fixture
def project(finished, tmp_path, monkeypatch) -> Path:
    copy = Path(shutil.copytree(finished, tmp_path / "project"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(copy)
    return copy


def register(**settings: str) -> None:
    execute(run, RegisterSettings(**settings), [MODELS], OUT)


def command(*arguments: str, **environment: str) -> dict:
    return {
        "args": [sys.executable, "-m", "components.register", "--params", "recipes/smoke.yaml", *arguments],
        "env": {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }


def artifacts(run_id: str, folder: str | None = None) -> set[str]:
    found = set()
    for entry in connect().list_artifacts(run_id, folder):
        found |= artifacts(run_id, entry.path) if entry.is_dir else {entry.path}
    return found


def tree_bytes(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_four_versions_with_parents_scores_tags_and_files(project):
    register(license="CC-BY-SA-4.0", notes_ja="試験用です。")
    versions = list_versions("smoke")
    assert [(v.name, v.version, v.variant, v.parent_version) for v in versions] == [
        ("kajiya-smoke", 1, "base", None),
        ("kajiya-smoke", 2, "instruct", 1),
        ("kajiya-smoke", 3, "gptq", 2),
        ("kajiya-smoke", 4, "awq", 2),
    ]
    gptq = versions[2]
    assert gptq.scores == {"jcommonsenseqa/0/acc": 0.43, "perplexity/wikipedia": 12.5}
    assert gptq.metrics["tasks/jcommonsenseqa/0/n"] == 300
    assert gptq.metrics["report/loss"] == pytest.approx(2.3)
    assert gptq.tags["git_dirty"] == "false"
    assert gptq.tags["licenses"] == "Apache-2.0, CC-BY-SA-4.0, ndl-terms"
    assert gptq.tags["generators"] == "human, open-model"
    assert versions[0].tags["generators"] == "human"
    lineage = collect_lineages(MODELS, project)["gptq"]
    assert load_lineage("kajiya-smoke", 3) == lineage
    assert gptq.tags[LINEAGE_TAG] == lineage.digest()
    assert {
        "model/model.safetensors",
        "model/tokenizer.json",
        "model_card.md",
        "lineage.json",
        "lineage.html",
        "dvc.lock",
        "smoke.yaml",
        "params.yaml",
        "evaluation/results.json",
        "reports/data/crawl/wikipedia.report.json",
        "reports/models/smoke/gptq.report.json",
    } <= artifacts(gptq.run_id)
    base = versions[0]
    assert "plots/loss.png" in artifacts(base.run_id)
    curve = connect().get_metric_history(base.run_id, "training/loss")
    assert [(m.step, m.value) for m in curve][:2] == [(1, 9.0), (2, 4.5)]
    assert base.metrics["training/loss"] == pytest.approx(9 / 20)


def test_verdict_of_the_gate_stands_in_tags_metrics_card_and_lineage(project):
    register()
    base, _, gptq, _ = list_versions("smoke")

    assert base.tags["gate"] == "none"
    assert (gptq.tags["gate"], gptq.tags["gate_largest_drop"]) == ("passed", "1.00")
    assert gptq.metrics["gate/jcommonsenseqa/0/difference"] == -1.0
    assert gptq.metrics["gate/mean_difference"] == -1.0
    assert gptq.metrics["gate/largest_drop"] == 1.0  # not the 9 points of the task at chance
    assert "gate/gate.json" in artifacts(gptq.run_id)
    card = (OUT / "gptq" / "model_card.md").read_text(encoding="utf-8")
    assert "| jcommonsenseqa | 0 | 42.0 | 41.0 | -1.0 (-2.5, +0.5) | 5 | held |" in card
    assert "| jnli | 0 | 42.0 | 41.0 | -9.0 (-2.5, +0.5) | 5 | 対象外" in card
    assert "held" not in (OUT / "base" / "model_card.md").read_text(encoding="utf-8")
    assert collect_lineages(MODELS, project)["gptq"].stage("gate@smoke-gptq") is not None


def test_scores_of_a_judge_stand_in_metrics_files_and_lineage(project, monkeypatch):
    from tests import finished_project

    recipe = project / "recipes" / "smoke.yaml"
    recipe.write_text(recipe.read_text() + "judged: [instruct]\nanswer: {}\njudge: {model: judge-1}\n")
    folder = project / "models" / "smoke" / "judgements" / "instruct"
    folder.mkdir(parents=True)
    judged = {"sets": {"ja_mt_bench": {"mean": 4.5, "n": 80, "turns": {"1": {"mean": 5.0}}}}}
    (folder / "scores.json").write_text(json.dumps(judged))
    (folder / "judgements.jsonl").write_text("{}\n")
    finished_project.write_report(folder, Report())
    plain = finished_project._stages()
    made = {"judge@smoke-instruct": (["models/smoke/instruct"], "models/smoke/judgements/instruct")}
    monkeypatch.setattr(finished_project, "_stages", lambda: {**plain, **made})
    write_lock(project)

    register()

    instruct, gptq = list_versions("smoke")[1:3]
    assert instruct.metrics["judged/ja_mt_bench/mean"] == 4.5
    assert instruct.metrics["judged/ja_mt_bench/turns/1/mean"] == 5.0
    assert {"judgements/scores.json", "judgements/judgements.jsonl"} <= artifacts(instruct.run_id)
    assert "judge@smoke-instruct" in (OUT / "instruct" / "lineage.json").read_text()
    assert "judged/ja_mt_bench/mean" in (OUT / "instruct" / "model_card.md").read_text()
    assert not [name for name in gptq.metrics if name.startswith("judged")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"verdict": "stopped"}, "the gate stopped gptq, so it is not registered"),
        ({"after": "awq"}, "a verdict on awq against instruct, where gptq was made from instruct"),
        ({"before": "base"}, "a verdict on gptq against base, where gptq was made from instruct"),
    ],
)
def test_verdict_that_lets_no_such_version_pass_is_not_registered(tmp_path, change, words):
    gate = tmp_path / "gptq"
    write_verdict(gate, "instruct")
    passed = verdict_on("gptq", "instruct", gate)
    (gate / "gate.json").write_text(passed.model_copy(update=change).model_dump_json())
    with pytest.raises(KajiyaError, match=words):
        verdict_on("gptq", "instruct", gate)


def test_variant_without_a_gate_is_not_registered(project):
    lock = Path("dvc.lock")
    lock.write_text(lock.read_text().replace("models/smoke/gates/gptq", "models/smoke/elsewhere/gptq"))

    with pytest.raises(KajiyaError, match="no stage in it writes models/smoke/gates/gptq"):
        register()
    assert list_versions() == []


def test_scores_of_a_version_are_without_counts_and_intervals():
    metrics = {f"tasks/jnli/3/{name}": 0.5 for name in ("acc", "n", "stderr", "merged", "intervals/acc/low")}
    version = RegisteredVersion(
        name="kajiya-smoke",
        version=1,
        run_id="r",
        variant="base",
        parent_version=None,
        aliases=(),
        tags={},
        metrics=metrics | {"gate/jnli/3/difference": -1.0},
    )

    assert version.scores == {"jnli/3/acc": 0.5}


def test_version_loads_from_the_registry_as_a_model(project, tmp_path, monkeypatch):
    register()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri())
    folder = download_artifacts("models:/kajiya-smoke/2", dst_path=tmp_path)
    tokens = AutoTokenizer.from_pretrained(folder)("日本で一番長い川", return_tensors="pt")
    assert AutoModelForCausalLM.from_pretrained(folder)(input_ids=tokens["input_ids"]).logits.isfinite().all()


def test_version_and_alias_lead_to_the_folder_of_the_model(project):
    register()
    connect().set_registered_model_alias("kajiya-smoke", "champion", "2")

    for name in ("kajiya-smoke/2", "models:/kajiya-smoke/2", "kajiya-smoke@champion"):
        assert tree_bytes(fetch_model(name)) == tree_bytes(MODELS / "instruct")
    for name, words in (
        ("kajiya-smoke/9", "no such version"),
        ("kajiya-smoke@best", "there are: kajiya-smoke@champion"),
        ("kajiya-other@champion", "there are: none"),
    ):
        with pytest.raises(KajiyaError, match=words):
            fetch_model(name)


def test_registering_again_finds_the_versions_and_gives_the_same_bytes(project):
    register()
    first = tree_bytes(Path("registered"))
    shutil.rmtree("registered")
    register()
    second = tree_bytes(Path("registered"))
    assert len(list_versions()) == 4
    assert {**first, "smoke.run.json": b""} == {**second, "smoke.run.json": b""}


def test_output_is_the_same_whatever_the_registry_holds(project, finished):
    register()
    first = tree_bytes(OUT)
    lock = Path("dvc.lock")
    was = lock.read_text()
    lock.write_text(was.replace("seed: 1", "seed: 2"))
    register()
    assert len(list_versions()) == 8
    shutil.copy(finished / "mlflow.db", "mlflow.db")
    shutil.rmtree("mlartifacts")
    lock.write_text(was)
    register()
    assert [version.version for version in list_versions()] == [1, 2, 3, 4]
    assert tree_bytes(OUT) == first


def registering_the_third(project: Path) -> bool:
    return len(list(project.glob("mlartifacts/*/*/artifacts/model/model.safetensors"))) > 2


def making_the_database(project: Path) -> bool:
    partial = project / "mlflow.db.partial"
    return partial.exists() and partial.stat().st_size > 100_000


@pytest.mark.parametrize("moment", [making_the_database, registering_the_third])
def test_stage_killed_halfway_is_finished_by_the_next_run(project, moment):
    if moment is making_the_database:
        Path("mlflow.db").unlink()
    process = subprocess.Popen(**command(str(MODELS), str(OUT)))
    deadline = time.monotonic() + 120
    while process.poll() is None and not moment(project) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert len(list_versions()) < 4
    assert not OUT.exists()

    register()
    versions = list_versions()
    assert [(version.version, version.variant) for version in versions] == list(enumerate(VARIANTS, 1))
    client = connect()
    runs = client.search_runs([client.get_experiment_by_name("kajiya-smoke").experiment_id])
    assert sorted(one.info.status for one in runs) == ["FINISHED"] * 4
    for version in versions:
        names = {
            name.removeprefix("model/") for name in artifacts(version.run_id) if name.startswith("model/")
        }
        assert names == set(load_lineage(version.name, version.version).model_files)
        assert len(client.get_metric_history(version.run_id, "weights_bytes")) == 1


def test_file_cut_short_by_a_crash_is_uploaded_again(project, monkeypatch):
    def fail(*_arguments: object, **_names: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "create_model_version", fail)
        with pytest.raises(KeyboardInterrupt):
            register()
    (uploaded,) = Path("mlartifacts").glob("*/*/artifacts/model/model.safetensors")
    uploaded.write_bytes(b"half")
    register()
    assert uploaded.read_bytes() == (MODELS / "base" / "model.safetensors").read_bytes()


def test_server_that_is_down_is_a_clear_error_and_can_be_continued(project, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with monkeypatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", closed)
        started = time.monotonic()
        with pytest.raises(KajiyaError, match=rf"MLflow at {closed}: (?s:.*)make up"):
            register()
    assert time.monotonic() - started < 30
    assert not OUT.exists()
    register()
    assert len(list_versions()) == 4


def test_database_that_is_none_is_a_clear_error(project):
    Path("mlflow.db").write_text("これはデータベースではない。" * 100)
    with pytest.raises(KajiyaError, match=r"mlflow\.db: not a SQLite database"):
        register()
    assert not OUT.exists()


def test_registry_on_a_real_server_serves_the_files(project, finished, tmp_path, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    store = [
        "--backend-store-uri",
        "sqlite:///server.db",
        "--artifacts-destination",
        str(tmp_path / "artifacts"),
    ]
    shutil.copy(finished / "mlflow.db", tmp_path / "server.db")
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--port", port, "--workers", "1", *store],
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", int(port))) and time.monotonic() < deadline:
            time.sleep(0.2)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        register()
        register()
        assert [version.variant for version in list_versions()] == list(VARIANTS)
        assert load_lineage("kajiya-smoke", 2).variant == "instruct"
        assert "model/model.safetensors" in artifacts(list_versions()[1].run_id)
        assert not Path("mlartifacts").exists()
        fetched = fetch_model("kajiya-smoke/2")
        assert tree_bytes(fetched) == tree_bytes(MODELS / "instruct")
        assert fetch_model("kajiya-smoke/2") == fetched
        assert [path.name for path in fetched.parent.iterdir()] == [fetched.name]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def test_model_card_says_in_both_languages_what_was_measured(project):
    register(notes_en="For tests only.")
    card = (OUT / "gptq" / "model_card.md").read_text()
    for wanted in (
        "## 日本語",
        "## English",
        "For tests only.",
        "| diet | ndl-terms | human | ja | 2 |",
        "| decontaminate | wikipedia | 3 | 2 | evaluation_overlap 1 |",
        "| tasks/jcommonsenseqa/0/acc | 0.43 |",
        "none was chosen",
    ):
        assert wanted in card
    assert re.search(r"commit: [0-9a-f]{40}\n", card)


def test_models_outside_the_project_are_an_error(project, tmp_path):
    with pytest.raises(KajiyaError, match="Run in the project's folder"):
        run(RegisterSettings(), Path(shutil.copytree(MODELS, tmp_path / "smoke")), out=tmp_path / "out")


def test_command_line_shows_versions_and_lineage(project):
    register()
    assert CliRunner().invoke(app, ["lineage", "kajiya-smoke/3", "--html", "lineage.html"]).exit_code == 0
    assert "quantize@smoke-gptq" in Path("lineage.html").read_text()
    tree = CliRunner().invoke(app, ["lineage", "kajiya-smoke/3"]).output
    assert "wikipedia-raw.bz2" in tree
    missing = CliRunner().invoke(app, ["lineage", "kajiya-smoke/9"])
    assert missing.exit_code == 2
    assert "kajiya-smoke/4" in missing.output + missing.stderr


def test_trace_names_the_versions_that_learnt_a_document(project):
    register()
    learnt = CliRunner().invoke(app, ["trace", "wikipedia:1"]).output
    assert "train.npy[0:9]" in learnt
    assert "kajiya-smoke/4 awq: has learnt it" in learnt
    assert "kajiya-smoke/4 awq: has not learnt it" in CliRunner().invoke(app, ["trace", "wikipedia:0"]).output
    done = CliRunner().invoke(app, ["takedown", "wikipedia:1", "--reason", "asked"]).output
    assert "kajiya-smoke/1 base: has learnt them" in done


def test_dirty_tree_is_tagged_and_carries_its_patch(project):
    Path("params.yaml").write_text("recipes: {a: b}\n")
    register()
    version = list_versions()[0]
    assert version.tags["git_dirty"] == "true"
    assert "code.patch" in artifacts(version.run_id)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda: Path("dvc.lock").unlink(), r"dvc\.lock: no such file"),
        (lambda: Path("recipes/smoke.yaml").unlink(), r"smoke\.yaml: no such recipe"),
        (lambda: Path("dvc.lock").write_text("stages: [\n"), r"dvc\.lock: not valid YAML"),
    ],
)
def test_missing_record_is_an_error_before_anything_is_registered(project, spoil, message):
    spoil()
    with pytest.raises(KajiyaError, match=message):
        register()
    assert list_versions() == []


def test_broken_results_are_an_error_naming_the_line(project):
    results = MODELS / "evaluation" / "awq" / "results.json"
    results.write_text('{"tasks":\n  nonsense}\n')
    write_lock(project)
    with pytest.raises(KajiyaError, match=r"awq/results\.json:2: not valid JSON"):
        register()
    assert list_versions() == []


@pytest.mark.parametrize("constant", ["NaN", "-Infinity"])
def test_score_that_is_no_number_is_refused(tmp_path, constant):
    (tmp_path / "results.json").write_text(f'{{"tasks": {{"jnli": {{"3": {{"acc": {constant}}}}}}}}}')
    with pytest.raises(KajiyaError, match=rf"results\.json: holds {constant}, which is no score"):
        read_json(tmp_path / "results.json")


def test_registry_that_nobody_wrote_yet_is_empty_and_stays_so(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db"
    assert not registry_exists()
    assert list_versions() == []
    with pytest.raises(KajiyaError, match="kajiya-smoke/1: no such version"):
        load_lineage("kajiya-smoke", 1)
    assert list(tmp_path.iterdir()) == []


def test_message_about_the_registry_shows_no_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://kajiya:secret@db.example:5432/mlflow")
    with pytest.raises(KajiyaError) as caught, reachable():
        raise MlflowException("API request to http://kajiya:secret@db.example/api failed")
    assert "secret" not in str(caught.value) + how_to_open()
    assert "postgresql://***@db.example:5432/mlflow" in str(caught.value)


def test_failure_of_the_registry_without_a_word_is_named():
    with pytest.raises(KajiyaError, match="ReadTimeout"), reachable():
        raise ReadTimeout


def test_version_is_read_from_a_name_and_a_number():
    assert parse_version("kajiya-smoke/3") == ("kajiya-smoke", 3)
    assert parse_version("models:/kajiya-smoke/12") == ("kajiya-smoke", 12)
    for wrong in ("kajiya-smoke", "kajiya-smoke/x", "/3"):
        with pytest.raises(KajiyaError, match="expected a version"):
            parse_version(wrong)


def test_numbers_are_flattened_by_path_and_nothing_else_is():
    content = {"tasks": {"jnli": {"3": {"acc": 0.5, "version": "v1.3", "ok": True}}}, "パープレ%": {"ja": 7}}
    assert flatten(content) == {"tasks/jnli/3/acc": 0.5, "_____/ja": 7.0}


def test_long_curve_is_thinned_and_keeps_its_last_step(tmp_path):
    lines = [json.dumps({"step": step, "loss": 1 / step}) for step in range(1, 2001)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    curve = read_curve(tmp_path)
    assert len(curve) == MAX_POINTS
    assert curve[-1].step == 2000
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2}\n{"loss"\n')
    with pytest.raises(KajiyaError, match=r"metrics\.jsonl:2"):
        read_curve(tmp_path)


def test_result_file_that_is_no_object_is_an_error(tmp_path):
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(KajiyaError, match="expected a JSON object"):
        read_json(tmp_path / "results.json")


def test_stage_in_the_pipeline_depends_on_every_module_that_writes_the_lineage():
    stage = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]["register"]["do"]
    modules = {f"kajiya/{name}.py" for name in ("lineage", "lineage_page", "dvc_lock", "git", "registry")}
    assert modules <= set(stage["deps"])


def test_tag_of_a_gate_where_nothing_was_lost_is_no_negative_zero(tmp_path):
    write_verdict(tmp_path / "gptq", "instruct")
    found = read_verdict(tmp_path / "gptq")
    same = [one.model_copy(update={"difference": 0.0}) for one in found.tasks]

    assert gate_tags(found.model_copy(update={"tasks": tuple(same)}))["gate_largest_drop"] == "0.00"
