"""The page of a recipe: every number from the files, and words where a part is missing."""

import itertools
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from kajiya.line_chart import HEIGHT, RIGHT, WIDTH, line_chart, ticks
from kajiya.report import Report
from kajiya.report_page import write_page
from kajiya.report_training import forgetting_table
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

    assert html.count("<polyline") == 4  # base and instruct: loss and learning rate
    assert "loss 0.45" in html


TABLE = {
    "steps": [
        {"step": step, "values": {"perplexity/english": 10.0 + step, "accuracy/arc": 0.5 - step / 100},
         "mean_accuracy": 0.5 - step / 100, "alarms": ["perplexity/english is 20"] * (step == 10)}
        for step in (0, 5, 10)
    ],
    "on_bound": "raise_replay",
    "replay_raised": [{"step": 10, "share": 0.15}],
}  # fmt: skip


def test_page_shows_what_the_base_could_and_can_still(project):
    write_report(project / "models/smoke/base", Report(figures={"forgetting": TABLE}))

    html = page_of(project)

    assert ["measure", "base", "step 5", "step 10", "difference"] in rows(html)
    assert ["perplexity/english", "10", "15", "20", "+10"] in rows(html)
    assert ["mean accuracy", "0.5", "0.45", "0.4", "-0.1"] in rows(html)
    assert "step 10: perplexity/english is 20" in html
    assert "to 0.15 after step 10" in html


def test_page_of_many_measures_keeps_the_base_and_the_last():
    steps = [TABLE["steps"][0] | {"step": step} for step in range(0, 1010, 10)]
    shown = forgetting_table(TABLE | {"steps": steps})["steps"]
    assert (shown[0], shown[-1], len(shown)) == (0, 1000, 9)


def test_page_shows_speed_and_restarts_where_they_lie(project):
    pages = project / "models/smoke/base.pages"
    pages.mkdir()
    speeds = [
        {"step": step, "tokens_per_second": speed} for step, speed in ((1, 100.0), (2, 300.0), (3, 200.0))
    ]
    (pages / "throughput.jsonl").write_text("".join(json.dumps(row) + "\n" for row in speeds))
    lines = [
        {"time": "2026-01-05T10:00:00Z", "event": "begin", "ranks": 2, "processes": [11, 12]},
        {"time": "2026-01-05T10:09:00Z", "event": "end", "why": "rank 1 was killed by SIGKILL"},
        {"time": "2026-01-05T10:10:00Z", "event": "begin", "ranks": 1, "processes": [13]},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"time": "2026-01'  # cut by a kill
    (pages / "history.jsonl").write_text(text)

    html = page_of(project)

    assert ["tokens per second", "200", "200"] in rows(html)
    assert "History: 2 starts" in html
    assert ["2026-01-05T10:09:00Z", "end", "why rank 1 was killed by SIGKILL"] in rows(html)
    assert ["2026-01-05T10:10:00Z", "begin", "ranks 1"] in rows(html)


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


@pytest.mark.parametrize(
    ("line", "left", "top"),
    [
        ([(0, 9), (5, 5), (9, 0)], False, True),
        ([(0, 0), (10, 10)], True, True),
        ([(0, 0), (1, 10), (10, 10)], False, False),
    ],
)
def test_chart_names_its_lines_where_no_line_is(line, left, top):
    x, y = re.findall(r'<text x="([\d.]+)" y="([\d.]+)">the name<', line_chart({"the name": line}, "x", "y"))[
        0
    ]
    assert (float(x) < WIDTH / 2, float(y) < HEIGHT / 2) == (left, top)


def test_chart_of_nothing_is_empty():
    assert line_chart({"loss": []}, "step", "loss") == ""


def test_chart_of_a_long_run_stays_small_and_ends_at_the_end():
    chart = line_chart({"loss": [(step, 1 / (step + 1)) for step in range(100_000)]}, "step", "loss")

    assert len(chart) < 20_000
    assert re.search(rf'points="[^"]* {WIDTH - RIGHT:.1f},', chart)
