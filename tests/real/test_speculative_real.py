"""Real weights with a draft made of a part of them: the text stays the published one."""

import os
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from kajiya.lm.llama2c import convert_llama2c
from kajiya.lm.tokenizer import copy_tokenizer
from kajiya.serving.answer import Answer, Wish
from kajiya.serving.decoding import Sampling
from kajiya.serving.models import open_model
from kajiya.serving.prompts import text_prompt

DATA = Path(os.environ.get("KAJIYA_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
STORIES = DATA / "stories260k"
pytestmark = pytest.mark.skipif(
    not STORIES.is_dir(), reason=f"no real data at {STORIES} (set KAJIYA_SHARED_DATA)"
)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The model, and a draft of its layers but the fourth: it is often right, and often not."""
    folder = tmp_path_factory.mktemp("stories")
    convert_llama2c(STORIES / "stories260K.bin", STORIES / "tok512.bin", folder / "model")
    draft = AutoModelForCausalLM.from_pretrained(folder / "model")
    del draft.model.layers[3]
    for number, layer in enumerate(draft.model.layers):
        layer.self_attn.layer_idx = number
    draft.config.num_hidden_layers = len(draft.model.layers)
    draft.save_pretrained(folder / "draft")
    copy_tokenizer(folder / "model", folder / "draft")
    return open_model(str(folder / "model"), str(folder / "draft"))


def test_greedy_text_with_a_draft_is_the_published_one(served):
    answer = Answer(served, Wish(text_prompt(served, ""), 200))

    text = "".join(answer.text())

    assert text == (STORIES / "expected_greedy_200_tokens.txt").read_text(encoding="utf-8")
    assert 0 < answer.tally.accepted < answer.tally.guessed
    assert answer.tally.passes < 150


def test_sampled_story_ends_where_the_next_would_begin(served):
    answer = Answer(served, Wish(text_prompt(served, "One day, a dog"), None, Sampling(0.8, 0.9, seed=4)))

    text = "".join(answer.text())

    assert answer.finish_reason == "stop"
    assert text[0] == " " or text[0] in ",.!"
    assert "<s>" not in text
    assert answer.tokens < 480
