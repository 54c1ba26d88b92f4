"""The fast form encodes as SentencePiece does, whatever the model, or is refused."""

import io
import random
import shutil

import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from tiny_corpus import as_sample, texts, write_corpus, write_tokenizer
from transformers import AutoTokenizer

from components.tokenize.encode import beginning_of_text
from components.tokenizer import run
from components.tokenizer.check import HARD_STRINGS, check_identity
from components.tokenizer.settings import TokenizerSettings
from components.tokenizer.train import train_model
from kajiya.errors import KajiyaError
from kajiya.lm.export import adds_exactly, fast_tokenizer, merges_of, read_proto
from kajiya.lm.tokenizer import (
    SEGMENT,
    differences,
    encode_documents,
    end_of_sequence,
    load_tokenizer,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def folder(corpus, tmp_path_factory):
    return write_tokenizer(tmp_path_factory.mktemp("models") / "tokenizer", corpus)


def settings(**values):
    return TokenizerSettings(**{"vocabulary_size": 460, "check_strings": 200} | values)


def llama_like(**options):
    """A model as Llama 2's was trained, small."""
    model = io.BytesIO()
    wanted = {
        "model_type": "bpe", "vocab_size": 390, "byte_fallback": True, "split_digits": True,
        "normalization_rule_name": "identity", "remove_extra_whitespaces": False, "minloglevel": 2,
    }  # fmt: skip
    SentencePieceTrainer.train(sentence_iterator=iter(texts()), model_writer=model, **wanted | options)
    return model.getvalue()


def hard_texts(seed):
    """Pieces of the corpus in disorder, runs, and odd characters: thousands of them."""
    draw = random.Random(seed)
    words = [word for text in texts() for word in (text[:5], text[3:9], text[-4:])]
    odd = [*" \n\t。、▁ーっaA1-|é𠮟\u3000\x00", "  ", "</s>", "<0x0A>"]
    mixed = ["".join(draw.choices([*words[:60], *odd], k=draw.randint(1, 12))) for _ in range(3000)]
    runs = [draw.choice(odd) * draw.randint(1, 50) + draw.choice(words) for _ in range(500)]
    return [*texts(), *HARD_STRINGS, *mixed, *runs]


@pytest.mark.parametrize("algorithm", ["unigram", "bpe"])
@pytest.mark.parametrize("space", [False, True], ids=["bare", "space"])
def test_trained_model_on_thousands_of_hard_strings_equals_sentencepiece(tmp_path, algorithm, space):
    config = settings(algorithm=algorithm, space_before_text=space)
    model = train_model(as_sample(tmp_path, texts()), config)
    assert differences(model, fast_tokenizer(model), hard_texts(1)) == []


@pytest.mark.parametrize("space", [False, True], ids=["bare", "space"])
@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_foreign_model_on_thousands_of_hard_strings_equals_sentencepiece(kind, space):
    model = llama_like(model_type=kind, add_dummy_prefix=space)
    check_identity(model, fast_tokenizer(model), {"hard": hard_texts(2)})
    if kind == "bpe":
        assert differences(model, fast_tokenizer(model), hard_texts(2)) == []


@pytest.mark.parametrize("mark", [" ", "-", "|", "…", "。"])
@pytest.mark.parametrize("algorithm", ["unigram", "bpe"])
def test_long_run_of_one_character_is_split_alike(mark, algorithm, tmp_path):
    table = [mark * length + "松山" + mark * (60 - length) for length in range(60)] * 3
    sentences = [part for row in [*texts(), *table] for part in SEGMENT.findall(row) if part != "\n"]
    model = train_model(as_sample(tmp_path, sentences), settings(vocabulary_size=470, algorithm=algorithm))
    rows = [mark * length + "x" + mark * (2 * length) for length in range(90)]
    assert differences(model, fast_tokenizer(model), rows) == []


def test_merges_come_in_the_order_of_the_scores_with_every_split():
    scores = {"a": -9.0, "b": -8.0, "ab": -2.0, "aba": -1.0, "ba": -3.0}
    assert merges_of(scores) == [("a", "ba"), ("ab", "a"), ("a", "b"), ("b", "a")]


def test_scores_off_the_grid_do_not_add_exactly(folder):
    assert adds_exactly(read_proto((folder / "tokenizer.model").read_bytes()))
    assert not adds_exactly(read_proto(llama_like(model_type="unigram")))
    assert adds_exactly(read_proto(llama_like()))


def test_difference_that_is_no_tie_is_an_error_in_a_foreign_model_too():
    model = read_proto(llama_like(model_type="unigram"))
    fast = fast_tokenizer(model.SerializeToString())
    for piece in model.pieces:
        piece.score -= 20 * (len(piece.piece) > 1)
    with pytest.raises(KajiyaError, match="differs from SentencePiece"):
        check_identity(model.SerializeToString(), fast, {"wiki": texts()})


@pytest.mark.parametrize(
    ("options", "lacks"),
    [
        ({"normalization_rule_name": "nmt_nfkc"}, "identity normalisation"),
        ({"remove_extra_whitespaces": True}, "no remove_extra_whitespaces"),
        ({"user_defined_symbols": ["<x>"]}, "without user-defined"),
        ({"byte_fallback": False}, "byte_fallback"),
        ({"model_type": "char", "vocab_size": 400, "hard_vocab_limit": False}, "unigram or bpe"),
    ],
)  # fmt: skip
def test_model_that_cannot_be_converted_exactly_is_refused(options, lacks):
    with pytest.raises(KajiyaError, match=lacks):
        fast_tokenizer(llama_like(**options))


def test_file_that_is_no_model_is_refused():
    with pytest.raises(KajiyaError, match="not a SentencePiece model"):
        fast_tokenizer(b"\x00no model")


def test_control_token_in_a_template_is_one_token(folder):
    tokens = AutoTokenizer.from_pretrained(folder).tokenize("<|user|>札幌</s>")
    assert tokens[0] == "<|user|>"
    assert tokens[-1] == "</s>"


def test_plain_transformers_loads_the_folder_alike(folder):
    other, tokenizer = AutoTokenizer.from_pretrained(folder), load_tokenizer(folder)
    ids = [ids.tolist() for ids in encode_documents(tokenizer, texts())]
    assert other(texts())["input_ids"] == ids
    assert (other.eos_token, other.bos_token, other.pad_token) == ("</s>", "</s>", "<pad>")


def test_sentencepiece_reads_the_published_model(folder):
    processor = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    assert processor.decode(processor.encode("松山は\nみかん。")) == "松山は\nみかん。"


def test_take_copies_the_base_tokenizer_byte_for_byte(folder, corpus, tmp_path):
    base, out = tmp_path / "base", tmp_path / "out"
    shutil.copytree(folder, base)
    (base / "config.json").write_text("{}")
    out.mkdir()
    report = run(settings(kind="take"), corpus, base, out=out)
    assert files(out) == files(folder)
    assert report.figures["pieces"] == 440


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_take_converts_a_base_that_has_only_a_sentencepiece_model(corpus, tmp_path, kind):
    base, out = tmp_path / "base", tmp_path / "out"
    base.mkdir()
    out.mkdir()
    model = llama_like(model_type=kind)
    (base / "tokenizer.model").write_bytes(model)
    (base / "config.json").write_text('{"model_type": "llama"}')
    report = run(settings(kind="take"), corpus, base, out=out)
    assert report.figures["check"]["differences"] == 0
    shutil.copy(
        base / "config.json", out
    )  # where a model lies, its architecture must not choose another class
    other = AutoTokenizer.from_pretrained(out)
    expected = SentencePieceProcessor(model_proto=model).encode(texts())
    assert other(texts(), add_special_tokens=False)["input_ids"] == expected
    assert other("町")["input_ids"][0] == other.bos_token_id == 1
    tokenizer = load_tokenizer(out)
    assert end_of_sequence(tokenizer, out) == 2
    assert beginning_of_text(tokenizer, 2) == 1


def test_take_of_a_model_whose_config_adds_no_beginning_adds_none(corpus, tmp_path):
    base, out = tmp_path / "base", tmp_path / "out"
    base.mkdir()
    out.mkdir()
    (base / "tokenizer.model").write_bytes(llama_like())
    (base / "config.json").write_text("{}")
    (base / "tokenizer_config.json").write_text('{"add_bos_token": false, "eos_token": "</s>"}')
    run(settings(kind="take"), corpus, base, out=out)
    assert beginning_of_text(load_tokenizer(out), 2) is None


@pytest.mark.parametrize("kind", ["train", "take", "extend"])
def test_kind_that_does_not_fit_the_base_is_refused(corpus, tmp_path, kind):
    base = tmp_path / "base"
    base.mkdir()
    if kind == "train":
        (base / "config.json").write_text("{}")
    with pytest.raises(KajiyaError, match="kind: take" if kind == "train" else "kind: train"):
        run(settings(kind=kind), corpus, base, out=tmp_path)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}
