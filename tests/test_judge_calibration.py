import fcntl
import json
import re
from pathlib import Path

import numpy as np
import pytest
from fake_judge import FakeJudge
from judging_world import judge, read_files, world
from typer.testing import CliRunner

from components.judge.agreement import agreement
from components.judge.calibration import calibrate
from components.judge.settings import JudgeSettings
from kajiya.cli import app
from kajiya.errors import KajiyaError, PassingError
from kajiya.lm.tuning.records import read_conversations
from kajiya.policy import load_policy

ROOT = Path(__file__).parent.parent
CONFIG = JudgeSettings(model="judge-1")


@pytest.fixture
def fake(monkeypatch):
    with FakeJudge() as one:
        monkeypatch.setenv("KAJIYA_JUDGE_URL", one.url)
        monkeypatch.delenv("KAJIYA_JUDGE_KEY", raising=False)
        monkeypatch.setenv("KAJIYA_HTTP_WAIT_SECONDS", "0.01")
        yield one


def scored(path, scores):
    """A file of answers that got these scores; each answer says its own."""
    lines = [
        {"Question": f"問い{number}", "output": "正解", "eval_aspect": "- 正しさ", "ModelAnswer": f"答えの値は{score}", "score": str(score)}
        for number, score in enumerate(scores)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return path


def says(change):
    """A judge that reads the answer's own score, changed."""

    def reply(body):
        user = body["messages"][1]["content"]
        return f"[[{change(int(user.partition('答えの値は')[2][0]))}]]"

    return reply


def test_judge_that_agrees_has_no_bias_and_a_kappa_of_one(fake, tmp_path):
    fake.reply = says(lambda score: score)
    found = calibrate(CONFIG, [scored(tmp_path / "a.json", [1, 2, 3, 4, 5, 5])], tmp_path / "out")["all"]

    told = found["agreement"]
    assert (found["came_in"], found["judged"], found["unreadable"]) == (6, 6, 0)
    assert told["bias"]["value"] == told["mean_absolute_error"]["value"] == 0
    assert (
        told["spearman"]["value"]
        == told["pearson"]["value"]
        == told["quadratic_weighted_kappa"]["value"]
        == 1
    )
    assert told["confusion"] == np.diag([1, 1, 1, 1, 2]).tolist()


def test_mild_judge_shows_its_bias(fake, tmp_path):
    fake.reply = says(lambda score: min(5, score + 1))
    found = calibrate(CONFIG, [scored(tmp_path / "a.json", [1, 2, 3, 4, 4, 2])], tmp_path / "out")["all"]

    assert found["agreement"]["bias"] == {"value": 1.0, "interval": {"low": 1.0, "high": 1.0}}
    assert found["agreement"]["pearson"]["value"] == pytest.approx(1)
    assert found["agreement"]["quadratic_weighted_kappa"]["value"] < 1


def test_unreadable_verdicts_are_counted_and_stay_out_of_the_figures(fake, tmp_path):
    plain = says(lambda score: score)
    fake.reply = lambda body: "不明" if "答えの値は3" in body["messages"][1]["content"] else plain(body)
    found = calibrate(CONFIG, [scored(tmp_path / "a.json", [1, 2, 3, 4])], tmp_path / "out")["all"]

    assert (found["came_in"], found["judged"], found["unreadable"]) == (4, 3, 1)
    assert found["agreement"]["n"] == 3


def test_files_are_told_apart_and_together(fake, tmp_path):
    fake.reply = says(lambda score: score)
    files = [scored(tmp_path / "a.json", [1, 2, 3]), scored(tmp_path / "b.json", [4, 5])]
    found = calibrate(CONFIG, files, tmp_path / "out")

    assert {name: one["agreement"]["mean_before"]["value"] for name, one in found["files"].items()} == {
        "a.json": 2,
        "b.json": 4.5,
    }
    assert found["all"]["agreement"]["n"] == 5


def test_calibration_that_broke_off_pays_for_nothing_twice(fake, tmp_path, monkeypatch):
    monkeypatch.setenv("KAJIYA_HTTP_ATTEMPTS", "1")
    monkeypatch.setenv("KAJIYA_JUDGE_PARALLEL", "1")
    file = scored(tmp_path / "a.json", [1, 2, 3, 4, 5])
    calibrate(CONFIG, [file], tmp_path / "whole")
    fake.bodies.clear()
    fake.faults = {4: "500"}
    with pytest.raises(PassingError):
        calibrate(CONFIG, [file], tmp_path / "out")
    fake.faults = {}
    calibrate(CONFIG, [file], tmp_path / "out")

    assert len(fake.bodies) == 3 + 1 + 2
    assert {name: text for name, text in read_files(tmp_path / "out").items() if name != "replies.jsonl"} == {
        name: text for name, text in read_files(tmp_path / "whole").items() if name != "replies.jsonl"
    }


def test_page_opens_offline_and_says_what_the_scores_are_for(fake, tmp_path):
    calibrate(CONFIG, [scored(tmp_path / "a.json", [1, 2, 3])], tmp_path / "out")
    page = (tmp_path / "out" / "calibration.html").read_text()

    assert "Nothing is trained on them" in page
    assert "採点者 − 前の点 / judge minus before" in page
    figures = re.findall(r'<td class="n">([^ <]+)(?= <small>|</td>)', page)
    assert len(figures) == 2 * 7  # of all and of the one file, the share of same scores aside
    assert all(re.fullmatch(r"-?\d+\.\d\d|–", one) for one in figures)
    assert "学習には使いません" in page
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.parametrize(
    ("line", "words"),
    [('{"Question": "q"}', "output"), ("{", "invalid JSON"), ('{"Question": "q", "output": "o", "eval_aspect": "", "ModelAnswer": "a", "score": "9"}', "not on the scale 1 to 5")],
    ids=["fields", "json", "scale"],
)  # fmt: skip
def test_wrong_line_is_named_before_anything_is_paid(fake, tmp_path, line, words):
    file = scored(tmp_path / "a.json", [1])
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(KajiyaError, match=rf"a\.json:2: .*{words}"):
        calibrate(CONFIG, [file], tmp_path / "out")
    assert fake.bodies == []


def test_command_holds_its_folder_while_it_asks(fake, tmp_path, monkeypatch):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "r.yaml").write_text("description: r\njudge: {model: judge-7}\n")
    monkeypatch.chdir(tmp_path)
    held = []

    def reply(body):
        with open(tmp_path / "reports" / "calibration" / ".work" / "r.lock", "ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(body)
        return "[[3]]"

    fake.reply = reply
    done = CliRunner().invoke(app, ["judge", "calibrate", "r", str(scored(tmp_path / "a.json", [1, 2]))])

    assert done.exit_code == 0, done.output
    assert len(held) == 2


def test_command_takes_the_judge_of_a_recipe(fake, tmp_path, monkeypatch):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "r.yaml").write_text("description: r\njudge: {model: judge-7}\n")
    file = scored(tmp_path / "a.json", [1, 2, 3])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    done = CliRunner().invoke(app, ["judge", "calibrate", "r", str(file)])

    assert done.exit_code == 0, done.output
    assert {body["model"] for body in fake.bodies} == {"judge-7"}
    assert "never trained on" in done.output
    assert (tmp_path / "reports" / "calibration" / "r" / "calibration.html").is_file()


def test_figures_are_those_of_scipy():
    from scipy import stats

    random = np.random.default_rng(3)
    before = random.integers(1, 6, 60).astype(float)
    judged = np.clip(before + random.integers(-1, 3, 60), 1, 5)
    found = agreement(before, judged, [str(number) for number in range(60)], (1, 5), seed=1)

    assert found["spearman"]["value"] == pytest.approx(stats.spearmanr(before, judged).statistic, abs=1e-5)
    assert found["pearson"]["value"] == pytest.approx(stats.pearsonr(before, judged).statistic, abs=1e-5)
    for name in ("bias", "spearman", "quadratic_weighted_kappa"):
        bounds = found[name]["interval"]
        assert bounds["low"] < found[name]["value"] < bounds["high"]


def test_kappa_is_that_of_the_definition():
    before, judged = np.array([1.0, 2, 3, 3, 1]), np.array([1.0, 3, 3, 2, 2])
    seen = np.mean((before - judged) ** 2)
    chance = np.mean((before[:, None] - judged[None]) ** 2)
    found = agreement(before, judged, list("abcde"), (1, 3), seed=1)
    assert found["quadratic_weighted_kappa"]["value"] == pytest.approx(1 - seen / chance, abs=1e-6)


def test_figure_that_is_not_defined_is_null():
    found = agreement(np.array([3.0, 3, 3]), np.array([1.0, 2, 3]), list("abc"), (1, 5), seed=1)
    assert found["pearson"] == {"value": None, "interval": None}


def test_answers_to_one_question_are_drawn_together():
    before, judged = np.tile([1.0, 5.0, 3.0], 20), np.tile([1.0, 4.0, 5.0], 20)
    together = agreement(before, judged, ["a", "b", "c"] * 20, (1, 5), seed=1)["bias"]["interval"]
    apart = agreement(before, judged, [str(number) for number in range(60)], (1, 5), seed=1)["bias"][
        "interval"
    ]
    assert together["high"] - together["low"] > 2 * (apart["high"] - apart["low"])


@pytest.mark.parametrize("use", ["tuning", "corpus"])
@pytest.mark.parametrize("name", ["gpt-4-turbo-preview", "gpt-4", "gpt-4o"])
def test_policy_clears_what_judges_wrote_for_evaluation_alone(name, use):
    policy = load_policy(ROOT / "policy.yaml")
    assert policy.refusal("generator", name, use) is not None
    assert policy.refusal("generator", name, "evaluation") is None


def test_scored_answers_and_judgements_are_no_conversations(fake, tmp_path):
    judge(world(tmp_path), tmp_path / "out")
    for name, file in (
        ("given", scored(tmp_path / "s.json", [1, 2])),
        ("made", tmp_path / "out" / "judgements.jsonl"),
    ):
        folder = tmp_path / name / "instructions"
        folder.mkdir(parents=True)
        (folder / "a.jsonl").write_bytes(file.read_bytes())
        with pytest.raises(KajiyaError, match=r"a\.jsonl:1"):
            list(read_conversations(folder))
