"""Checkpoints of llama2.c: what comes out is what llama2.c computes, and what does not add up is refused."""

import itertools
import struct

import llama2c_files as files
import numpy as np
import pytest
import torch
from sentencepiece import SentencePieceProcessor
from transformers import AutoModelForCausalLM, AutoTokenizer

from kajiya.errors import KajiyaError
from kajiya.lm.conversations import choose_template, encode_conversation, load_chat_tokenizer
from kajiya.lm.llama2c import convert_llama2c, read_header
from kajiya.lm.llama2c_tokenizer import read_pieces
from kajiya.lm.tokenizer import end_of_sequence, load_tokenizer


@pytest.fixture
def tokenizer(tmp_path):
    return files.write_tokenizer(tmp_path / "tokenizer.bin")


@pytest.fixture
def checkpoint(tmp_path):
    return files.write_checkpoint(tmp_path / "model.bin", files.HEADER, files.random_weights(files.HEADER))


@pytest.mark.parametrize("vocabulary", [270, -270], ids=["tied", "own_head"])
@pytest.mark.parametrize("kv_heads", [1, 3])
def test_converted_model_gives_the_logits_of_llama2c(tmp_path, tokenizer, vocabulary, kv_heads):
    header = files.HEADER | {"vocabulary": vocabulary, "kv_heads": kv_heads}
    weights = files.random_weights(header)
    tokens = [1, 264, 9, 269, 259, 33, 2, 260, 261]

    convert_llama2c(
        files.write_checkpoint(tmp_path / "model.bin", header, weights), tokenizer, tmp_path / "hf"
    )

    model = AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    with torch.no_grad():
        found = model(torch.tensor([tokens])).logits[0].numpy()
    np.testing.assert_allclose(found, files.logits(header, weights, tokens), atol=2e-5)
    assert model.config.tie_word_embeddings == (vocabulary > 0)
    assert not (tmp_path / "hf.partial").exists()


@pytest.mark.parametrize(
    "text", ["", "the", "  the  he", "川の the川", "\n", "a" * 7, "<s></s><0x0A>", "é😀\x00", "thhe t"]
)
def test_converted_tokenizer_encodes_and_decodes_as_llama2c(tmp_path, checkpoint, tokenizer, text):
    convert_llama2c(checkpoint, tokenizer, tmp_path / "hf")
    fast = load_tokenizer(tmp_path / "hf")
    fast.encode_special_tokens = True

    ids = fast.encode(text).ids

    assert ids == files.encode(files.pieces(), text)
    assert ids[1:] == SentencePieceProcessor(str(tmp_path / "hf" / "tokenizer.model")).encode(text)
    assert fast.decode(ids) == text


def test_converted_tokenizer_on_every_short_string_of_a_tangled_vocabulary_encodes_as_llama2c(
    tmp_path, checkpoint
):
    """Unions that overlap in many ways, of scores that are not in the order of their ids."""
    learnt = [b" ", b"a", b"b", b"ab", b"ba", b"abb", b"bb", b" a", b"bba", b"aab", b"abab"]
    scores = [-90, -91, -92, -3, -1, -5, -2, -4, -7, -6, -8]
    content = files.pieces()[:259] + list(zip(map(float, scores), learnt, strict=True))
    convert_llama2c(checkpoint, files.write_tokenizer(tmp_path / "t.bin", content), tmp_path / "hf")
    fast = load_tokenizer(tmp_path / "hf")

    strings = ["".join(s) for length in range(1, 9) for s in itertools.product("ab ", repeat=length)]
    different = [s for s in strings[::7] if fast.encode(s).ids != files.encode(content, s)]
    assert different == []


def test_converted_folder_names_begin_and_end_of_sequence_and_stops_at_either(
    tmp_path, checkpoint, tokenizer
):
    convert_llama2c(checkpoint, tokenizer, tmp_path / "hf")

    fast = AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert (fast.bos_token_id, fast.eos_token_id) == (1, 2)
    assert fast("the")["input_ids"] == [1, 261]
    assert end_of_sequence(load_tokenizer(tmp_path / "hf"), tmp_path / "hf") == 2
    stops = AutoModelForCausalLM.from_pretrained(tmp_path / "hf").generation_config.eos_token_id
    assert stops == [2, 1]


def test_conversation_with_a_converted_base_begins_as_its_texts_do(tmp_path, checkpoint, tokenizer):
    convert_llama2c(checkpoint, tokenizer, tmp_path / "hf")
    fast = load_chat_tokenizer(tmp_path / "hf")
    name, fast.chat_template = choose_template(fast)
    turns = [{"role": "user", "content": "the"}, {"role": "assistant", "content": "he"}] * 2

    ids, labels = encode_conversation(fast, turns)

    assert (name, ids[0], ids.count(1)) == ("text", 1, 1)
    assert [label for label in labels if label != -100].count(2) == 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"width": -12}, "width is -12"),
        ({"layers": 0}, "layers is 0"),
        ({"ffn": 2**31 - 1}, "ffn is 2147483647"),
        ({"heads": 5}, "5 heads do not divide a width of 12"),
        ({"heads": 4}, "into even sizes"),
        ({"kv_heads": 2}, "2 key-value heads do not divide 3"),
        ({"layers": 3}, "it was cut short"),
        ({"layers": 1}, "something follows the weights"),
        ({"width": 0x616B3432}, "version 20 of llama2.c's format"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, dict) else "",
)
def test_header_that_does_not_fit_is_refused_with_the_reason(tmp_path, change, expected):
    path = files.write_checkpoint(tmp_path / "m.bin", files.HEADER, files.random_weights(files.HEADER))
    content = path.read_bytes()
    path.write_bytes(struct.pack("<7i", *(files.HEADER | change).values()) + content[28:])

    with pytest.raises(KajiyaError, match=expected) as raised:
        read_header(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("size", [0, 27, 28, 5000])
def test_checkpoint_cut_short_is_refused(checkpoint, size):
    checkpoint.write_bytes(checkpoint.read_bytes()[:size])

    with pytest.raises(KajiyaError, match=r"are less than|it was cut short"):
        read_header(checkpoint)


def test_checkpoint_with_trailing_bytes_is_refused(tmp_path):
    weights = files.random_weights(files.HEADER)
    path = files.write_checkpoint(tmp_path / "m.bin", files.HEADER, weights, tail=b"\0")

    with pytest.raises(KajiyaError, match="something follows the weights"):
        read_header(path)


def test_checkpoint_with_nan_is_refused_and_leaves_nothing(tmp_path, tokenizer):
    weights = files.random_weights(files.HEADER)
    weights["w2"][1, 3, 4] = np.nan

    path = files.write_checkpoint(tmp_path / "m.bin", files.HEADER, weights)
    with pytest.raises(KajiyaError, match=r"layers\.mlp\.down_proj holds numbers that are not finite"):
        convert_llama2c(path, tokenizer, tmp_path / "hf")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["m.bin", "tokenizer.bin"]


def test_checkpoint_of_another_rotary_base_is_refused(tmp_path, tokenizer):
    weights = files.random_weights(files.HEADER)
    weights["cosines"] = np.cos(files.angles(files.HEADER, base=1e6))

    path = files.write_checkpoint(tmp_path / "m.bin", files.HEADER, weights)
    with pytest.raises(KajiyaError, match="rotary angles"):
        convert_llama2c(path, tokenizer, tmp_path / "hf")


def test_checkpoint_without_rotary_tables_is_taken(tmp_path, tokenizer):
    weights = files.random_weights(files.HEADER)
    empty = dict.fromkeys(("cosines", "sines"), np.zeros((16, 2)))

    path = files.write_checkpoint(tmp_path / "m.bin", files.HEADER, weights | empty)
    convert_llama2c(path, tokenizer, tmp_path / "hf")
    assert (tmp_path / "hf" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("learnt", "expected"),
    [
        (files.LEARNT[:-1], "269 pieces, but the model has 270"),
        ([], "none of them learnt"),
        ([*files.LEARNT[:-1], b"t"], "are both 't'"),
        ([*files.LEARNT[:-1], b"\xff"], "piece 269 is not UTF-8"),
    ],
    ids=["another", "empty", "double", "not_utf8"],
)
def test_tokenizer_that_does_not_fit_is_refused(tmp_path, checkpoint, learnt, expected):
    path = files.write_tokenizer(tmp_path / "t.bin", files.pieces(learnt))

    with pytest.raises(KajiyaError, match=expected):
        convert_llama2c(checkpoint, path, tmp_path / "hf")
    assert not (tmp_path / "hf").exists()


@pytest.mark.parametrize(
    ("at", "value", "expected"),
    [
        (4, struct.pack("<f", float("nan")), "the score of piece 0"),
        (8, struct.pack("<i", -5), "piece 0 at byte 4 does not fit: length -5"),
        (8, struct.pack("<i", 2**30), "piece 0 at byte 4 does not fit"),
        (12, b"<bos>", "piece 0 is '<bos>', llama2.c needs '<unk>'"),
    ],
    ids=["nan", "negative", "huge", "other_special"],
)
def test_tokenizer_that_is_damaged_names_the_piece(tokenizer, at, value, expected):
    content = bytearray(tokenizer.read_bytes())
    content[at : at + len(value)] = value
    tokenizer.write_bytes(content)

    with pytest.raises(KajiyaError, match=expected):
        read_pieces(tokenizer)


def test_tokenizer_cut_short_names_the_piece(tokenizer):
    tokenizer.write_bytes(tokenizer.read_bytes()[:-1])

    with pytest.raises(KajiyaError, match="piece 269 at byte"):
        read_pieces(tokenizer)


def test_tokenizer_with_two_unions_of_one_score_is_refused(tmp_path, checkpoint):
    content = files.pieces()
    content[261] = (content[260][0], content[261][1])
    path = files.write_tokenizer(tmp_path / "t.bin", content)

    with pytest.raises(KajiyaError, match="'he' and '▁the' have the same score"):
        convert_llama2c(checkpoint, path, tmp_path / "hf")


def test_folder_with_something_in_it_is_left_alone(tmp_path, checkpoint, tokenizer):
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "mine").write_text("私の")

    with pytest.raises(KajiyaError, match="Name a new one"):
        convert_llama2c(checkpoint, tokenizer, tmp_path / "hf")
    assert (tmp_path / "hf" / "mine").read_text() == "私の"
