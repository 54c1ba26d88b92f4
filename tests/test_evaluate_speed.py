"""What the model computes for the harness equals what plain lm-eval and `generate` compute, however it is shared."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lm_eval.models.huggingface import HFLM
from tiny_model import SENTENCES, write_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from components.evaluate import EvaluateSettings
from components.evaluate.generation import Limits, continuations, is_plainly_greedy, stop_check
from components.evaluate.likelihood import Ending, likelihoods
from components.evaluate.memory import Budget
from components.evaluate.models import SharedPrefixModel, trained_model
from components.evaluate.prefix_tree import lay_out, reads_trees, tree_rows
from kajiya.errors import KajiyaError

TOLERANCE = 1e-4
"""Nats, in float32."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("model"))


def write(folder, **shape):
    write_model(folder, **shape)
    return folder


def ours(folder, batch_tokens=300, dtype=torch.float32, **more):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return SharedPrefixModel(
        batch_tokens, pretrained=model, tokenizer=tokenizer, softmax_dtype=torch.float32, **more
    )


def plain(model, batch_size=3):
    """lm-eval's own way, with the same weights and tokenizer."""
    return HFLM(
        pretrained=model.model, tokenizer=model.tokenizer, batch_size=batch_size, softmax_dtype=torch.float32
    )


@pytest.fixture(scope="module")
def model(folder):
    return ours(folder)


def random_tokens(rng, length):
    return rng.integers(2, 150, length).tolist()


@pytest.fixture(scope="module")
def requests():
    """Items of many lengths and numbers of choices, some choices of one token, some twice, some too long."""
    rng = np.random.default_rng(3)
    found = []
    shared = random_tokens(rng, 40)
    for number in range(24):
        given = (shared if number % 3 else []) + random_tokens(rng, int(rng.integers(1, 30)))
        if number in (5, 6):
            given = random_tokens(rng, 150 + number)  # longer than the context of 128
        choices = [random_tokens(rng, int(rng.integers(1, 6))) for _ in range(1 + number % 4)]
        choices += [choices[0], [*choices[0], 7]] if number % 5 == 0 else []
        found += [(("", ""), given, choice) for choice in choices]
    return [*found, *found[:3]]


def assert_alike(found, expected, tolerance=TOLERANCE):
    assert [nats for nats, _ in found] == pytest.approx([nats for nats, _ in expected], abs=tolerance)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]


@pytest.mark.parametrize("batch_tokens", [1, 300, 100_000])
def test_likelihoods_equal_those_of_plain_lm_eval_for_the_same_tokens(model, requests, batch_tokens):
    model._budget.amount = batch_tokens
    found = model._loglikelihood_tokens(requests, disable_tqdm=True)
    assert_alike(found, plain(model)._loglikelihood_tokens(requests, disable_tqdm=True))


def test_likelihood_of_each_ending_equals_a_pass_of_its_own(model):
    rng = np.random.default_rng(5)
    stem = random_tokens(rng, 30)
    endings = [Ending(np.array(stem + random_tokens(rng, 1 + k)), 1 + k) for k in range(4)]
    endings += [Ending(np.array(stem[:5]), 4), Ending(np.array(stem), 29)]
    found = {one.index: one.nats for batch in likelihoods(model.model, endings, Budget(99)) for one in batch}
    for index, (tokens, scored) in enumerate(endings):
        with torch.no_grad():
            logs = model.model(torch.from_numpy(tokens)[None]).logits[0].log_softmax(-1)
        places = range(len(tokens) - scored, len(tokens))
        expected = sum(float(logs[place - 1, tokens[place]]) for place in places)
        assert found[index] == pytest.approx(expected, abs=TOLERANCE)


def test_greedy_ending_is_told_as_plain_lm_eval_tells_it(model):
    given = model.tok_encode(SENTENCES[0])
    with torch.no_grad():
        best = model.model(torch.tensor([given])).logits[0, -1].topk(2).indices.tolist()
    found = model._loglikelihood_tokens([(("", ""), given, [token]) for token in best], disable_tqdm=True)
    assert [greedy for _, greedy in found] == [True, False]


def test_likelihoods_of_grouped_heads_tied_weights_and_bfloat16_equal_plain_ones(tmp_path, requests):
    model = ours(write(tmp_path, tie=True, num_key_value_heads=2), dtype=torch.bfloat16)
    found = model._loglikelihood_tokens(requests, disable_tqdm=True)
    expected = plain(model)._loglikelihood_tokens(requests, disable_tqdm=True)
    # One bfloat16 step of a logit of this size is 1/16: sums of up to 6 tokens differ by a few steps.
    assert [nats for nats, _ in found] == pytest.approx([nats for nats, _ in expected], abs=0.25)


def test_choices_of_an_item_are_one_row_that_holds_the_prompt_once():
    prompt = list(range(50, 80))
    rows = tree_rows([np.array(prompt + rest) for rest in ([1, 2], [1, 3], [4], [])] + [np.array([9, 9])])
    assert [(row.width, len(row.paths)) for row in rows] == [(34, 4), (2, 1)]
    assert np.concatenate(rows[0].parts).tolist() == [*prompt, 1, 2, 3, 4]


def test_token_of_a_row_sees_its_ancestors_alone(model):
    rows = tree_rows([np.array([5, 6, 7]), np.array([5, 6, 8])])
    batch = lay_out(rows, model.model)
    assert batch.tokens[0, :4].tolist() == [5, 6, 7, 8]
    assert batch.positions[0, :4].tolist() == [0, 1, 2, 2]
    seen = (batch.mask[0, 0, :4, :4] == 0).int().tolist()
    assert seen == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1]]


def test_rows_without_branches_need_no_mask(model):
    assert lay_out(tree_rows([np.array([5, 6]), np.array([7, 8, 9])]), model.model).mask is None


PROMPTS = [*SENTENCES, SENTENCES[3] * 9, SENTENCES[0] + SENTENCES[1], SENTENCES[0] + SENTENCES[2]]


def texts(model, prompts, **options):
    options = {"until": [], "max_gen_toks": 12, "do_sample": False} | options
    requests = [
        SimpleNamespace(args=(prompt, dict(options)), task_name="task", doc_id=number)
        for number, prompt in enumerate(prompts)
    ]
    return model.generate_until(requests, disable_tqdm=True)


@pytest.mark.parametrize("new_tokens", [1, 12, 40])
def test_texts_equal_those_of_generate(model, new_tokens):
    found = texts(model, PROMPTS, max_gen_toks=new_tokens)
    assert found == texts(plain(model), PROMPTS, max_gen_toks=new_tokens)
    assert len(set(found)) > len(PROMPTS) / 2


def test_texts_end_before_a_stop_string_even_within_a_token(model):
    whole = texts(model, PROMPTS)
    stops = [whole[0][3:5], whole[4][2:3]]
    found = texts(model, PROMPTS, until=stops)
    assert found == texts(plain(model, batch_size=1), PROMPTS, until=stops)
    assert found != whole
    assert not any(stop in text for text in found for stop in stops)


def test_texts_end_at_the_end_token(folder):
    model = ours(folder)
    tokens = model.tok_encode(PROMPTS[0])
    with torch.no_grad():
        made = model.model.generate(torch.tensor([tokens]), max_new_tokens=6, do_sample=False)
    model.model.generation_config.eos_token_id = [int(made[0, len(tokens) + 3]), 1]
    found = texts(model, PROMPTS)
    assert found == texts(plain(model, batch_size=1), PROMPTS)
    assert len(model.tok_encode(found[0])) <= 6


def test_prompt_longer_than_the_context_is_cut_from_the_left_as_plain_lm_eval_cuts_it(model):
    long = [SENTENCES[1] * 30, SENTENCES[2] * 40]
    model.truncated.clear()
    assert texts(model, [*long, SENTENCES[0]]) == texts(plain(model), [*long, SENTENCES[0]])
    assert model.truncated == {"task": {0, 1}}


def test_texts_do_not_depend_on_what_lies_in_memory_that_no_token_has_written(model):
    expected = texts(model, PROMPTS)
    torch.use_deterministic_algorithms(True)  # which fills all new memory with NaN
    try:
        assert texts(model, PROMPTS) == expected
    finally:
        torch.use_deterministic_algorithms(False)


def test_more_prompts_than_slots_wait_for_those_that_end(model, monkeypatch):
    expected = texts(model, PROMPTS)
    monkeypatch.setattr("components.evaluate.slots._MOST", 3)
    assert texts(model, PROMPTS) == expected


def test_text_is_the_same_when_memory_runs_out_midway(model, monkeypatch):
    expected = texts(model, PROMPTS)
    passes = iter(range(10_000))
    forward = model.model.model.forward

    def short_of_memory(*arguments, **more):
        if more["input_ids"].shape[0] > 3 and next(passes) > 2:
            raise torch.OutOfMemoryError("8 GiB wanted")
        return forward(*arguments, **more)

    monkeypatch.setattr(model.model.model, "forward", short_of_memory)
    assert texts(model, PROMPTS) == expected


def test_budget_is_halved_for_as_long_as_memory_runs_out_and_then_says_what_to_do():
    def compute(tokens):
        if tokens > limit:
            raise torch.OutOfMemoryError("8 GiB wanted")
        return tokens

    budget, limit = Budget(1000), 300
    assert budget.attempt(compute) == 250
    limit = 0
    with pytest.raises(KajiyaError, match=r"does not fit into the accelerator's memory.*evaluate\.dtype"):
        budget.attempt(compute)


def test_penalties_samples_and_strange_architectures_are_left_to_generate_itself(folder):
    model = ours(folder)
    assert is_plainly_greedy(model.model, {"do_sample": False, "temperature": 0.0, "until": ["。"]})
    assert not is_plainly_greedy(model.model, {"do_sample": True, "temperature": 0.7})
    model.model.generation_config.repetition_penalty = 1.8
    assert not is_plainly_greedy(model.model, {"do_sample": False})
    assert texts(model, PROMPTS[:3]) == texts(plain(model), PROMPTS[:3])
    assert reads_trees(model.model, 128)
    model.model.config.sliding_window = 64
    assert not reads_trees(model.model, 128)


@pytest.mark.parametrize("penalty", [1.0, 1.2], ids=["in-trees", "by-generate"])
def test_task_and_not_the_folder_says_how_long_a_text_may_be(tmp_path, penalty):
    model = write_model(tmp_path)
    model.generation_config.update(max_new_tokens=40, repetition_penalty=penalty)
    model.save_pretrained(tmp_path)
    config = EvaluateSettings(dtype="float32")
    found = texts(trained_model(tmp_path, config), PROMPTS[:2], max_gen_toks=8)
    model.generation_config.max_new_tokens = None
    model.save_pretrained(tmp_path)
    assert found == texts(trained_model(tmp_path, config), PROMPTS[:2], max_gen_toks=8)


def test_stop_check_sees_a_string_that_ends_at_the_last_token(model):
    tokens = model.tok_encode(SENTENCES[1])
    stopped = stop_check(model.tokenizer, ["うどん"])
    ends = [stopped([tokens[:end]])[0] for end in range(1, len(tokens) + 1)]
    assert ends.index(True) == next(
        end for end in range(len(tokens)) if "うどん" in model.tok_decode(tokens[: end + 1])
    )
    assert stop_check(model.tokenizer, [])([tokens]) == [False]


def test_continuations_are_given_as_they_end(model):
    prompts = [np.array(model.tok_encode(text)) for text in PROMPTS[:3]]
    limits = Limits(5, frozenset(), stop_check(model.tokenizer, []))
    found = [one for ended in continuations(model.model, prompts, limits, Budget(99)) for one in ended]
    assert sorted(one.index for one in found) == [0, 1, 2]
    assert {len(one.tokens) for one in found} == {5}
