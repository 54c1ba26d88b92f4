"""Let the judge score answers that were scored before, and report how far it agrees.

The scores are another model's, or people's: they are compared with, and nothing is ever trained on them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.judge.agreement import FIGURES, agreement
from components.judge.cases import Case, case_of
from components.judge.costs import Bill
from components.judge.panel import Verdict, judge_all
from components.judge.prompts import Prompts, load_prompts
from components.judge.replies import ReplyLog
from components.judge.settings import JudgeSettings
from kajiya.errors import KajiyaError
from kajiya.html_page import render
from kajiya.questions import Question, SetName
from kajiya.shards import write_file

_SET: SetName = "elyza_tasks_100"


class Scored(BaseModel):
    """A line of a file of scored answers."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    question: str = Field(alias="Question", min_length=1)
    reference: str = Field(alias="output", min_length=1)
    criteria: str = Field(alias="eval_aspect")
    answer: str = Field(alias="ModelAnswer")
    score: float


@dataclass(frozen=True)
class Pair:
    """One answer, scored twice."""

    file: str
    question: str
    before: float
    judge: float | None
    """None: no verdict on it could be read."""


def calibrate(config: JudgeSettings, files: list[Path], out: Path) -> dict[str, Any]:
    """Write calibration.json, calibration.html, judgements.jsonl and replies.jsonl into `out`; returns the figures.

    What replies.jsonl holds from an earlier run is not asked again.
    """
    names_of = [path.name for path in files]
    if len(set(names_of)) < len(names_of):
        raise KajiyaError(
            f"{', '.join(map(str, files))}: two files of one name. Rename one, or name each once."
        )
    prompts = load_prompts(_SET, config.prompt_version(_SET), Path())
    scored = {path.name: read_scored(path, prompts.content.scale) for path in files}
    cases = make_cases(config, scored, prompts)
    with ReplyLog(out / "replies.jsonl") as log:
        verdicts = judge_all(config, cases, log)
    lines = [json.dumps(one.record(config), ensure_ascii=False, sort_keys=True) + "\n" for one in verdicts]
    write_file(out / "judgements.jsonl", "".join(lines))
    figures = _figures(config, _pairs(scored, verdicts, config.samples), prompts, verdicts)
    write_file(
        out / "calibration.json", json.dumps(figures, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    )
    write_file(out / "calibration.html", page(figures))
    return figures


def read_scored(path: Path, scale: tuple[int, int]) -> list[Scored]:
    """JSON Lines of {Question, output, eval_aspect, ModelAnswer, score}. Raises KajiyaError naming file and line."""
    if not path.is_file():
        raise KajiyaError(f"{path}: no such file. Name files of scored answers (docs/judging.md).")
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            continue
        try:
            one = Scored.model_validate(json.loads(line))
        except ValidationError as error:
            first = error.errors()[0]
            raise KajiyaError(
                f"{path}:{number}: {'.'.join(map(str, first['loc']))}: {first['msg']}. A line holds Question, output, "
                "eval_aspect, ModelAnswer and score."
            ) from None
        except ValueError as error:
            raise KajiyaError(f"{path}:{number}: invalid JSON: {error}.") from None
        if not scale[0] <= one.score <= scale[1]:
            raise KajiyaError(
                f"{path}:{number}: score {one.score:g} is not on the scale {scale[0]} to {scale[1]}."
            )
        found.append(one)
    if not found:
        raise KajiyaError(f"{path}: no scored answers in it.")
    return found


def make_cases(config: JudgeSettings, scored: dict[str, list[Scored]], prompts: Prompts) -> list[Case]:
    return [
        case_of(
            Question(_SET, f"{name}:{number}", "", (one.question,), (one.reference,), one.criteria.strip()),
            [one.answer],
            sample,
            prompts,
        )
        for name, lines in scored.items()
        for number, one in enumerate(lines, 1)
        for sample in range(1, config.samples + 1)
    ]


def page(figures: dict[str, Any]) -> str:
    low, high = figures["scale"]
    return render(
        "calibration_page.html.j2",
        figures=figures,
        names=FIGURES,
        levels=list(range(low, high + 1)),
    )


def _pairs(scored: dict[str, list[Scored]], verdicts: list[Verdict], samples: int) -> list[Pair]:
    given = [(name, one) for name, lines in scored.items() for one in lines]
    found = []
    for place, (name, one) in enumerate(given):
        own = verdicts[place * samples : (place + 1) * samples]
        read = [verdict.score for verdict in own if verdict.score is not None]
        found.append(Pair(name, one.question, one.score, sum(read) / len(read) if read else None))
    return found


def _figures(
    config: JudgeSettings, pairs: list[Pair], prompts: Prompts, verdicts: list[Verdict]
) -> dict[str, Any]:
    bill = Bill()
    for verdict in verdicts:
        for reply in verdict.replies:
            bill.add(reply)
    scale = prompts.content.scale
    files = dict.fromkeys(pair.file for pair in pairs)
    judge = config.model_dump(mode="json", include={"model", "temperature", "max_tokens", "samples", "asks"})
    return {
        "judge": judge,
        "prompts": prompts.identity,
        "scale": list(scale),
        "all": _group(pairs, scale, config.seed),
        "files": {
            name: _group([pair for pair in pairs if pair.file == name], scale, config.seed) for name in files
        },
        "usage": bill.figures(config.price),
        "use": "evaluation only: these scores are compared with, and nothing may be trained on them",
    }


def _group(pairs: list[Pair], scale: tuple[int, int], seed: int) -> dict[str, Any]:
    """in = judged + unreadable."""
    read = [(pair, pair.judge) for pair in pairs if pair.judge is not None]
    counts = {"came_in": len(pairs), "judged": len(read), "unreadable": len(pairs) - len(read)}
    if not read:
        return {**counts, "agreement": None}
    before, judge = (
        np.array(one) for one in zip(*[(pair.before, score) for pair, score in read], strict=True)
    )
    return {**counts, "agreement": agreement(before, judge, [pair.question for pair, _ in read], scale, seed)}
