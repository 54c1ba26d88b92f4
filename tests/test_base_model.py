"""The base's weights under an extended tokenizer: old rows untouched, new ones the mean of their old spelling."""

import json

import pytest
import torch
from tiny_base import ENGLISH, write_base
from tiny_corpus import texts, write_corpus
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from components.pretrain import PretrainSettings
from components.pretrain import run as run_pretrain
from components.tokenize import TokenizeSettings
from components.tokenize import run as run_tokenize
from components.tokenizer import TokenizerSettings
from components.tokenizer import run as run_tokenizer
from kajiya.errors import KajiyaError
from kajiya.lm.base import load_base
from kajiya.lm.export import fast_tokenizer
from kajiya.lm.extension import Extension, write_extension
from kajiya.lm.tokenizer import encode_documents
from kajiya.stage import execute

EXTENSION = Extension(20, ["町", "の", "本"], [[7], [3, 5], [19, 0, 4, 4]])


def write_llama(folder, rows=20, tied=False):
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=rows, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=64, tie_word_embeddings=tied, initializer_range=0.3, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    return model


def extended(folder, dtype=torch.float32):
    """The base in `folder`, and the same under the tokenizer in `folder`."""
    nothing = folder / "none"
    nothing.mkdir()
    return load_base(folder, nothing, dtype), load_base(folder, folder, dtype)


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("rows", [20, 22, 32], ids=["exact", "padded", "padded beyond"])
def test_logits_of_old_tokens_stay_bit_for_bit(tmp_path, rows, tied):
    write_llama(tmp_path, rows, tied)
    write_extension(EXTENSION, tmp_path)
    old, new = extended(tmp_path)
    ids = torch.arange(20).reshape(2, 10)
    with torch.no_grad():
        assert torch.equal(old(ids).logits[..., :20], new(ids).logits[..., :20])
    assert new.config.vocab_size == new.get_input_embeddings().weight.shape[0] == max(rows, 23)
    assert new.get_output_embeddings().weight.shape[0] == max(rows, 23)


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_new_rows_are_the_mean_of_their_old_pieces_rows(tmp_path, tied):
    write_llama(tmp_path, 22, tied)
    write_extension(EXTENSION, tmp_path)
    old, new = extended(tmp_path)
    for table in ("get_input_embeddings", "get_output_embeddings"):
        before, after = (getattr(model, table)().weight.detach() for model in (old, new))
        expected = torch.stack([before[ids].mean(0) for ids in EXTENSION.made_of])
        torch.testing.assert_close(after[20:], expected, rtol=1e-6, atol=1e-7)
        assert torch.equal(after[:20], before[:20])
    same = new.get_input_embeddings().weight is new.get_output_embeddings().weight
    assert same is tied


def test_means_are_taken_in_full_precision(tmp_path):
    write_llama(tmp_path)
    write_extension(EXTENSION, tmp_path)
    _, new = extended(tmp_path, torch.bfloat16)
    table = new.get_input_embeddings().weight.detach()
    assert table.dtype == torch.bfloat16
    assert torch.equal(table[21], table[[3, 5]].float().mean(0).bfloat16())


@pytest.mark.parametrize("stored", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_weights_are_loaded_as_they_are_stored_whatever_config_json_says(tmp_path, stored):
    weights = write_llama(tmp_path).to(stored)
    weights.save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"dtype": "bfloat16"}))
    loaded = load_base(tmp_path, tmp_path)
    assert loaded.dtype == stored
    for ours, theirs in zip(loaded.parameters(), weights.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_dropout_of_the_base_is_turned_off_and_told(tmp_path, capsys):
    write_llama(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"attention_dropout": 0.1}))
    model = load_base(tmp_path, tmp_path).train()
    assert model.config.attention_dropout == model.model.layers[0].self_attn.attention_dropout == 0
    assert "attention_dropout of" in capsys.readouterr().err


def test_loading_draws_no_random_number(tmp_path):
    write_llama(tmp_path)
    write_extension(EXTENSION, tmp_path)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    load_base(tmp_path, tmp_path, torch.float32)
    assert torch.equal(torch.get_rng_state(), before)


def test_tokenizer_extended_for_another_base_is_refused(tmp_path):
    write_llama(tmp_path, rows=16)
    write_extension(EXTENSION, tmp_path)
    with pytest.raises(KajiyaError, match=r"16 embeddings.* extends a tokenizer of 20 pieces"):
        load_base(tmp_path, tmp_path, torch.float32)


def test_base_is_extended_tokenized_trained_and_writes_both_languages(tmp_path):
    """The whole way: a base that has only tokenizer.model, to a model that transformers runs."""
    corpus, base = write_corpus(tmp_path / "corpus"), write_base(tmp_path / "base")
    write_llama(base, rows=448)  # 420 pieces, padded
    tokenizer = tmp_path / "tokenizer"
    settings = TokenizerSettings(kind="extend", vocabulary_size=480, role_tokens=True, check_strings=200)
    execute(run_tokenizer, settings, [corpus, base], tokenizer)
    tokens = tmp_path / "tokens"
    execute(run_tokenize, TokenizeSettings(validation_share=0.1), [corpus, tokenizer], tokens)
    config = PretrainSettings.model_validate(
        {
            "model": {"context": 32}, "steps": 4, "global_batch_sequences": 4, "micro_batch_sequences": 4,
            "precision": "fp32", "threads_per_rank": 1, "validation_sequences": 4, "schedule": {"warmup_steps": 1},
        }
    )  # fmt: skip
    (tmp_path / "sets").mkdir()
    execute(run_pretrain, config, [tokens, tokenizer, base, tmp_path / "sets"], tmp_path / "model")

    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    reader = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert model.config.vocab_size == len(reader) == 480
    assert reader(texts()[0])["input_ids"][0] == reader.bos_token_id == 1
    before = fast_tokenizer((base / "tokenizer.model").read_bytes())
    expected = [ids.tolist() for ids in encode_documents(before, ENGLISH[:20])]
    assert reader(ENGLISH[:20], add_special_tokens=False)["input_ids"] == expected
    asked = reader(texts()[0], return_tensors="pt", return_token_type_ids=False)
    answer = model.generate(**asked, max_new_tokens=8, do_sample=False)
    assert answer.shape[1] > asked["input_ids"].shape[1]
    assert reader.decode(answer[0, : asked["input_ids"].shape[1]], skip_special_tokens=True) == texts()[0]


def test_pretraining_refuses_a_base_with_other_pieces(tmp_path):
    corpus, base = write_corpus(tmp_path / "corpus"), write_base(tmp_path / "base")
    write_llama(base, rows=420)
    tokenizer = tmp_path / "tokenizer"
    settings = TokenizerSettings(kind="extend", vocabulary_size=450, check_strings=200)
    execute(run_tokenizer, settings, [corpus, base], tokenizer)
    tokens = tmp_path / "tokens"
    execute(run_tokenize, TokenizeSettings(validation_share=0.1), [corpus, tokenizer], tokens)
    other = tmp_path / "other"
    write_llama(other, rows=400)
    config = PretrainSettings.model_validate({"model": {"context": 32}, "steps": 1, "global_batch_sequences": 4,
        "micro_batch_sequences": 4, "schedule": {"warmup_steps": 0}})  # fmt: skip
    with pytest.raises(
        KajiyaError, match=r"vocab_size is 400, but the tokenizer has 420 pieces before its extension"
    ):
        execute(run_pretrain, config, [tokens, tokenizer, other, tmp_path], tmp_path / "model")
