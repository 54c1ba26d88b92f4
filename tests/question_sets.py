"""ELYZA-tasks-100 and Japanese MT-Bench in their published forms, with questions of our own."""

import json
from pathlib import Path

CATEGORIES = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")


def write_questions(folder: Path, tasks: int = 3, references: bool = True) -> Path:
    """Both sets in `folder`: `tasks` tasks, and a question per category of two turns."""
    lines = [
        {"input_text": f"{n}個のみかんの数え方を{'くわしく' * n}教えてください。", "output_text": f"{n}個なら{n}と数えます。", "eval_aspect": "- 数が違えば1点\n"}
        for n in range(1, tasks + 1)
    ]  # fmt: skip
    _write(folder / "elyza_tasks_100" / "dataset.jsonl", lines)
    questions = [
        {
            "question_id": 10 + place,
            "category": name,
            "turns": [f"{name}の問い{'だ' * place}。", "もっと短く。"],
        }
        for place, name in enumerate(CATEGORIES)
    ]
    _write(folder / "ja_mt_bench" / "question_full.jsonl", questions)
    if references:
        answers = [
            {
                "question_id": one["question_id"],
                "choices": [{"index": 0, "turns": ["参考の一。", "参考の二。"]}],
            }
            for one in questions
        ]
        _write(folder / "ja_mt_bench" / "reference_answer" / "gpt-4.jsonl", answers)
    return folder


def _write(path: Path, lines: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines), encoding="utf-8")
