"""The encoder of the corpus gives the ids of the fast tokenizer, whichever library does the work."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_corpus import texts, write_corpus, write_tokenizer

from components.tokenizer.check import HARD_STRINGS
from kajiya.lm.encoder import Encoder
from kajiya.lm.tokenizer import encode_documents, load_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return write_tokenizer(root / "tokenizer", write_corpus(root / "corpus"))


def by_text(encoded):
    return [ids.tolist() for ids in np.split(encoded.ids, np.cumsum(encoded.lengths)[:-1])]


def encode(folder, strings):
    return by_text(Encoder(folder).encode(pa.array(strings, pa.large_string())))


def fast(folder, strings):
    return [ids.tolist() for ids in encode_documents(load_tokenizer(folder), strings)]


def test_encoder_on_corpus_and_hard_strings_equals_the_fast_tokenizer(folder):
    strings = [*texts(), *HARD_STRINGS]
    assert Encoder(folder).unigram is not None
    assert encode(folder, strings) == fast(folder, strings)


@given(
    st.lists(
        st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("川鍛 ▁。\nのは日本9a<>"))),
        min_size=1,
    )
)
@settings(max_examples=300, deadline=None)
def test_encoder_on_any_text_equals_the_fast_tokenizer(folder, strings):
    assert encode(folder, strings) == fast(folder, strings)


def test_encoder_of_a_slice_encodes_that_alone(folder):
    strings = pa.array(["一つ目。", "二つ目の鍛冶屋", "三つ目"], pa.large_string())
    assert by_text(Encoder(folder).encode(strings[1:2])) == fast(folder, ["二つ目の鍛冶屋"])


def test_encoder_on_long_documents_equals_the_fast_tokenizer(folder):
    sentence = "".join(texts())
    without_border = sentence.replace("。", "、").replace("\n", " ")
    strings = [sentence * 5, without_border * 3, "短い。", without_border * 2 + "。" + sentence * 2]
    assert len(strings[1]) > 4000
    assert "。" not in strings[1]
    assert encode(folder, strings) == fast(folder, strings)


def test_encoder_without_texts_gives_nothing(folder):
    encoded = Encoder(folder).encode(pa.array([], pa.large_string()))
    assert (len(encoded.ids), len(encoded.lengths)) == (0, 0)


def test_encoder_of_a_foreign_fast_tokenizer_takes_the_fast_way(folder, tmp_path):
    for name in ("tokenizer.model", "tokenizer.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    content = (tmp_path / "tokenizer.json").read_text(encoding="utf-8")
    (tmp_path / "tokenizer.json").write_text(
        content.replace('"byte_fallback": true', '"byte_fallback": false')
    )
    assert Encoder(tmp_path).unigram is None
    assert encode(tmp_path, ["鍛冶屋"]) == fast(tmp_path, ["鍛冶屋"])
