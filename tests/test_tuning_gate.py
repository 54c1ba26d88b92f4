import json

import pytest
from tuning_world import POLICY, conversation, message, pair

from components.sft.settings import SftSettings
from kajiya.errors import KajiyaError
from kajiya.lm.tuning.gate import Gate
from kajiya.lm.tuning.records import Preference


@pytest.fixture(scope="module")
def evaluation_sets(tmp_path_factory):
    """Train and valid of one set, the same question in each but for its place."""
    folder = tmp_path_factory.mktemp("evaluation")
    (folder / "jcommonsenseqa").mkdir()
    choices = {f"choice{i}": place for i, place in enumerate(["春", "夏", "秋", "冬", "朝"])}
    for split, place in (("train", "仙台"), ("valid", "金沢")):
        question = {"q_id": 1, "question": QUESTION.format(place), "label": 2} | choices
        file = folder / "jcommonsenseqa" / f"{split}-v1.3.json"
        file.write_text(json.dumps(question, ensure_ascii=False), encoding="utf-8")
    return folder


QUESTION = "{}のまちを流れる川のほとりで、毎年いちばん大きなお祭りがひらかれる季節はいつでしょうか？"


def judge(evaluation_sets, *conversations, **settings):
    gate = Gate("sft", SftSettings(**settings), evaluation_sets, POLICY)
    return [refused.reason if refused else None for _, refused in gate.judge(conversations)]


def test_records_that_the_policy_does_not_clear_are_refused_by_name(evaluation_sets):
    names = ["human", "gpt-4", "gpt4", "GPT-4-turbo-2024", "openai/gpt-4o", "my-model", "mixtral-8x7b"]
    assert judge(evaluation_sets, *(conversation(generator=name) for name in names)) == [
        None,
        "forbidden_generator:gpt-4",
        "forbidden_generator:gpt4",
        "forbidden_generator:GPT-4-turbo-2024",
        "forbidden_generator:openai/gpt-4o",
        "unknown_generator:my-model",
        None,
    ]
    assert judge(evaluation_sets, conversation(license="CC-BY-NC-4.0")) == ["forbidden_license:CC-BY-NC-4.0"]


def test_unknown_generator_where_the_recipe_says_stop_names_record_and_line_to_add(evaluation_sets):
    with pytest.raises(KajiyaError, match=r"a\.jsonl:1 \(r0\): generator 'm 1'(?s:.*)  \"m 1\": \[tuning\]"):
        judge(evaluation_sets, conversation(generator="m 1"), on_forbidden="stop")


def test_conversation_with_an_item_that_is_measured_is_refused(evaluation_sets):
    def asks(place):
        turns = [
            message("user", f"次の問いに答えてください。\n{QUESTION.format(place)}"),
            message("assistant", "秋"),
        ]
        return conversation(messages=turns)

    # The train split may be learned from, where it is not nearly the same text.
    assert judge(evaluation_sets, asks("金沢"), conversation()) == ["evaluation_overlap", None]
    other = conversation(messages=[message("user", "秋のお祭りはいつですか？"), message("assistant")])
    assert judge(evaluation_sets, other) == [None]
    assert judge(evaluation_sets, asks("金沢"), evaluation_splits=("train",)) == ["evaluation_overlap"]


def test_item_in_two_turns_of_a_conversation_is_refused(evaluation_sets):
    half = len(QUESTION) // 2
    question = QUESTION.format("金沢")
    turns = [message("user", question[:half]), message("assistant", question[half:])]
    assert judge(evaluation_sets, conversation(messages=turns)) == ["evaluation_overlap"]


def test_conversation_is_refused_for_a_single_message_by_a_forbidden_generator(evaluation_sets):
    turns = [message("user"), message("assistant", generator="human"), message("user"), message("assistant")]
    assert judge(evaluation_sets, conversation(messages=turns)) == [None]
    turns[2] = message("user", generator="gpt-4")
    assert judge(evaluation_sets, conversation(messages=turns)) == ["forbidden_generator:gpt-4"]
    with pytest.raises(
        KajiyaError, match=r"a\.jsonl:1 \(r0, message 3\): generator 'gpt-4' is cleared for eval"
    ):
        judge(evaluation_sets, conversation(messages=turns), on_forbidden="stop")


def test_pair_whose_answer_is_an_item_that_is_measured_is_refused(evaluation_sets):
    answers = {"content": QUESTION.format("金沢"), "generator": "human"}
    for key in ("chosen", "rejected"):
        asked = Preference.model_validate(pair(**{key: answers}) | {"where": "a.jsonl:1"})
        assert judge(evaluation_sets, asked) == ["evaluation_overlap"]
