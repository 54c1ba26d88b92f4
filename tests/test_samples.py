"""Texts that a model writes for a person: the same for the same seed, each on its own."""

import json

import pytest
import torch
from tiny_model import write_model

from components.evaluate import EvaluateSettings
from components.evaluate.models import trained_model
from components.evaluate.samples import SampleSettings, write_samples
from kajiya.errors import KajiyaError
from kajiya.lm.endings import speaker_marks

SETTINGS = SampleSettings(
    beginnings=("愛媛県の", "日本で一番"), questions=("川はどこですか。",), new_tokens=8
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    write_model(folder)
    loaded = trained_model(folder, EvaluateSettings())
    loaded.tokenizer.chat_template = None
    return loaded


def written(model, **changes):
    lines = write_samples(model, SETTINGS.model_copy(update=changes), seed=5).splitlines()
    return [json.loads(line) for line in lines]


def test_greedy_text_is_the_likeliest_token_each_time(model):
    first = written(model)[0]
    ids = list(model.tokenizer("愛媛県の")["input_ids"])
    expected = []
    for _ in range(first["tokens"]):
        with torch.inference_mode():
            ids.append(int(model.model(torch.tensor([ids])).logits[0, -1].argmax()))
        expected.append(ids[-1])

    assert first["text"] == model.tokenizer.decode(expected, skip_special_tokens=True)
    assert (first["prompt"], first["chat"], first["temperature"]) == ("愛媛県の", False, 0.0)
    assert first["tokens"] <= 8


def test_drawn_texts_follow_the_seed_and_no_other_prompt(model):
    one = written(model, temperature=1.0)
    torch.manual_seed(99)

    assert written(model, temperature=1.0) == one
    assert written(model, temperature=1.0, beginnings=("愛媛県の",)) == one[:1]
    assert one[0]["text"] != written(model)[0]["text"]


def test_model_with_a_chat_template_is_asked_the_questions_through_it(model, monkeypatch):
    monkeypatch.setattr(
        model.tokenizer,
        "chat_template",
        "{% for m in messages %}問：{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}答：{% endif %}",
    )
    (answer,) = written(model)
    monkeypatch.setattr(model.tokenizer, "chat_template", None)

    assert (answer["prompt"], answer["chat"]) == ("川はどこですか。", True)
    assert answer["text"] == written(model, beginnings=("問：川はどこですか。答：",))[0]["text"]


def test_answer_ends_where_the_model_goes_on_as_its_user(model, monkeypatch):
    whole = written(model, beginnings=("川はどこですか。",), temperature=1.0)[0]
    mark = whole["text"][3:5]
    template = "{% for m in messages %}{{ m['content'] }}{% if m['role'] == 'assistant' %}MARK{% endif %}{% endfor %}"
    monkeypatch.setattr(model.tokenizer, "chat_template", template.replace("MARK", mark))
    speaker_marks.cache_clear()
    (answer,) = written(model, temperature=1.0)
    speaker_marks.cache_clear()

    assert answer["text"] == whole["text"].partition(mark)[0]
    assert answer["ended"]
    assert 0 < answer["tokens"] < whole["tokens"]


def test_no_prompts_no_texts(model):
    assert written(model, beginnings=()) == []


def test_prompt_longer_than_the_context_is_refused(model):
    with pytest.raises(KajiyaError, match=r"evaluate\.samples: a prompt of \d+ tokens"):
        written(model, beginnings=("山" * 200,))
