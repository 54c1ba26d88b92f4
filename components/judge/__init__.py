"""Let an LLM score the answers of a model: ELYZA-tasks-100 from 1 to 5, Japanese MT-Bench from 1 to 10.

The judge is any OpenAI-compatible endpoint: KAJIYA_JUDGE_URL in the environment, its key in
KAJIYA_JUDGE_KEY, KAJIYA_JUDGE_PARALLEL requests at a time. It sees question, reference, criteria and
answer between lines that no answer can forge, in shuffled order, and never the model's name. A reply
without a readable score is asked for again, and then counted as unreadable: never as a zero, never left out.

OUT holds `judgements.jsonl` (each verdict with its prompt's version and all that the judge wrote) and
`scores.json` (means with 95 % intervals, per turn and category, with and without math and coding, and what
it took). Every reply is kept in the stage's cache the moment it comes: what was paid for is not asked
again, by a run that was killed or by the next one.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from components.judge.cases import Case, case_of
from components.judge.costs import Bill
from components.judge.panel import Verdict, judge_all
from components.judge.prompts import Prompts, load_prompts
from components.judge.replies import ReplyLog
from components.judge.scores import judged_answers, set_scores
from components.judge.settings import JudgeSettings
from components.judge.verdict import looks_like_a_verdict
from kajiya.errors import KajiyaError
from kajiya.questions import QuestionSet, SetName, load_questions
from kajiya.report import Flow, Report
from kajiya.shards import write_file

Record = dict[str, Any]

_ASKED_ALIKE = ("max_new_tokens", "system", "top_p")


def run(config: JudgeSettings, answers: Path, evaluation_sets: Path, *, out: Path, cache: Path) -> Report:
    """Judge the answers in folder `answers`."""
    records = read_answers(answers)
    facts = read_facts(answers)
    sets = {
        name: load_questions(evaluation_sets, name) for name in dict.fromkeys(one["set"] for one in records)
    }
    _check_versions(facts["sets"], sets, answers)
    prompts = {name: load_prompts(name, config.prompt_version(name), evaluation_sets) for name in sets}
    cases = make_cases(config, records, sets, prompts)
    with ReplyLog(cache / "replies.jsonl") as log:
        verdicts = judge_all(config, cases, log)
    lines = [json.dumps(one.record(config), ensure_ascii=False, sort_keys=True) + "\n" for one in verdicts]
    write_file(out / "judgements.jsonl", "".join(lines))
    scores = make_scores(config, verdicts, records, sets, prompts)
    for name, one in scores["sets"].items():
        one["answers"] = how_answered(facts, [record for record in records if record["set"] == name])
    write_file(out / "scores.json", json.dumps(scores, ensure_ascii=False, indent=2, sort_keys=True) + "\n")
    flows = {
        name: Flow(came_in=one["n"], out=one["judged"], rejected=+Counter({"unreadable": one["unreadable"]}))
        for name, one in scores["sets"].items()
    }
    return Report(flows=flows, figures=scores)


def read_answers(folder: Path) -> list[Record]:
    """The lines of answers.jsonl. Raises KajiyaError naming file and line of one that is none."""
    path = folder / "answers.jsonl"
    if not path.is_file():
        raise KajiyaError(f"{path}: no such file. Run the stage `answer` first.")
    records = []
    # Of bytes: str.splitlines would also break at U+2028, U+2029 and U+0085, which JSON leaves as they are.
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            record = json.loads(line)
            _ = [record[key] for key in ("set", "id", "turn", "answer", "cut")]
        except (ValueError, KeyError, TypeError) as error:
            raise KajiyaError(
                f"{path}:{number}: no answer ({error}). Run the stage `answer` again."
            ) from None
        records.append(record)
    if not records:
        raise KajiyaError(f"{path}: no answers in it. Run the stage `answer` again.")
    return records


def read_facts(folder: Path) -> Record:
    """How the answers were asked for. Raises KajiyaError where the stage `answer` does not say it."""
    path = folder / "facts.json"
    try:
        facts = json.loads(path.read_bytes())
        _ = [facts[key] for key in ("sets", *_ASKED_ALIKE, "temperatures")]
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise KajiyaError(
            f"{path}: does not say how the answers were asked for ({type(error).__name__}: {error}). Run the stage "
            "`answer` again."
        ) from None
    return facts


def how_answered(facts: Record, records: list[Record]) -> Record:
    """What two models' answers to one set must have in common for their scores to be compared."""
    name = records[0]["set"]
    return {
        "turns": max(one["turn"] for one in records),
        **{key: facts[key] for key in _ASKED_ALIKE},
        "temperatures": {
            category.partition("/")[2] or name: one  # a set without categories
            for category, one in facts["temperatures"].items()
            if category.partition("/")[0] == name
        },
    }


def make_cases(
    config: JudgeSettings,
    records: list[Record],
    sets: dict[SetName, QuestionSet],
    prompts: dict[SetName, Prompts],
) -> list[Case]:
    """Every verdict to ask for, in the order of the answers."""
    questions = {(one.set, one.id): one for found in sets.values() for one in found.questions}
    said: dict[tuple[str, str], list[str]] = {}
    cases = []
    for record in records:
        key = record["set"], record["id"]
        if key not in questions:
            raise KajiyaError(
                f"answers.jsonl: {key[0]} has no question {key[1]}. Run the stage `answer` again."
            )
        so_far = said.setdefault(key, [])
        so_far.append(record["answer"])
        if len(so_far) != record["turn"]:
            raise KajiyaError(
                f"answers.jsonl: {key[0]} {key[1]}: turn {record['turn']} without the one before it."
            )
        for sample in range(1, config.samples + 1):
            cases.append(case_of(questions[key], list(so_far), sample, prompts[record["set"]]))  # noqa: PERF401
    return cases


def make_scores(
    config: JudgeSettings,
    verdicts: list[Verdict],
    records: list[Record],
    sets: dict[SetName, QuestionSet],
    prompts: dict[SetName, Prompts],
) -> dict[str, Any]:
    """The content of scores.json."""
    bill = Bill()
    for verdict in verdicts:
        for reply in verdict.replies:
            bill.add(reply)
    found: dict[str, Any] = {}
    for name, questions in sets.items():
        own = [one for one in verdicts if one.case.set == name]
        asked = [one for one in records if one["set"] == name]
        found[name] = {
            **set_scores(judged_answers(own), prompts[name].content.scale, config.seed),
            "data": questions.identity,
            "prompts": prompts[name].identity,
            "cut_answers": sum(bool(one["cut"]) for one in asked),
            "empty_answers": sum(not one["answer"] for one in asked),
            "answers_that_hold_a_verdict": sum(looks_like_a_verdict(one["answer"]) for one in asked),
        }
    judge = config.model_dump(mode="json", include={"model", "temperature", "max_tokens", "samples", "asks"})
    return {"judge": judge, "sets": found, "usage": bill.figures(config.price)}


def _check_versions(answered: dict[str, Any], sets: dict[SetName, QuestionSet], answers: Path) -> None:
    for name, one in sets.items():
        if answered.get(name, {}).get("sha256") != one.sha256:
            raise KajiyaError(
                f"{answers / 'facts.json'}: the answers are to another version of {name} than lies among the evaluation "
                "sets now. Run the stage `answer` again."
            )
