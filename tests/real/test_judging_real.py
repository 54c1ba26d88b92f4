"""The published question sets, judge prompts and scored answers, read and judged as they are."""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from fake_judge import FakeJudge
from judging_world import judge, lines, write_answers

from components.judge.calibration import calibrate, read_scored
from components.judge.settings import JudgeSettings
from kajiya.errors import KajiyaError
from kajiya.questions import load_questions

DATA = Path(os.environ.get("KAJIYA_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
SETS = ("elyza_tasks_100", "ja_mt_bench")
pytestmark = pytest.mark.skipif(
    not all((DATA / name).is_dir() for name in (*SETS, "elyza_judgements")), reason=f"no real data at {DATA}"
)


@pytest.fixture
def sets(tmp_path):
    for name in SETS:
        shutil.copytree(DATA / name, tmp_path / "sets" / name, copy_function=shutil.copyfile)
        (tmp_path / "sets" / name).chmod(0o755)
    return tmp_path / "sets"


@pytest.fixture
def fake(monkeypatch):
    with FakeJudge() as one:
        monkeypatch.setenv("KAJIYA_JUDGE_URL", one.url)
        yield one


def test_sets_hold_a_hundred_tasks_and_eighty_questions_with_references(sets):
    tasks, questions = (load_questions(sets, name).questions for name in SETS)

    assert len(tasks) == 100
    assert all(one.criteria and one.references for one in tasks)
    assert set(Counter(one.category for one in questions).values()) == {10}
    assert all(len(one.turns) == len(one.references) == 2 for one in questions)


def test_defective_question_50_is_refused_with_file_and_line(sets):
    shutil.copyfile(
        DATA / "ja_mt_bench" / "question_full@4c21cfe_parent.jsonl",
        sets / "ja_mt_bench" / "question_full.jsonl",
    )
    with pytest.raises(KajiyaError, match=r"question_full\.jsonl:50: invalid JSON"):
        load_questions(sets, "ja_mt_bench")


def test_published_prompts_judge_first_turns_and_refuse_second_ones(sets, fake, tmp_path):
    published = {"ja_mt_bench": "published"}
    first = write_answers(tmp_path / "first", sets, turns=1)
    scores = judge((first, sets), tmp_path / "out", prompts=published)["sets"]

    assert {name: one["n"] for name, one in scores.items()} == {"elyza_tasks_100": 100, "ja_mt_bench": 80}
    kinds = Counter(one["prompt"]["kind"] for one in lines(tmp_path / "out") if one["set"] == "ja_mt_bench")
    assert kinds == {"first": 50, "first_reference": 30}
    assert not [body for body in fake.bodies if "{question}" in str(body) or "{ref_answer_1}" in str(body)]
    both = write_answers(tmp_path / "both", sets)
    with pytest.raises(KajiyaError, match="no prompt for a second turn"):
        judge((both, sets), tmp_path / "refused", prompts=published)


def test_calibration_finds_the_published_means(fake, tmp_path):
    files = sorted((DATA / "elyza_judgements").glob("*.json"))
    known = {one.answer: int(one.score) for path in files for one in read_scored(path, (1, 5))}

    def repeat(body):
        answer = (
            body["messages"][1]["content"]
            .rpartition("<<<回答")[2]
            .partition("\n")[2]
            .rpartition("\n回答 ")[0]
        )
        return f"[[{known[answer]}]]"

    fake.reply = repeat
    found = calibrate(JudgeSettings(model="echo"), files, tmp_path / "out")

    means = [found["files"][path.name]["agreement"]["mean_before"]["value"] for path in files]
    assert means == pytest.approx([2.80, 2.39])
    assert found["all"]["judged"] == 200
    assert found["all"]["agreement"]["quadratic_weighted_kappa"]["value"] > 0.95
