"""What a trained tokenizer does with a text, and that nothing but sample and settings decides over it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_corpus import as_sample, texts, write_corpus, write_tokenizer
from tokenizers import decoders

from components.tokenizer import run
from components.tokenizer.check import HARD_STRINGS, check_identity, check_round_trip
from components.tokenizer.sample import Size, draw_sentences, sampling_fractions
from components.tokenizer.settings import TokenizerSettings
from components.tokenizer.train import indentations, train_model
from kajiya.errors import KajiyaError
from kajiya.lm.export import fast_tokenizer
from kajiya.lm.tokenizer import encode_documents, load_tokenizer
from kajiya.shards import write_dataset

ROOT = Path(__file__).parent.parent
CODE = "def f(x):\n    if x:\n        return [1]\n\tpass\n"
TABLE = "| 品名 | 価格 |\n|:-----|-----:|\n| みかん |  128 |\n"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def folder(corpus, tmp_path_factory):
    return write_tokenizer(tmp_path_factory.mktemp("models") / "tokenizer", corpus)


@pytest.fixture(scope="module")
def tokenizer(folder):
    return load_tokenizer(folder)


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def either(request, tmp_path_factory):
    """A tokenizer of each algorithm on the same few sentences."""
    sample = as_sample(
        tmp_path_factory.mktemp("sample"), [part for text in texts() for part in text.split("\n")]
    )
    return fast_tokenizer(train_model(sample, settings(algorithm=request.param)))


def encode(tokenizer, text):
    return next(encode_documents(tokenizer, [text])).tolist()


def pieces(tokenizer, text):
    return [tokenizer.id_to_token(i) for i in encode(tokenizer, text)]


def settings(**values):
    return TokenizerSettings(**{"vocabulary_size": 460, "check_strings": 200} | values)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    "text", ["  字下げ", "改行\n\n\t次", "😀と𠮟る", "e\u0301", "\r\n", "a</s>b<0x0A>", "末尾 ", CODE, TABLE]
)
def test_text_encoded_and_decoded_comes_back(either, text):
    assert either.decode(encode(either, text), skip_special_tokens=False) == text


@pytest.mark.parametrize("text", ["</s>", "<pad>", "<|user|>", "<unk>"])
def test_control_token_spelt_in_a_document_stays_letters(either, text):
    assert either.token_to_id(text) not in encode(either, text)


@pytest.mark.parametrize("length", range(2, 17))
def test_indentation_is_one_piece(either, length):
    assert "▁" * length in pieces(either, "x:\n" + " " * length + "[1]")


def test_longer_indentation_is_cut_into_as_few_pieces_as_can_be(either):
    runs = [piece for piece in pieces(either, "\n" + " " * 40 + "[") if set(piece) == {"▁"}]
    assert len(runs) == 3


def test_tabs_and_newlines_are_pieces(either):
    assert pieces(either, "\n\t\t[\n\n") == ["\n", "\t\t", "[", "\n", "\n"]


def test_tabs_of_a_tokenizer_without_indentation_are_bytes(tmp_path):
    model = train_model(as_sample(tmp_path, texts()), settings(longest_indentation=0))
    assert pieces(fast_tokenizer(model), "\t\t")[-2:] == ["<0x09>", "<0x09>"]


def test_indentations_are_built_by_doubling_first():
    assert [len(run) for run in indentations(11)] == [2, 4, 8, 3, 5, 6, 7, 9, 10, 11, 1, 2]
    assert indentations(0) == []
    assert indentations(1) == ["\t"]


def test_cells_of_a_table_are_the_same_pieces_wherever_they_stand(either):
    row = pieces(either, TABLE)
    assert row.count("|") + row.count("▁|") + sum("|" in p and p.strip("▁") != "|" for p in row) >= 8
    assert [piece for piece in row if piece.strip("▁").isdigit()] == ["1", "2", "8"]


def test_digits_are_encoded_one_by_one(either):
    assert [piece for piece in pieces(either, "値段は128円") if piece.isdigit()] == ["1", "2", "8"]


@pytest.mark.parametrize("algorithm", ["unigram", "bpe"])
def test_digits_may_form_pieces_when_asked(tmp_path, algorithm):
    sample = as_sample(tmp_path, ["2024年"] * 300 + texts())
    tokenizer = fast_tokenizer(train_model(sample, settings(algorithm=algorithm, split_digits=False)))
    assert any(len(piece) > 1 and piece.isdigit() for piece in pieces(tokenizer, "2024年"))


def test_no_piece_reaches_past_a_sentence_or_a_line(either):
    longer = [piece for piece in either.get_vocab() if len(piece) > 1]
    assert not [piece for piece in longer if "。" in piece[:-1] or "\n" in piece]


@pytest.mark.parametrize("algorithm", ["unigram", "bpe"])
def test_training_from_other_shards_and_workers_gives_the_same_bytes(tmp_path, monkeypatch, algorithm):
    nothing = tmp_path / "none"
    nothing.mkdir()
    reports = []
    for number, shard_bytes in (("1", 15_000), ("2", 15_000), ("1", 1 << 20)):
        corpus = write_corpus(tmp_path / f"corpus-{shard_bytes}", shard_bytes)
        monkeypatch.setenv("KAJIYA_WORKERS", number)
        out = tmp_path / str(len(reports))
        out.mkdir()
        wanted = settings(sample_characters=6000, algorithm=algorithm)
        reports.append(run(wanted, corpus, nothing, out=out))
    assert files(tmp_path / "0") == files(tmp_path / "1") == files(tmp_path / "2")
    assert reports[0] == reports[1] == reports[2]
    assert 4500 < reports[0].figures["sample"]["characters"] < 7500


def test_memory_does_not_grow_with_the_corpus(tmp_path):
    """Both corpora fill the sample; the larger has four times the shards."""
    text = "".join(f"{chr(0x4E00 + i)}の町には{chr(0x4E00 + 7 * i % 900)}がある。" for i in range(900))
    about = {"source": "web", "license": "CC0-1.0", "generator": "human", "language": "ja"}
    (tmp_path / "none").mkdir()
    peaks = []
    for times in (1, 4):
        corpus = tmp_path / f"corpus-{times}"
        records = ({"id": f"web:{i}", "text": text, **about} for i in range(400 * times))
        write_dataset(records, corpus, shard_bytes=4 << 20)
        out = tmp_path / f"tokenizer-{times}"
        code = (
            "import resource, sys; from pathlib import Path\n"
            "from components.tokenizer import TokenizerSettings, run; from kajiya.stage import execute\n"
            "corpus, nothing, out = map(Path, sys.argv[1:])\n"
            "execute(run, TokenizerSettings(vocabulary_size=1500, sample_characters=100_000, algorithm='bpe',\n"
            "    check_strings=100, character_coverage=1.0), [corpus, nothing], out)\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        command = [sys.executable, "-c", code, str(corpus), str(tmp_path / "none"), str(out)]
        environment = os.environ | {"KAJIYA_WORKERS": "1", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
        peaks.append(int(done.stdout.split()[-1]))
    corpus_kilobytes = 400 * len(text) * 3 // 1024
    assert peaks[1] - peaks[0] < corpus_kilobytes  # three times as much more was read


def test_vocabulary_larger_than_the_text_names_the_size_that_works(tmp_path):
    with pytest.raises(KajiyaError, match=r"vocabulary_size 30000 .* Set it to \d+ at most"):
        train_model(as_sample(tmp_path, texts()), settings(vocabulary_size=30_000))


def test_bpe_vocabulary_larger_than_the_text_says_so(tmp_path):
    with pytest.raises(KajiyaError, match=r"vocabulary_size 30000 .* bring more text"):
        train_model(as_sample(tmp_path, texts()), settings(vocabulary_size=30_000, algorithm="bpe"))


def test_vocabulary_smaller_than_the_characters_says_so(tmp_path):
    many = ["".join(chr(0x4E00 + i) for i in range(start, start + 50)) for start in range(0, 2000, 50)]
    with pytest.raises(KajiyaError, match=r"vocabulary_size 600 is less than the \d+"):
        train_model(as_sample(tmp_path, many), settings(vocabulary_size=600, character_coverage=1.0))


def test_fast_form_that_differs_is_an_error_with_the_string(tokenizer, tmp_path):
    sample = as_sample(tmp_path, [text.replace("で", "デ") for text in texts()])
    with pytest.raises(KajiyaError, match=r"differs from SentencePiece on \d+ of \d+ strings"):
        check_identity(train_model(sample, settings()), tokenizer, {"wiki": texts()})


def test_tokenizer_that_loses_text_is_an_error(folder):
    lossy = load_tokenizer(folder)
    lossy.decoder = decoders.Fuse()  # ▁ stays ▁
    with pytest.raises(KajiyaError, match="loses text"):
        check_round_trip(lossy, {"wiki": texts()})


def test_hard_strings_hold_code_tables_and_runs():
    together = "".join(HARD_STRINGS)
    assert all(part in together for part in ("\n\t\t", "    if", "|--", " " * 40, "</s>", "\r\n"))


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
