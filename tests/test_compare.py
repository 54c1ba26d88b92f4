"""`kajiya compare`: registered versions, folders and published scores in one table or page."""

import json
import re
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from lxml import etree
from rich.console import Console
from typer.testing import CliRunner

from kajiya.cli import app
from kajiya.evaluation_results import load_evaluation
from kajiya.interval_chart import WIDTH, Band, Mark, interval_chart
from kajiya.intervals import Interval
from kajiya.registry import connect
from kajiya.scoreboard import make_scoreboard
from kajiya.scoreboard_page import scoreboard_html
from kajiya.scoreboard_table import print_scoreboard
from tests.evaluation_folders import hits, write_evaluation

TASKS = (("jcommonsenseqa", 3), ("jnli", 3), ("marc_ja", 3), ("jsquad", 2))
GOOD = {task: {"acc": hits(700, 1000)} for task in TASKS}
WORSE = GOOD | {("jnli", 3): {"acc": hits(600, 1000)}}
SUITES = {"4": {"mean": 70.0, "tasks": {}, "missing": [], "interval": {"low": 69.0, "high": 71.0}}}


def invoke(*arguments: object):
    return CliRunner().invoke(app, ["compare", *map(str, arguments)], env={"COLUMNS": "200"})


@pytest.fixture
def folders(tmp_path, monkeypatch) -> tuple[Path, Path]:
    monkeypatch.chdir(tmp_path)
    return (
        write_evaluation(Path("good"), GOOD, suites=SUITES),
        write_evaluation(Path("worse"), WORSE),
    )


def lines_of(output: str, start: str) -> list[str]:
    """The lines of the table from the one that begins with `start` to the next name."""
    lines = output.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(start))
    rest = [number for number, line in enumerate(lines) if number > first and not line.startswith("  ")]
    return lines[first : rest[0]]


def test_folders_are_compared_with_the_first(folders):
    result = invoke(*folders)
    assert result.exit_code == 0
    name, first, second = lines_of(result.output, "jnli@3")
    assert "1,000 items" in name
    assert first.split() == ["acc*", "A", "70.0"]
    assert second.split()[:3] == ["B", "60.0", "-10.0"]
    assert second.split()[-2:] == ["<0.001", "worse"]
    assert lines_of(result.output, "marc_ja@3")[2].split()[-2:] == ["1.000", "unclear"]


def test_order_of_the_arguments_turns_the_sign(folders):
    good, worse = folders
    line = lines_of(invoke(worse, good).output, "jnli@3")[2]
    assert "+10.0" in line
    assert line.split()[-1] == "better"


def test_three_versions_stand_below_each_other(folders, tmp_path):
    third = write_evaluation(Path("third"), GOOD)
    lines = lines_of(invoke(*folders, third).output, "jnli@3")
    assert [line.split()[-1] for line in lines[2:]] == ["worse", "unclear"]


def test_published_scores_stand_marked_with_their_sources_and_both_runs_of_one_model(folders):
    output = invoke(*folders).output
    youri = [line for line in output.splitlines() if "rinna/youri-7b-instruction" in line]
    assert len(youri) == 2
    assert all(line.startswith("published") for line in youri)
    assert any("83.88" in line and "(rinna)" in line for line in youri)
    assert any("83.94°" in line and "(Rakuten)" in line for line in youri)
    assert "Beside published" not in invoke(*folders, "--no-published").output


def test_published_scores_stay_away_where_no_task_is_the_same(tmp_path):
    scores = {("own_choices", 0): {"acc": hits(5, 10)}, ("jnli", 0): {"acc": hits(5, 10)}}
    one, other = (write_evaluation(tmp_path / name, scores) for name in "ab")
    assert "Beside published" not in invoke(one, other).output


def test_published_scores_of_one_task_are_those_that_state_it(tmp_path):
    one, other = (write_evaluation(tmp_path / name, {("mgsm", 5): {"acc": hits(5, 10)}}) for name in "ab")
    rows = [line for line in invoke(one, other).output.splitlines() if line.startswith("published")]
    assert len(rows) == 24  # of Stability's README and of the Rakuten card
    values = [float(row.split()[1]) for row in rows]
    assert values == sorted(values, reverse=True)


def test_missing_tasks_are_named(folders, tmp_path):
    few = write_evaluation(
        tmp_path / "few",
        {("jnli", 3): {"acc": hits(700, 1000)}},
        skipped={"jsquad": "no set at hand"},
        suites={"4": {"mean": None, "tasks": {}, "missing": ["jsquad"], "interval": None}},
    )
    output = invoke(folders[0], few).output
    assert "B: not asked jcommonsenseqa@3, marc_ja@3, jsquad@2." in output
    assert "B: skipped jsquad: no set at hand" in output
    assert "B: no mean of 4, without jsquad" in output


def test_versions_beside_published_scores_tell_their_data(folders):
    note = next(line for line in invoke(*folders).output.splitlines() if "jnli 1.3" in line)
    assert note.startswith("A, B: ")
    assert "jnli 1.3, 1,000 items" in note


def test_version_that_was_asked_other_items_is_marked_beside_published_scores(folders, tmp_path):
    sample = {task: {"version": "v0.1"} for task, _ in TASKS}
    other = write_evaluation(tmp_path / "sample", GOOD, data_versions=sample)
    output = invoke(other, write_evaluation(tmp_path / "worse", WORSE, data_versions=sample)).output
    assert "warning: A, B: asked other items than the published models (v0.1, 1,000)" in output
    rows = [line for line in output.splitlines() if "(other items: v0.1, 1,000)" in line]
    assert [row.split()[0] for row in rows] == ["A", "B"]
    assert "other items" not in invoke(*folders).output


def test_perplexity_stands_apart(folders):
    output = invoke(*folders).output
    assert "shown, never decisive" in output
    assert re.search(r"wikipedia: bits per byte +1\.1 +1\.1", output)


def test_intervals_of_scores_come_from_the_results(tmp_path):
    folder = write_evaluation(tmp_path / "a", GOOD)
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    results["tasks"]["jnli"]["3"]["intervals"] = {"acc": {"low": 0.671, "high": 0.728}}
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    other = write_evaluation(tmp_path / "b", WORSE)
    assert "70.0 [67.1, 72.8]" in lines_of(invoke(folder, other).output, "jnli@3")[1]


@pytest.mark.parametrize("width", [60, 80])
def test_table_fits_a_narrow_terminal(folders, width):
    console = Console(width=width, force_terminal=True, color_system=None, record=True, file=StringIO())
    print_scoreboard(console, make_scoreboard([load_evaluation(folder) for folder in folders]))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    assert "-10.0 [-" in text
    assert ("<0.001" in text) is (width == 80)
    assert ("from 76 columns on" in text) is (width == 60)


def test_what_was_asked_otherwise_is_refused_unless_the_scores_alone_are_wanted(folders, tmp_path):
    other = write_evaluation(tmp_path / "other", WORSE, prompts="0.3")
    refused = invoke(folders[0], other)
    assert refused.exit_code == 2
    assert "Or add `--unpaired`" in refused.output
    assert "prompt version of jnli with 3 shots: 0.2 against 0.3" in refused.output
    shown = invoke(folders[0], other, "--unpaired")
    assert shown.exit_code == 0
    assert "warning:" in shown.output
    assert lines_of(shown.output, "jnli@3")[2].split() == ["B", "60.0"]


def test_versions_asked_alike_keep_their_differences_beside_one_that_was_not(folders, tmp_path):
    other = write_evaluation(tmp_path / "other", WORSE, prompts="0.3")
    lines = lines_of(invoke(*folders, other, "--unpaired").output, "jnli@3")
    assert lines[2].split()[-1] == "worse"
    assert lines[3].split() == ["C", "60.0"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["good"], "1 to compare: name two"),
        (["good", "good"], "good stands there twice"),
        (["good", "nowhere"], "nowhere: no such folder, and no version such as"),
        (["good", "kajiya-smoke/9"], "nothing is registered"),
        (["good", "kajiya-smoke@champion"], "nothing is registered"),
        (["good", "empty"], "never evaluated"),
    ],
    ids=["one", "twice", "unknown", "no-registry", "no-alias", "no-evaluation"],
)
def test_what_cannot_be_compared_is_an_error_with_a_remedy(folders, monkeypatch, arguments, words):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Path("empty").mkdir()
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert words in result.output.replace("\n", " ")


def register(name: str, variant: str, evaluation: Path | None) -> None:
    client = connect()
    run = client.create_run(client.create_experiment(f"{name}-{variant}"))
    if evaluation:
        client.log_artifacts(run.info.run_id, str(evaluation), "evaluation")
    if name not in {model.name for model in client.search_registered_models()}:
        client.create_registered_model(name)
    client.create_model_version(name, str(Path.cwd()), run.info.run_id, tags={"variant": variant})


def test_registered_versions_are_compared_by_number_and_alias(folders, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    good, worse = folders
    register("kajiya-toy", "base", good)
    register("kajiya-toy", "gptq", worse)
    register("kajiya-toy", "awq", None)
    connect().set_registered_model_alias("kajiya-toy", "champion", "1")
    result = invoke("kajiya-toy@champion", "kajiya-toy/2")
    assert result.exit_code == 0, result.output
    assert re.search(r"A +kajiya-toy/1 \(base\)", result.output)
    assert re.search(r"B +kajiya-toy/2 \(gptq\)", result.output)
    assert lines_of(result.output, "jnli@3")[2].split()[-1] == "worse"
    assert "kajiya-toy/1 (base) stands there twice" in invoke("kajiya-toy/1", "kajiya-toy@champion").output
    assert "kajiya-toy/3: registered without an evaluation" in invoke("kajiya-toy/1", "kajiya-toy/3").output
    assert "kajiya-toy/4: no such version" in invoke("kajiya-toy/1", "kajiya-toy/4").output


def test_page_stands_alone_in_both_languages(folders):
    result = invoke(*folders, "--html", "out/page.html")
    assert result.exit_code == 0, result.output
    text = Path("out/page.html").read_text(encoding="utf-8")
    for words in (
        "モデルの比較",
        "Models compared",
        "下がった / worse",
        "Beside published scores",
        "never decisive",
    ):
        assert words in text
    assert "<script" not in text
    assert not re.search(r"""(?:src|href)=["'](?!https://(?:github\.com|huggingface\.co)/)""", text)
    page = etree.HTML(text)
    assert len(page.findall(".//svg")) == 2
    assert [cell.text for cell in page.findall(".//tr[@class='published']/td[2]")].count(
        "rinna/youri-7b-instruction"
    ) == 2


def test_page_escapes_what_a_version_is_called(folders):
    loaded = [load_evaluation(folder, f"<b>{number}&") for number, folder in enumerate(folders)]
    text = scoreboard_html(make_scoreboard(loaded))
    assert "<b>0" not in text
    assert "&lt;b&gt;0&amp;" in text


def test_chart_fills_the_dots_of_real_differences_and_stays_inside_its_box():
    marks = [
        Mark("B", 1, -10.0, Interval(-12.0, -8.0), filled=True),
        Mark("C", 2, 0.5, Interval(-1.0, 2.0), filled=False),
    ]
    chart = etree.fromstring(interval_chart([Band("jnli@3", marks, (3.0,))], "points", zero=True))
    real, unclear = chart.findall("circle")
    assert real.get("fill") == real.get("stroke")
    assert unclear.get("fill") == "#fff"
    height = float(chart.get("viewBox").split()[3])
    for shape in chart.findall("line"):
        assert all(0 <= float(shape.get(side)) <= WIDTH for side in ("x1", "x2"))
        assert all(0 <= float(shape.get(side)) <= height for side in ("y1", "y2"))
    assert float(real.get("cx")) < float(unclear.get("cx"))


def test_chart_of_equal_values_is_drawn_and_of_nothing_is_empty():
    assert "<circle" in interval_chart([Band("a", [Mark("A", 0, 50.0, None)])], "points")
    assert interval_chart([Band("a", [])], "points") == ""


def test_mean_of_all_tasks_stands_where_no_published_suite_is_whole(tmp_path):
    scores = {("jnli", 3): {"acc": hits(600, 1000)}, ("own", 0): {"acc": hits(400, 1000)}}
    after = {("jnli", 3): {"acc": hits(550, 1000)}, ("own", 0): {"acc": hits(350, 1000)}}
    one, other = write_evaluation(tmp_path / "a", scores), write_evaluation(tmp_path / "b", after)
    lines = lines_of(invoke(one, other).output, "mean of all 2")
    assert lines[1].split() == ["A", "50.0"]
    assert lines[2].split()[:3] == ["B", "45.0", "-5.0"]
    assert lines[2].split()[-1] == "worse"


def test_scoreboard_with_one_seed_is_the_same(folders):
    generator = np.random.default_rng(3)
    folders = [write_evaluation(Path(name), {("jsquad", 2): {"f1": generator.random(50)}}) for name in "xy"]
    boards = [make_scoreboard([load_evaluation(folder) for folder in folders]) for _ in range(2)]
    assert boards[0].rows == boards[1].rows
