"""The page of a recipe: every number from the files, and words where a part is missing."""

import itertools
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from kajiya.line_chart import RIGHT, WIDTH, line_chart, ticks
from kajiya.report import Report
from kajiya.report_page import write_page
from tests.finished_project import make_project, write_report


@pytest.fixture
def project(tmp_path, monkeypatch):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    root = make_project(tmp_path / "project", model)
    monkeypatch.chdir(root)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return root


def page_of(root):
    return (root / write_page(root, "smoke", Path("reports"))).read_text(encoding="utf-8")


def rows(html):
    """Every table row as the list of its cells' words."""
    found = []
    for row in re.findall(r"<tr.*?</tr>", html, re.DOTALL):
        cells = re.findall(r"<t[dh].*?>(.*?)</t[dh]>", row, re.DOTALL)
        found.append([re.sub(r"<.*?>", "", cell).replace("&nbsp;", " ").strip() for cell in cells])
    return found


def test_page_counts_documents_per_stage_and_source_with_reasons(project):
    table = rows(page_of(project))

    assert ["decontaminate", "all sources", "6", "4", "", "2"] in table
    assert ["", "diet", "3", "2", "", "evaluation_overlap 1"] in table


def test_page_shows_scores_of_all_variants_beside_the_untrained_model_and_chance(project):
    path = project / "models/smoke/evaluation/base/results.json"
    results = json.loads(path.read_text())
    results["untrained"] = {"jcommonsenseqa": {"0": {"acc": 0.19}}}
    path.write_text(json.dumps(results))

    table = rows(page_of(project))

    assert ["task", "shots", "measure", "base", "instruct", "gptq", "awq", "untrained", "chance"] in table
    assert ["jcommonsenseqa", "0", "acc", "0.41", "0.42", "0.43", "0.44", "0.19", "0.2"] in table


def test_page_draws_the_loss_of_every_training(project):
    html = page_of(project)

    assert html.count("<polyline") == 2
    assert "loss 0.45" in html


def test_page_shows_what_quantization_saved(project):
    figures = {"bytes_before": 4000, "bytes_after": 1000, "bits_per_weight": 4.5, "kl_divergence": 0.01}
    write_report(project / "models/smoke/gptq", Report(figures=figures))

    assert ["gptq", "4,000", "1,000", "4.00 times", "4.5", "–", "0.01"] in rows(page_of(project))


def test_page_shows_seconds_where_a_stage_ran_here(project):
    (project / "data" / "decontaminated.run.json").write_text(
        '{"seconds": 12.34, "peak_memory_bytes": 2000000000}'
    )

    assert ["decontaminate", "12.3", "", "2.00 GB", "data/decontaminated"] in rows(page_of(project))


def test_page_before_anything_ran_says_so_in_every_part(project):
    (project / "dvc.lock").unlink()

    html = page_of(project)

    for what in ("the corpus", "training", "evaluation", "quantization", "registering", "any stage"):
        assert f"Not run yet: {what}" in html


def test_page_of_a_training_that_has_not_ended_keeps_the_rest(project):
    shutil.rmtree(project / "models" / "smoke")

    html = page_of(project)

    assert "Not run yet: training" in html
    assert "Not run yet: the corpus" not in html


def test_page_stands_alone_and_escapes_what_it_shows(project):
    (project / "recipes" / "smoke.yaml").write_text("description: <script>alert(1)</script> 鍛冶\n")

    html = page_of(project)
    parser = HTMLParser()
    parser.feed(html)

    assert "<script" not in html
    assert "鍛冶" in html
    assert not re.search(r"""(?:src|href)=["'](?!#)""", html)
    assert "@import" not in html
    assert "url(" not in html


def test_page_of_a_registry_that_is_down_says_so_and_shows_the_rest(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    html = page_of(project)

    assert "The registry could not be read" in html
    assert "jcommonsenseqa" in html


@pytest.mark.parametrize(("low", "high"), [(0, 1), (1.7, 9.3), (0, 400), (-3e-5, 2e-5), (1e6, 3.3e6)])
def test_ticks_enclose_the_range_in_few_even_steps(low, high):
    found = ticks(low, high)

    assert found[0] <= low + 1e-12
    assert found[-1] >= high - 1e-12
    assert 4 <= len(found) <= 9
    steps = [b - a for a, b in itertools.pairwise(found)]
    assert max(steps) == pytest.approx(min(steps))


def test_chart_leaves_out_what_is_not_finite():
    assert "nan" not in line_chart({"loss": [(0, 3.0), (1, float("nan")), (2, 2.0)]}, "step", "loss")


def test_chart_of_nothing_is_empty():
    assert line_chart({"loss": []}, "step", "loss") == ""


def test_chart_of_a_long_run_stays_small_and_ends_at_the_end():
    chart = line_chart({"loss": [(step, 1 / (step + 1)) for step in range(100_000)]}, "step", "loss")

    assert len(chart) < 20_000
    assert re.search(rf'points="[^"]* {WIDTH - RIGHT:.1f},', chart)
