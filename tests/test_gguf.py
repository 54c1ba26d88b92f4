"""GGUF files: transformers computes from them what it computes from the folder, and what llama.cpp would do otherwise is refused."""

import io
import json
import re
import shutil

import llama2c_files as files
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader
from safetensors.torch import load_file, save_file
from sentencepiece import SentencePieceTrainer
from tiny_model import SENTENCES
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from kajiya.errors import KajiyaError
from kajiya.lm.export import fast_tokenizer
from kajiya.lm.gguf_file import convert_gguf
from kajiya.lm.gguf_vocabulary import read_vocabulary
from kajiya.lm.llama2c import convert_llama2c
from kajiya.lm.tokenizer import save_tokenizer

TEMPLATE = "{% for m in messages %}<|user|>{{ m['content'] }}</s>{% endfor %}"


@pytest.fixture(scope="module")
def pieces():
    """A unigram of ours: role tokens, bytes, scores in steps of 1/256."""
    from components.tokenizer.train import settle_scores

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 3), model_writer=model, model_type="unigram", vocab_size=420,
        byte_fallback=True, add_dummy_prefix=False, normalization_rule_name="identity", num_threads=1,
        remove_extra_whitespaces=False, user_defined_symbols=["\n"], control_symbols=["<|user|>"],
        unk_id=0, eos_id=1, pad_id=2, bos_id=-1, pad_piece="<pad>", minloglevel=2, hard_vocab_limit=False,
    )  # fmt: skip
    return settle_scores(model.getvalue())


@pytest.fixture
def folder(tmp_path, pieces):
    """A Llama with grouped queries and a unigram tokenizer, of shapes that blocks of 32 divide."""
    return write_folder(tmp_path / "model", pieces)


def write_folder(folder, model, **config):
    tokenizer = fast_tokenizer(model)
    folder.mkdir(parents=True)
    (folder / "tokenizer.model").write_bytes(model)
    save_tokenizer(tokenizer, {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}, folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    torch.manual_seed(3)
    shape = {
        "vocab_size": tokenizer.get_vocab_size(), "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0}, "tie_word_embeddings": False,
        "bos_token_id": None, "eos_token_id": 1,
    }  # fmt: skip
    LlamaForCausalLM(LlamaConfig(**shape | config)).save_pretrained(folder)
    return folder


def logits(model):
    ids = torch.arange(3, 43)[None]
    with torch.no_grad():
        return model(ids).logits[0]


def from_gguf(path):
    return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)


@pytest.mark.parametrize(
    ("kind", "distance"), [("f32", 1e-6), ("f16", 5e-3), ("q8_0", 0.05), ("q4_0", 0.5)], ids=str
)
def test_gguf_read_by_transformers_gives_the_logits_of_the_folder(tmp_path, folder, kind, distance):
    convert_gguf(folder, tmp_path / "m.gguf", kind, "m")

    full = logits(AutoModelForCausalLM.from_pretrained(folder))
    difference = (logits(from_gguf(tmp_path / "m.gguf")) - full).norm() / full.norm()

    assert difference < distance
    assert kind == "f32" or difference > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.gguf", "model"]


@pytest.mark.parametrize("vocabulary", [270, -270], ids=["tied", "own_head"])
def test_gguf_of_grouped_queries_and_tied_head_writes_the_same_text(tmp_path, vocabulary):
    header = files.HEADER | {"vocabulary": vocabulary, "kv_heads": 1}
    checkpoint = files.write_checkpoint(tmp_path / "model.bin", header, files.random_weights(header))
    convert_llama2c(checkpoint, files.write_tokenizer(tmp_path / "tokenizer.bin"), tmp_path / "hf")

    convert_gguf(tmp_path / "hf", tmp_path / "m.gguf", "f32", "m")

    models = AutoModelForCausalLM.from_pretrained(tmp_path / "hf"), from_gguf(tmp_path / "m.gguf")
    ids = torch.tensor([[1, 264, 9]])
    texts = [model.generate(ids, max_new_tokens=12, do_sample=False, eos_token_id=None) for model in models]
    assert texts[0].tolist() == texts[1].tolist()
    reader = GGUFReader(tmp_path / "m.gguf")
    assert field(reader, "tokenizer.ggml.model") == "llama"
    assert field(reader, "tokenizer.ggml.add_bos_token") is True
    assert field(reader, "tokenizer.ggml.add_space_prefix") is True
    assert ("output.weight" in {tensor.name for tensor in reader.tensors}) == (vocabulary < 0)


def test_gguf_says_shape_special_tokens_and_template(tmp_path, folder):
    convert_gguf(folder, tmp_path / "m.gguf", "f16", "a name")

    reader = GGUFReader(tmp_path / "m.gguf")
    assert field(reader, "general.architecture") == "llama"
    assert field(reader, "general.name") == "a name"
    assert field(reader, "llama.attention.head_count_kv") == 2
    assert field(reader, "llama.rope.freq_base") == 500_000.0
    assert field(reader, "llama.context_length") == 64
    assert field(reader, "tokenizer.ggml.eos_token_id") == 1
    assert field(reader, "tokenizer.ggml.add_bos_token") is False
    assert field(reader, "tokenizer.chat_template") == TEMPLATE


def test_gguf_quantizes_layers_and_keeps_norms_and_embeddings_finer(tmp_path, folder):
    written = convert_gguf(folder, tmp_path / "m.gguf", "q4_0", "m")

    kinds = {tensor.name: tensor.tensor_type for tensor in GGUFReader(tmp_path / "m.gguf").tensors}
    assert kinds["blk.0.ffn_down.weight"] == GGMLQuantizationType.Q4_0
    assert kinds["token_embd.weight"] == kinds["output.weight"] == GGMLQuantizationType.Q8_0
    assert kinds["output_norm.weight"] == GGMLQuantizationType.F32
    assert written.bytes == (tmp_path / "m.gguf").stat().st_size


def test_gguf_of_rows_that_blocks_do_not_divide_keeps_them_in_f16_and_says_so(tmp_path, pieces):
    odd = write_folder(tmp_path / "odd", pieces, intermediate_size=100)

    written = convert_gguf(odd, tmp_path / "m.gguf", "q8_0", "m")

    kinds = {tensor.name: tensor.tensor_type for tensor in GGUFReader(tmp_path / "m.gguf").tensors}
    assert kinds["blk.1.ffn_down.weight"] == GGMLQuantizationType.F16
    assert kinds["blk.1.ffn_up.weight"] == GGMLQuantizationType.Q8_0
    assert "2 tensors are in f16" in written.notes[0]


@pytest.mark.parametrize(
    "text",
    [
        "愛媛県の県庁所在地は松山市です。",
        "The river runs.\n  りんご",
        "鰯😀",
        "</s><unk><|user|>",
        "質問: a  b",
        "\n\n",
    ],
)
def test_gguf_unigram_is_cut_by_the_search_of_plamo2_as_by_ours(folder, text):
    """The search as llama.cpp does it, over what the file says."""
    vocabulary = read_vocabulary(folder, LlamaConfig.from_pretrained(folder).vocab_size)
    tokenizer = fast_tokenizer((folder / "tokenizer.model").read_bytes())
    tokenizer.encode_special_tokens = True

    assert vocabulary.algorithm == "plamo2"
    assert plamo2(vocabulary, text) == tokenizer.encode(text, add_special_tokens=False).ids


def plamo2(vocabulary, text):
    """llm_tokenizer_plamo2 of llama.cpp: from the end, the longest piece first, bytes at a loss of 10,000,000."""
    scores = [round(float(np.float32(score)) * 1e4) for score in vocabulary.scores]
    ids = {token: number for number, token in enumerate(vocabulary.tokens)}
    known = {t: scores[i] for t, i in ids.items() if vocabulary.kinds[i] != 6 and scores[i] > -20_000_000}
    best = {len(text): (0, None)}
    for start in reversed(range(len(text))):
        ways = [
            (best[end][0] + known[text[start:end]], end, ids[text[start:end]])
            for end in range(len(text), start, -1)
            if text[start:end] in known
        ]
        ways.append((best[start + 1][0] - 10_000_000, start + 1, None))
        best[start] = (
            max(way[0] for way in ways),
            next(w[1:] for w in ways if w[0] == max(x[0] for x in ways)),
        )
    found, at = [], 0
    while at < len(text):
        end, token = best[at][1]
        found += [token] if token is not None else [ids[f"<0x{byte:02X}>"] for byte in text[at].encode()]
        at = end
    return found


def test_gguf_of_a_quantized_folder_is_refused_with_the_remedy(tmp_path, folder):
    edit(folder / "config.json", quantization_config={"quant_method": "compressed-tensors"})
    refused(folder, tmp_path, "is quantized.*Convert the full model that it was made from.*--type q4_0")


def test_gguf_of_a_scaled_rotary_embedding_is_refused(tmp_path, folder):
    edit(folder / "config.json", rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4})
    refused(folder, tmp_path, r"rotary embedding is scaled \(linear\)")


def test_gguf_leaves_out_the_rotary_frequencies_of_older_folders(tmp_path, folder):
    convert_gguf(folder, tmp_path / "expected.gguf", "f16", "m")
    weights = load_file(folder / "model.safetensors")
    for layer in range(2):
        weights[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = torch.rand(8)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})

    convert_gguf(folder, tmp_path / "m.gguf", "f16", "m")

    assert (tmp_path / "m.gguf").read_bytes() == (tmp_path / "expected.gguf").read_bytes()


@pytest.mark.parametrize(
    ("ends", "turn", "unsaid"),
    [(1, None, []), ([1, 4], 4, []), (4, 4, []), ([1, 4, 6, 5], 4, ["<0x01>", "<0x00>"])],
    ids=str,
)
def test_gguf_says_a_second_end_token_and_names_those_it_has_no_place_for(folder, ends, turn, unsaid):
    edit(folder / "generation_config.json", eos_token_id=ends)

    vocabulary = read_vocabulary(folder, LlamaConfig.from_pretrained(folder).vocab_size)

    assert vocabulary.special.get("eot") == turn
    assert vocabulary.unsaid_ends == unsaid
    assert any(all(token in note for token in unsaid) for note in vocabulary.notes())


@pytest.mark.parametrize("content", ["{", "[]", "\udcff"], ids=["cut_off", "list", "no_text"])
def test_gguf_of_a_broken_generation_config_names_the_file(tmp_path, folder, content):
    (folder / "generation_config.json").write_bytes(content.encode(errors="surrogateescape"))
    refused(folder, tmp_path, "generation_config.json: .*Mend it")


def test_gguf_without_a_sentencepiece_model_is_refused(tmp_path, folder):
    (folder / "tokenizer.model").unlink()
    refused(folder, tmp_path, "no tokenizer.model")


def test_gguf_of_a_tokenizer_json_that_cuts_otherwise_is_refused(tmp_path, folder):
    content = json.loads((folder / "tokenizer.json").read_text())
    content["normalizer"] = {"type": "Lowercase"}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    refused(folder, tmp_path, "tokenizer.json cuts .* tokenizer.model into")


def test_gguf_of_a_unigram_with_a_space_before_texts_is_refused(tmp_path, pieces):
    from kajiya.lm.export import read_proto

    proto = read_proto(pieces)
    proto.normalizer_spec.add_dummy_prefix = True
    prefixed = write_folder(tmp_path / "model", proto.SerializeToString())
    refused(prefixed, tmp_path, "puts a space before every text.*algorithm: bpe")


def test_gguf_failing_halfway_leaves_no_file(tmp_path, folder):
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.model.norm.weight[5] = float("nan")
    model.save_pretrained(folder)
    refused(folder, tmp_path, "model.norm.weight holds numbers that are not finite")


def test_gguf_never_overwrites_a_file(tmp_path, folder):
    (tmp_path / "m.gguf").write_text("mine")
    with pytest.raises(KajiyaError, match="is there already"):
        convert_gguf(folder, tmp_path / "m.gguf", "f16", "m")
    assert (tmp_path / "m.gguf").read_text() == "mine"


def test_gguf_twice_gives_the_same_bytes(tmp_path, folder):
    shutil.copytree(folder, tmp_path / "elsewhere")
    for name, source in (("a", folder), ("b", tmp_path / "elsewhere")):
        convert_gguf(source, tmp_path / name, "q8_0", "m")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def refused(folder, tmp_path, words):
    with pytest.raises(KajiyaError, match=re.compile(words, re.DOTALL)):
        convert_gguf(folder, tmp_path / "m.gguf", "f16", "m")
    assert not list(tmp_path.glob("m.gguf*"))


def edit(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def field(reader, name):
    return reader.get_field(name).contents()
