import io
import shutil

import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from tiny_corpus import texts, write_corpus, write_tokenizer
from tokenizers import decoders
from transformers import AutoTokenizer

from components.tokenizer import run
from components.tokenizer.check import HARD_STRINGS, check_identity, check_round_trip
from components.tokenizer.sample import Size, draw_sentences, sampling_fractions
from components.tokenizer.settings import TokenizerSettings
from components.tokenizer.train import train_model
from kajiya.errors import KajiyaError
from kajiya.lm.tokenizer import SEGMENT, differences, encode_documents, fast_tokenizer, load_tokenizer


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def folder(corpus, tmp_path_factory):
    return write_tokenizer(tmp_path_factory.mktemp("models") / "tokenizer", corpus)


@pytest.fixture(scope="module")
def tokenizer(folder):
    return load_tokenizer(folder)


def encode(tokenizer, text):
    return next(encode_documents(tokenizer, [text])).tolist()


def settings(**values):
    return TokenizerSettings(**{"vocabulary_size": 440, "check_strings": 200} | values)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_fast_form_on_corpus_and_hard_strings_equals_sentencepiece(folder, tokenizer):
    model = (folder / "tokenizer.model").read_bytes()
    assert differences(model, tokenizer, [*HARD_STRINGS, *texts(), "。".join(texts()[:20])]) == []


@pytest.mark.parametrize(
    "text", ["  字下げ", "改行\n\n\t次", "😀と𠮟る", "e\u0301", "\r\n", "a</s>b<0x0A>", "末尾 "]
)
def test_text_encoded_and_decoded_comes_back(tokenizer, text):
    assert tokenizer.decode(encode(tokenizer, text), skip_special_tokens=False) == text


@pytest.mark.parametrize("text", ["</s>", "<pad>", "<|user|>", "<unk>"])
def test_control_token_spelt_in_a_document_stays_letters(tokenizer, text):
    assert tokenizer.token_to_id(text) not in encode(tokenizer, text)


def test_control_token_in_a_template_is_one_token(folder):
    tokens = AutoTokenizer.from_pretrained(folder).tokenize("<|user|>札幌</s>")
    assert tokens[0] == "<|user|>"
    assert tokens[-1] == "</s>"


@pytest.mark.parametrize("mark", [" ", "-", "|", "…", "。"])
def test_long_run_of_one_character_is_split_alike(mark):
    table = [mark * length + "松山" + mark * (60 - length) for length in range(60)] * 3
    sentences = [part for row in [*texts(), *table] for part in SEGMENT.findall(row)]
    model = train_model(sentences, settings(vocabulary_size=450))
    rows = [mark * length + "x" + mark * (2 * length) for length in range(90)]
    assert differences(model, fast_tokenizer(model), rows) == []


def test_digits_are_encoded_one_by_one(tokenizer):
    tokens = [tokenizer.id_to_token(i) for i in encode(tokenizer, "値段は128円")]
    assert [token for token in tokens if any(c.isdigit() for c in token)] == ["1", "2", "8"]


def test_no_piece_reaches_past_a_sentence_or_a_line(tokenizer):
    pieces = [piece for piece in tokenizer.get_vocab() if len(piece) > 1]
    assert not [piece for piece in pieces if "。" in piece[:-1] or "\n" in piece]


def test_plain_transformers_loads_the_folder_alike(folder, tokenizer):
    other = AutoTokenizer.from_pretrained(folder)
    assert other(texts()[0])["input_ids"] == encode(tokenizer, texts()[0])
    assert (other.eos_token, other.bos_token, other.pad_token) == ("</s>", "</s>", "<pad>")


def test_training_twice_gives_the_same_bytes(folder, corpus, tmp_path):
    assert files(write_tokenizer(tmp_path / "again", corpus)) == files(folder)


def test_sample_from_other_workers_and_few_characters_is_the_same(tmp_path, monkeypatch):
    corpus, nothing = write_corpus(tmp_path / "corpus", shard_bytes=15_000), tmp_path / "none"
    nothing.mkdir()
    reports = []
    for number in ("1", "2"):
        monkeypatch.setenv("KAJIYA_WORKERS", number)
        out = tmp_path / number
        out.mkdir()
        reports.append(run(settings(sample_characters=6000, vocabulary_size=430), corpus, nothing, out=out))
    assert files(tmp_path / "1") == files(tmp_path / "2")
    assert reports[0] == reports[1]
    assert 4500 < reports[0].figures["sample"]["characters"] < 7500


def test_vocabulary_larger_than_the_text_names_the_size_that_works():
    with pytest.raises(KajiyaError, match=r"vocabulary_size 30000 .* Set it to \d+ at most"):
        train_model(texts(), settings(vocabulary_size=30_000))


def test_vocabulary_smaller_than_the_characters_says_so():
    many = ["".join(chr(0x4E00 + i) for i in range(start, start + 50)) for start in range(0, 2000, 50)]
    with pytest.raises(KajiyaError, match=r"vocabulary_size 600 is less than the \d+"):
        train_model(many, settings(vocabulary_size=600, character_coverage=1.0))


def test_fast_form_that_differs_is_an_error_with_the_string(folder, tokenizer):
    model = train_model([text.replace("で", "デ") for text in texts()], settings())
    with pytest.raises(KajiyaError, match=r"differs from SentencePiece on \d+ of \d+ strings"):
        check_identity(model, tokenizer, {"wiki": texts()})


def test_tokenizer_that_loses_text_is_an_error(folder):
    lossy = load_tokenizer(folder)
    lossy.decoder = decoders.Fuse()  # ▁ stays ▁
    with pytest.raises(KajiyaError, match="loses text"):
        check_round_trip(lossy, {"wiki": texts()})


def test_conversion_of_a_model_with_dummy_prefix_is_refused():
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(texts()), model_writer=model, vocab_size=380, byte_fallback=True, minloglevel=2
    )
    with pytest.raises(KajiyaError, match="identity normalisation, no add_dummy_prefix"):
        fast_tokenizer(model.getvalue())


def test_take_copies_the_base_tokenizer_byte_for_byte(folder, corpus, tmp_path):
    base, out = tmp_path / "base", tmp_path / "out"
    shutil.copytree(folder, base)
    (base / "config.json").write_text("{}")
    out.mkdir()
    report = run(settings(kind="take"), corpus, base, out=out)
    assert files(out) == files(folder)
    assert report.figures["pieces"] == 440


def test_train_beside_a_base_model_is_refused(corpus, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(KajiyaError, match="kind: take"):
        run(settings(), corpus, tmp_path, out=tmp_path)


def test_take_without_a_base_model_is_refused(corpus, tmp_path):
    with pytest.raises(KajiyaError, match="kind: train"):
        run(settings(kind="take"), corpus, tmp_path, out=tmp_path)


def test_weights_draw_more_from_the_source_that_weighs_more():
    sizes = {"web": Size(10, 1_000_000), "wiki": Size(10, 100_000)}
    fractions = sampling_fractions(sizes, {"web": 0.5, "wiki": 0.5}, 100_000)
    assert fractions == {"web": 0.05, "wiki": 0.5}


@pytest.mark.parametrize("weights", [{"web": 1.0}, {"web": 0.5, "wiki": 0.3, "news": 0.2}])
def test_weights_for_other_sources_than_the_corpus_are_refused(weights):
    with pytest.raises(KajiyaError, match="the corpus holds web, wiki"):
        sampling_fractions({"web": Size(1, 10), "wiki": Size(1, 10)}, weights, 10)


def test_drawn_sentences_are_whole_and_depend_on_the_key_alone():
    text = "一つ。二つ。\n三つ。" * 100
    drawn = draw_sentences(text, 0.5, "0:wiki:1")
    assert drawn == draw_sentences(text, 0.5, "0:wiki:1")
    assert drawn != draw_sentences(text, 0.5, "1:wiki:1")
    assert set(drawn) == {"一つ。", "二つ。", "三つ。"}
    assert 100 < len(drawn) < 200


def test_sentencepiece_reads_the_published_model(folder):
    processor = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    assert processor.decode(processor.encode("松山は\nみかん。")) == "松山は\nみかん。"
