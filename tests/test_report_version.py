"""The page of a registered version: from the registry alone, with the facts of the tree, hung on the version."""

import json
import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.register import RegisterSettings, run
from kajiya.cli import app
from kajiya.lineage import collect_lineages
from kajiya.registry import connect, list_versions, read_version
from kajiya.report_pages import version_page
from kajiya.report_pages.hung import PAGE_TAG, artifact_address
from kajiya.report_pages.links import links
from kajiya.report_pages.records import of_lineage
from kajiya.stage import execute
from tests.finished_project import commit, make_project, write_lock, write_run
from tests.report_html import headings, language, outside, rows

MODELS, OUT = Path("models/smoke"), Path("registered/smoke")


def add_what_runs_leave(root):
    """Everything that differs from run to run, and what newer stages write."""
    for variant, number in (("base", 1), ("instruct", 2), ("gptq", 3), ("awq", 4)):
        evaluation = root / f"models/smoke/evaluation/{variant}"
        write_run(
            root / f"models/smoke/{variant}", seconds=60.0 * number, cpu_seconds=30.0, hour_price="6 USD"
        )
        text = {"prompt": "川は", "text": f"{variant} の文。", "chat": False, "tokens": 3, "ended": True}
        (evaluation / "samples.jsonl").write_text(json.dumps({**text, "temperature": 0, "seed": 1}) + "\n")
        results = json.loads((evaluation / "results.json").read_text())
        shares = [float((item * 7 + number) % 10 < 4 + number) for item in range(40)]
        measures = {"acc": sum(shares) / 40, "n": 40, "main": "acc", "prompts": "0.1", "truncated": 0}
        results["tasks"] = {"jcommonsenseqa": {"0": measures}}
        (evaluation / "results.json").write_text(json.dumps(results))
        lines = [
            {
                "task": "jcommonsenseqa",
                "shots": 0,
                "id": str(k),
                "right": "a",
                "prediction": "a",
                "scores": {"acc": share},
            }
            for k, share in enumerate(shares)
        ]
        (evaluation / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    pages = root / "models/smoke/base.pages"
    pages.mkdir()
    (pages / "throughput.jsonl").write_text('{"step": 1, "tokens_per_second": 100.0}\n')
    (pages / "history.jsonl").write_text('{"time": "2026-01-01T00:00:00Z", "event": "begin", "ranks": 1}\n')


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """A project whose four variants are registered."""
    folder = tmp_path_factory.mktemp("registered")
    model = folder / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(bytes(100))
    root = make_project(folder / "project", model)
    add_what_runs_leave(root)
    write_lock(root)
    commit(root)
    before = Path.cwd()
    os.chdir(root)
    try:
        execute(run, RegisterSettings(), [MODELS], OUT)
    finally:
        os.chdir(before)
    return root


@pytest.fixture
def project(registered, monkeypatch):
    monkeypatch.chdir(registered)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return registered


def page_from_the_registry(root, version, folder, monkeypatch):
    """Made in an empty folder that has nothing but the registry's address."""
    folder.mkdir()
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlflow.db'}")
        done = CliRunner().invoke(app, ["report", version])
        assert done.exit_code == 0, done.output
        assert "Report: reports/kajiya-smoke-3.html" in done.output
        return (folder / "reports/kajiya-smoke-3.html").read_text(encoding="utf-8")


def test_page_from_the_registry_alone_is_that_of_the_tree(project, tmp_path, monkeypatch):
    lineage = collect_lineages(MODELS, project)["gptq"]
    version = read_version(connect(), "kajiya-smoke", 3)

    html = page_from_the_registry(project, "kajiya-smoke/3", tmp_path / "elsewhere", monkeypatch)

    assert html == version_page(of_lineage(project, lineage), version)


def test_page_of_a_version_tells_its_whole_line_but_no_other_variant(project, tmp_path, monkeypatch):
    html = language(
        page_from_the_registry(project, "kajiya-smoke/3", tmp_path / "elsewhere", monkeypatch), "en"
    )

    assert "<code>instruct</code> (<code>kajiya-smoke/2</code>)" in html
    for name in ("pretrain@smoke", "sft@smoke-instruct", "quantize@smoke-gptq"):
        assert [name] in [row[:1] for row in rows(html)]
    assert "gptq の文。" in html
    assert "awq" not in html
    assert any(
        row[:3] == ["jcommonsenseqa", "0", "40"] and row[-1] in ("real", "may be chance")
        for row in rows(html)
    )
    assert ["pretrain@smoke", "60.0", "", "0.0083", "–", "–", "0.10 USD"] in rows(html)
    assert html.count("<polyline") >= 4  # losses of both trainings
    assert connect().get_model_version("kajiya-smoke", "3").tags["git_commit"] in html


def test_page_hangs_on_the_version_with_a_link_and_loads_nothing(project):
    client = connect()
    for one in list_versions("smoke"):
        version = client.get_model_version("kajiya-smoke", str(one.version))
        assert version.tags[PAGE_TAG] == f"runs:/{one.run_id}/report.html"
        assert (
            f"[report.html](#/experiments/{one.experiment_id}/runs/{one.run_id}/artifacts/report.html)"
            in version.description
        )
        html = Path(client.download_artifacts(one.run_id, "report.html")).read_text(encoding="utf-8")
        assert f"kajiya-smoke/{one.version} ({one.variant})" in html
        assert [key.removeprefix("ja-") for key, _ in headings(language(html, "ja"))] == [
            key.removeprefix("en-") for key, _ in headings(language(html, "en"))
        ]
        assert outside(html) == []


def test_page_that_a_kill_left_out_is_made_up_for_and_a_present_one_kept(registered, tmp_path, monkeypatch):
    root = Path(shutil.copytree(registered, tmp_path / "copy"))
    monkeypatch.chdir(root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{registered / 'mlflow.db'}")
    runs = {one.variant: connect().get_run(one.run_id).info.artifact_uri for one in list_versions("smoke")}
    pages = {name: Path(uri.removeprefix("file://")) / "report.html" for name, uri in runs.items()}
    html = pages["gptq"].read_bytes()
    pages["gptq"].unlink()
    kept = pages["awq"].stat().st_mtime_ns

    execute(run, RegisterSettings(), [MODELS], OUT)

    assert pages["gptq"].read_bytes() == html
    assert pages["awq"].stat().st_mtime_ns == kept
    assert len(list_versions("smoke")) == 4


def test_times_do_not_enter_what_a_version_is_known_by(registered, tmp_path, monkeypatch):
    root = Path(shutil.copytree(registered, tmp_path / "copy"))
    monkeypatch.chdir(root)
    before = {name: one.digest() for name, one in collect_lineages(MODELS, root).items()}
    write_run(root / "models/smoke/base", seconds=9999.0)
    (root / "models/smoke/base.pages/history.jsonl").unlink()

    assert {name: one.digest() for name, one in collect_lineages(MODELS, root).items()} == before


def test_version_without_records_gets_a_page_that_names_what_is_missing(project):
    lineage = collect_lineages(MODELS, project)["gptq"]
    version = read_version(connect(), "kajiya-smoke", 3)

    html = language(version_page(of_lineage(project / "nothing", lineage), version), "en")

    for words in (
        "No curves",
        "Not evaluated",
        "No texts of gptq",
        "No times",
        "has not run",
        "older kajiya",
    ):
        assert words in html
    assert ["decontaminate", "all sources", "6", "4", "", "2"] in rows(html)  # reports stand in the lineage


def test_version_with_records_of_another_form_gets_a_page_that_names_them(project, tmp_path):
    lineage = collect_lineages(MODELS, project)["gptq"]
    version = read_version(connect(), "kajiya-smoke", 3)
    for file, text in {
        "evaluation/gptq/results.json": "{}}",  # not even JSON
        "evaluation/instruct/results.json": '{"tasks": {"jnli": {"3": {"acc": 0.5}}}}',
        "evaluation/instruct/comparison.json": '{"before": "base", "gained": 1}',
        "gates/gptq/gate.json": '{"version": 9}',
    }.items():
        path = tmp_path / "models/smoke" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    html = language(version_page(of_lineage(tmp_path, lineage), version), "en")

    assert "results.json:1: not valid JSON" in html
    assert "models/smoke/gates/gptq/gate.json: a record of a form that this kajiya does not know" in html
    assert ["decontaminate", "all sources", "6", "4", "", "2"] in rows(html)
    assert "Making it again" in html


def test_alias_and_output_file_are_followed_and_an_unknown_version_refused(project, tmp_path):
    connect().set_registered_model_alias("kajiya-smoke", "champion", "2")
    file = tmp_path / "page.html"

    done = CliRunner().invoke(app, ["report", "kajiya-smoke@champion", "--html", str(file)])

    assert done.exit_code == 0, done.output
    assert "kajiya-smoke/2 (instruct)" in file.read_text(encoding="utf-8")
    assert "champion" in file.read_text(encoding="utf-8")
    refused = CliRunner().invoke(app, ["report", "kajiya-smoke/9"])
    assert refused.exit_code == 2
    assert "no such version" in refused.output


def test_links_name_the_page_of_every_version(project, monkeypatch):
    text = links("smoke", project / "reports" / "smoke.html")

    assert str(project / "reports" / "smoke.html") in text
    assert "- kajiya-smoke/3 (gptq): by `kajiya report kajiya-smoke/3`" in text
    one = list_versions("smoke")[0]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:5000/")
    assert artifact_address(one).endswith(
        f":5000/#/experiments/{one.experiment_id}/runs/{one.run_id}/artifacts/report.html"
    )
    assert "secret" not in artifact_address(one)
