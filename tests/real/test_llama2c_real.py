"""The published weights of stories260K: converted, they tell the story that llama2.c tells."""

import gzip
import itertools
import json
import os
from pathlib import Path

import llama2c_files as files
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from kajiya.lm.llama2c import convert_llama2c
from kajiya.lm.tokenizer import load_tokenizer

DATA = Path(os.environ.get("KAJIYA_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
STORIES = DATA / "stories260k"
pytestmark = pytest.mark.skipif(
    not STORIES.is_dir(), reason=f"no real data at {STORIES} (set KAJIYA_SHARED_DATA)"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("stories") / "hf"
    convert_llama2c(STORIES / "stories260K.bin", STORIES / "tok512.bin", out)
    return out


def test_greedy_decoding_of_200_tokens_is_the_published_text(folder):
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.dtype == torch.float32

    tokens = model.generate(
        torch.tensor([[tokenizer.bos_token_id]]), max_new_tokens=200, do_sample=False, use_cache=True
    )

    text = tokenizer.decode(tokens[0], skip_special_tokens=True)
    assert text == (STORIES / "expected_greedy_200_tokens.txt").read_text(encoding="utf-8")
    assert tokens.shape == (1, 201)


def test_real_texts_are_encoded_as_llama2c_encodes_them(folder):
    content = [(piece.score, piece.text.replace("▁", " ").encode()) for piece in _pieces()]
    fast = load_tokenizer(folder)
    fast.encode_special_tokens = True

    for name in ("en_classic_books", "aozora", "ja_rust_book"):
        with gzip.open(DATA / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            texts = [json.loads(line)["text"] for line in itertools.islice(lines, 3)]
        strings = [text[at : at + 80] for text in texts for at in range(0, 8000, 80) if text[at : at + 80]]
        different = [s for s in strings if fast.encode(s).ids != files.encode(content, s)]
        assert different == [], name


def _pieces():
    from kajiya.lm.llama2c_tokenizer import read_pieces

    return read_pieces(STORIES / "tok512.bin")
