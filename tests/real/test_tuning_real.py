"""The gate on real conversations: what is for evaluation only, or is measured, must not be learnt from."""

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from tuning_world import POLICY, message, record, write

from components.sft.settings import SftSettings
from kajiya.lm.tuning.gate import Gate
from kajiya.lm.tuning.records import read_conversations

DATA = Path(os.environ.get("KAJIYA_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(not (DATA / "jglue").is_dir(), reason=f"no real data at {DATA}")


@pytest.fixture(scope="module")
def evaluation_sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    for name in ("jcommonsenseqa", "jsquad"):
        (folder / name).mkdir()
        for path in (DATA / "jglue" / name).glob("valid-*.json"):
            shutil.copy(path, folder / name)
    return folder


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def asked(name, question, answer, **values):
    turns = [message("user", question), message("assistant", answer)]
    return record(id=name, messages=turns, license="CC-BY-SA-4.0", **values)


def judged(tmp_path, evaluation_sets, records):
    gate = Gate("sft", SftSettings(), evaluation_sets, POLICY)
    folder = write(tmp_path / "in", records)
    return Counter(
        refused.reason if refused else None for _, refused in gate.judge(read_conversations(folder))
    )


def test_answers_of_gpt_4_and_llama_2_are_refused(tmp_path, evaluation_sets):
    questions = {one["question_id"]: one for one in lines(DATA / "ja_mt_bench" / "question_full.jsonl")}
    records = []
    for one in lines(DATA / "ja_mt_bench" / "reference_answer" / "gpt-4.jsonl"):
        pairs = zip(questions[one["question_id"]]["turns"], one["choices"][0]["turns"], strict=True)
        turns = [
            turn
            for question, answer in pairs
            for turn in (message("user", question), message("assistant", answer, generator="gpt-4"))
        ]
        records.append(record(id=f"mt:{one['question_id']}", messages=turns))
    for place, one in enumerate(lines(DATA / "elyza_tasks_100" / "dataset.jsonl")):
        records.append(
            asked(f"elyza:{place}", one["input_text"], one["output_text"], generator="llama-2-7b-chat")
        )
    found = judged(tmp_path, evaluation_sets, records)
    assert found == {"forbidden_generator:gpt-4": 80, "forbidden_generator:llama-2-7b-chat": 100}


def test_questions_that_are_measured_are_refused_and_those_of_train_are_not(tmp_path, evaluation_sets):
    def records(split):
        for one in lines(next((DATA / "jglue" / "jcommonsenseqa").glob(f"{split}-*.json"))):
            yield asked(f"{split}:{one['q_id']}", one["question"], one[f"choice{one['label']}"])

    measured = list(records("valid"))
    found = judged(tmp_path, evaluation_sets, measured)
    # The rest are questions of fewer letters than evaluation_overlap.min_chars.
    short = sum(sum(map(str.isalnum, one["messages"][0]["content"])) < 10 for one in measured)
    assert found["evaluation_overlap"] >= len(measured) - short
    assert short < len(measured) / 3
    trained = judged(tmp_path, evaluation_sets, list(records("train"))[:2000])
    assert trained[None] > 1950


def test_seed_tasks_and_jaquad_are_let_in_but_for_contexts_that_are_measured(tmp_path, evaluation_sets):
    records = []
    for one in lines(DATA / "seed_tasks" / "seed_tasks.jsonl"):
        example = one["instances"][0]
        records.append(asked(one["id"], f"{one['instruction']}\n{example['input']}", example["output"]))
    jaquad = json.loads(min((DATA / "jaquad" / "train").glob("*.json")).read_bytes())["data"]
    for paragraph in (paragraph for article in jaquad for paragraph in article["paragraphs"]):
        for one in paragraph["qas"][:1]:
            question = f"{paragraph['context']}\n{one['question']}"
            records.append(asked(str(one["id"]), question, one["answers"][0]["text"]))
    found = judged(tmp_path, evaluation_sets, records)
    assert set(found) <= {None, "evaluation_overlap"}
    assert found[None] > 0.95 * len(records)
