"""Tokenizer and mixture on text that other people wrote, and a tokenizer that other people trained."""

import gzip
import itertools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.tokenize import TokenizeSettings
from components.tokenize import run as run_tokenize
from components.tokenizer import TokenizerSettings
from components.tokenizer import run as run_tokenizer
from kajiya.lm.tokenizer import differences, encode_documents, load_tokenizer
from kajiya.shards import write_dataset
from kajiya.stage import execute

DATA = Path(os.environ.get("KAJIYA_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data at {DATA} (set KAJIYA_SHARED_DATA)")

SOURCES = {"aozora": "aozora", "diet": "diet_fragments", "web": "ja_rust_book", "english": "en_classic_books"}


def texts(name, count, characters):
    with gzip.open(DATA / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"][:characters] for line in itertools.islice(lines, count)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real") / "corpus"
    about = {"license": "various", "generator": "human", "language": "ja"}
    records = (
        {"id": f"{source}:{i}", "source": source, "text": text, **about}
        for source, name in SOURCES.items()
        for i, text in enumerate(texts(name, 400 if source == "diet" else 20, 15_000))
        if text.strip()
    )
    write_dataset(records, folder)
    return folder


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    nothing = tmp_path_factory.mktemp("none")
    out = tmp_path_factory.mktemp("trained") / "tokenizer"
    report = execute(run_tokenizer, TokenizerSettings(vocabulary_size=5000), [corpus, nothing], out)
    return report, out


def test_fast_form_on_ten_thousand_unseen_strings_equals_sentencepiece(trained):
    _, out = trained
    names = [*SOURCES.values(), "jaquad_contexts", "ja_react_docs"]
    unseen = [text for name in names for text in texts(name, 450, 40_000)[-60:]]
    strings = [text[at : at + 200] for text in unseen for at in range(0, len(text), 200)][:10_000]
    assert len(strings) == 10_000
    assert differences((out / "tokenizer.model").read_bytes(), load_tokenizer(out), strings) == []


def test_report_shows_text_shorter_than_its_characters(trained):
    report, _ = trained
    assert set(report.figures["sources"]) == {*SOURCES, "all"}
    assert all(one["characters_per_token"] > 1.2 for one in report.figures["sources"].values())


def test_tokens_lead_back_to_every_text(corpus, trained, tmp_path):
    weights = {"aozora": 0.4, "diet": 0.2, "web": 0.2, "english": 0.2}
    settings = TokenizeSettings(weights=weights, tokens=200_000, validation_share=0.05)
    report = execute(run_tokenize, settings, [corpus, trained[1]], tmp_path / "tokens")
    tokens = report.figures["tokens"]["train"]
    for source, weight in weights.items():
        assert tokens[source] / sum(tokens.values()) == pytest.approx(weight, abs=0.1)
    tokenizer, array = load_tokenizer(trained[1]), np.load(tmp_path / "tokens" / "train.npy")
    originals = {row["id"]: row["text"] for row in pq.read_table(corpus).select(["id", "text"]).to_pylist()}
    for span in pq.read_table(tmp_path / "tokens" / "train.spans.parquet").to_pylist():
        text = tokenizer.decode(array[span["start"] : span["end"] - 1].tolist(), skip_special_tokens=False)
        assert text == originals[span["document_id"]].replace("▁", " ")


def test_tokenizer_of_another_house_is_taken_and_used(corpus, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(DATA / "tokenizers" / "llm_jp_hf_fast", base)
    (base / "config.json").write_text("{}")
    execute(run_tokenizer, TokenizerSettings(kind="take"), [corpus, base], tmp_path / "tokenizer")
    assert (tmp_path / "tokenizer" / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()
    report = execute(run_tokenize, TokenizeSettings(), [corpus, tmp_path / "tokenizer"], tmp_path / "tokens")
    facts = json.loads((tmp_path / "tokens" / "tokens.json").read_text())
    taken = load_tokenizer(tmp_path / "tokenizer")
    assert facts["end_of_sequence"] == taken.token_to_id("<EOD|LLM-jp>")
    assert facts["vocabulary_size"] == report.figures["vocabulary_size"] == taken.get_vocab_size()
    ids = next(encode_documents(taken, ["吾輩は猫である。"]))
    assert "猫" in taken.decode(ids.tolist())
