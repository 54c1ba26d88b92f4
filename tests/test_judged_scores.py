"""Judged answers are compared question by question, and only where the same judge was asked the same."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kajiya.cli import app
from kajiya.errors import KajiyaError
from kajiya.judged_scores import judged_difference, load_judged, unlike
from tests.evaluation_folders import hits, write_evaluation

SET = "elyza_tasks_100"


def write_judgements(
    folder: Path, scores: dict[str, list[float | None]], model: str = "judge-1", turns: int = 1
) -> Path:
    """scores: of each question, those of its samples."""
    folder.mkdir(parents=True)
    lines = [
        {"set": SET, "id": question, "turn": 1, "sample": sample, "score": score}
        for question, samples in scores.items()
        for sample, score in enumerate(samples)
    ]
    (folder / "judgements.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8"
    )
    read = [[one for one in samples if one is not None] for samples in scores.values()]
    means = [sum(samples) / len(samples) for samples in read if samples]
    stated = {
        "scale": [1, 5],
        "mean": sum(means) / len(means),
        "interval": {"low": 2.0, "high": 3.0},
        "data": {"sha256": "ab"},
        "prompts": {"version": "1"},
        "answers": {"turns": turns, "temperatures": {"": 0.0}},
    }
    content = {"judge": {"model": model}, "sets": {SET: stated}}
    (folder / "scores.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


BEFORE = {str(number): [2.0] for number in range(40)}
AFTER = {str(number): [3.0 if number % 4 == 0 else 2.0] for number in range(40)}


def test_difference_is_that_of_the_same_questions(tmp_path):
    before = load_judged(write_judgements(tmp_path / "a", BEFORE))[SET]
    after = load_judged(write_judgements(tmp_path / "b", dict(reversed(AFTER.items()))))[SET]
    one = judged_difference(SET, before, after, seed=1)
    assert one is not None
    assert (one.before, one.after, one.difference, one.n) == (2.0, 2.25, 0.25, 40)
    assert one.real
    assert 0.1 < one.interval.low < 0.25 < one.interval.high < 0.45


def test_samples_and_turns_are_one_answer_and_what_no_reply_scored_is_left_out(tmp_path):
    one = load_judged(write_judgements(tmp_path / "a", {"1": [2.0, 4.0], "2": [None], "3": [5.0, None]}))[SET]
    assert one.questions == {"1": 3.0, "3": 5.0}


def test_another_judge_gives_no_difference(tmp_path):
    before = load_judged(write_judgements(tmp_path / "a", BEFORE))[SET]
    after = load_judged(write_judgements(tmp_path / "b", AFTER, model="judge-2"))[SET]
    assert judged_difference(SET, before, after, seed=1) is None


def test_answers_to_other_turns_give_no_difference_and_what_differs_is_named(tmp_path):
    before = load_judged(write_judgements(tmp_path / "a", BEFORE, turns=2))[SET]
    after = load_judged(write_judgements(tmp_path / "b", AFTER))[SET]
    assert judged_difference(SET, before, after, seed=1) is None
    assert unlike(before, after) == ["answers.turns 1 instead of 2"]


def test_folder_that_is_not_whole_is_an_error(tmp_path):
    folder = write_judgements(tmp_path / "a", BEFORE)
    (folder / "judgements.jsonl").unlink()
    with pytest.raises(KajiyaError, match=r"a: not the judgements that the stage judge writes"):
        load_judged(folder)


def test_compare_shows_what_lies_beside_the_evaluation_with_published_means(tmp_path):
    names = ("base", "instruct", "other")
    for name in names:
        write_evaluation(tmp_path / "evaluation" / name, {("own", 0): {"acc": hits(5, 10)}})
    write_judgements(tmp_path / "judgements" / "base", BEFORE)
    write_judgements(tmp_path / "judgements" / "instruct", AFTER)
    write_judgements(tmp_path / "judgements" / "other", AFTER, model="judge-2")
    folders = [str(tmp_path / "evaluation" / name) for name in names]
    output = CliRunner().invoke(app, ["compare", *folders]).output
    lines = output.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(SET))
    assert lines[first + 1].split()[:4] == ["judge,", "1–5", "A", "2.00"]
    assert lines[first + 2].split()[:3] == ["B", "2.25", "[2.00,"]
    assert lines[first + 2].split()[-1] == "better"
    assert lines[first + 3].split() == ["C", "2.25", "[2.00,", "3.00]"]
    assert (
        "elyza_tasks_100: C was asked or judged otherwise than A, so no difference is told: judge.model judge-2 instead of judge-1"
        in " ".join(output.split())
    )
    published = [line for line in lines if line.startswith("published")]
    assert ["2.80°" in published[0], "2.39°" in published[1], len(published)] == [True, True, 2]
