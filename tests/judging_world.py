"""Answers of a model as the stage `answer` writes them, and the judge's stage run on them."""

import json
from pathlib import Path

from question_sets import write_questions

from components.judge import run
from components.judge.settings import JudgeSettings
from kajiya.questions import load_questions
from kajiya.stage import execute

SETTINGS = JudgeSettings(model="judge-1")


def write_answers(folder: Path, sets: Path, turns: int = 2, **said: str) -> Path:
    """An answer to every question in `sets`. said: answers of another wording, by `<id>_<turn>` with a letter before it."""
    folder.mkdir(parents=True)
    found = [load_questions(sets, name) for name in ("elyza_tasks_100", "ja_mt_bench")]
    lines = []
    for question in (one for questions in found for one in questions.questions):
        for turn in range(1, min(turns, len(question.turns)) + 1):
            text = said.get(f"q{question.id}_{turn}", f"{question.id}番への答え{'ね' * turn}")
            record = {"set": question.set, "id": question.id, "category": question.category, "turn": turn, "answer": text, "cut": None}  # fmt: skip
            lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    (folder / "answers.jsonl").write_text("".join(lines))
    versions = {one.name: {"version": one.version, "sha256": one.sha256} for one in found}
    facts = {"sets": versions, "max_new_tokens": 1200, "system": None, "top_p": 1.0, "temperatures": {"elyza_tasks_100/": 0.0, "ja_mt_bench/writing": 0.7}}  # fmt: skip
    (folder / "facts.json").write_text(json.dumps(facts))
    return folder


def world(root: Path, **said: str) -> tuple[Path, Path]:
    """(answers, evaluation sets)"""
    sets = write_questions(root / "sets")
    return write_answers(root / "given" / "instruct", sets, **said), sets


def judge(given: tuple[Path, Path], out: Path, **settings) -> dict:
    """Run the stage; returns its scores."""
    execute(run, SETTINGS.model_copy(update=settings), list(given), out)
    return json.loads((out / "scores.json").read_text())


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "judgements.jsonl").read_bytes().splitlines()]


def read_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
