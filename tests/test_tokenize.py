import json
import shutil
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
from tiny_corpus import documents, write_corpus, write_tokenizer
from tokenizers import processors

from components.tokenize import run
from components.tokenize.encode import encode_shards, read_index
from components.tokenize.mixture import plan, repetitions
from components.tokenize.settings import TokenizeSettings
from components.tokenize.write import write_split
from kajiya.errors import KajiyaError
from kajiya.lm.tokenizer import load_tokenizer
from kajiya.records import TOKEN_SPAN
from kajiya.shards import list_shards, write_dataset

TEXTS = {document["id"]: document["text"] for document in documents()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def tokenizer(corpus, tmp_path_factory):
    return write_tokenizer(tmp_path_factory.mktemp("models") / "tokenizer", corpus)


@pytest.fixture(scope="module")
def index(corpus, tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    tokenize(corpus, tokenizer, folder)
    return read_index(folder / "work", 1)


def tokenize(corpus, tokenizer, folder, **settings):
    for name in ("out", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    report = run(TokenizeSettings(**settings), corpus, tokenizer, out=folder / "out", work=folder / "work")
    report.check()
    return report


def spans(folder, split):
    return pq.read_table(folder / "out" / f"{split}.spans.parquet").to_pylist()


def files(folder):
    return {path.name: path.read_bytes() for path in (folder / "out").iterdir()}


def test_spans_cover_the_array_and_lead_back_to_the_texts(corpus, tokenizer, tmp_path):
    tokenize(corpus, tokenizer, tmp_path, validation_share=0.1)
    decoder = load_tokenizer(tokenizer)
    for split in ("train", "validation"):
        array = np.load(tmp_path / "out" / f"{split}.npy")
        rows = spans(tmp_path, split)
        assert [row["start"] for row in rows] == [0, *(row["end"] for row in rows[:-1])]
        assert rows[-1]["end"] == len(array)
        for row in rows:
            *ids, ending = array[row["start"] : row["end"]].tolist()
            assert ending == decoder.token_to_id("</s>")
            assert decoder.decode(ids) == TEXTS[row["document_id"]]
    assert pq.read_schema(tmp_path / "out" / "train.spans.parquet") == TOKEN_SPAN


def test_tokenizer_that_begins_texts_with_a_token_gets_it_before_every_document(corpus, tokenizer, tmp_path):
    shutil.copytree(tokenizer, tmp_path / "tokenizer")
    llama = load_tokenizer(tokenizer)
    llama.post_processor = processors.TemplateProcessing(single="<pad> $A", special_tokens=[("<pad>", 2)])
    llama.save(str(tmp_path / "tokenizer" / "tokenizer.json"))

    tokenize(corpus, tmp_path / "tokenizer", tmp_path, validation_share=0.1)

    for split in ("train", "validation"):
        array = np.load(tmp_path / "out" / f"{split}.npy")
        for row in spans(tmp_path, split):
            beginning, *ids, ending = array[row["start"] : row["end"]].tolist()
            assert (beginning, ending) == (2, llama.token_to_id("</s>"))
            assert llama.decode(ids) == TEXTS[row["document_id"]]


def test_each_document_is_in_one_split_once(corpus, tokenizer, tmp_path):
    tokenize(corpus, tokenizer, tmp_path, validation_share=0.1)
    used = [row["document_id"] for split in ("train", "validation") for row in spans(tmp_path, split)]
    assert Counter(used) == Counter(list(TEXTS))


def test_facts_count_the_tokens_of_the_arrays(corpus, tokenizer, tmp_path):
    tokenize(corpus, tokenizer, tmp_path)
    facts = json.loads((tmp_path / "out" / "tokens.json").read_text())
    assert facts["vocabulary_size"] == 440
    assert facts["end_of_sequence"] == 1
    for split, sources in facts["tokens"].items():
        assert sum(sources.values()) == len(np.load(tmp_path / "out" / f"{split}.npy"))
        assert set(sources) == {"web", "wiki"}


def test_validation_of_a_tiny_share_still_has_every_source(corpus, tokenizer, tmp_path):
    tokenize(corpus, tokenizer, tmp_path, validation_share=1e-9)
    assert sorted(row["source"] for row in spans(tmp_path, "validation")) == ["web", "wiki"]


def test_order_is_shuffled_by_the_seed(corpus, tokenizer, tmp_path):
    orders = []
    for seed in (0, 1):
        tokenize(corpus, tokenizer, tmp_path / str(seed), seed=seed)
        orders.append([row["document_id"] for row in spans(tmp_path / str(seed), "train")])
    assert orders[0] != orders[1]
    assert orders[0] != sorted(orders[0])


def test_sources_kept_together_follow_the_others_in_the_same_shuffled_order(corpus, tokenizer, tmp_path):
    tokenize(corpus, tokenizer, tmp_path / "a")
    tokenize(corpus, tokenizer, tmp_path / "b", keep_together=("wiki",))
    scattered, together = (
        [(span["source"], span["document_id"]) for span in spans(tmp_path / name, "train")] for name in "ab"
    )
    wiki = [span for span in scattered if span[0] == "wiki"]
    assert together == [span for span in scattered if span[0] != "wiki"] + wiki
    assert scattered != together
    with pytest.raises(KajiyaError, match=r"keep_together names wikipedia.*It holds web, wiki"):
        tokenize(corpus, tokenizer, tmp_path / "c", keep_together=("wikipedia",))


def test_other_shards_and_workers_give_the_same_bytes(corpus, tokenizer, tmp_path, monkeypatch):
    weights = {"web": 0.6, "wiki": 0.4}
    tokenize(corpus, tokenizer, tmp_path / "one", weights=weights)
    shards = write_corpus(tmp_path / "corpus", shard_bytes=10_000)
    assert len(list(shards.iterdir())) > 1
    monkeypatch.setenv("KAJIYA_WORKERS", "2")
    tokenize(shards, tokenizer, tmp_path / "many", weights=weights)
    assert files(tmp_path / "one") == files(tmp_path / "many")


def test_run_after_a_crash_gives_the_same_bytes(corpus, tokenizer, tmp_path):
    tokenize(corpus, tokenizer, tmp_path / "whole")
    crashed = tmp_path / "crashed"
    shutil.copytree(tmp_path / "whole" / "work", crashed / "work")
    (crashed / "work" / "part-00000.parquet").unlink()  # killed between the array and its index
    (crashed / "work" / "part-00000.ids").write_bytes(b"half")
    tokenize(corpus, tokenizer, crashed)
    assert files(crashed) == files(tmp_path / "whole")


def test_weights_repeat_one_source_and_draw_from_the_other(corpus, tokenizer, tmp_path):
    report = tokenize(corpus, tokenizer, tmp_path, weights={"web": 0.5, "wiki": 0.5})
    tokens = report.figures["tokens"]["train"]
    assert tokens["web"] / sum(tokens.values()) == pytest.approx(0.5, abs=0.05)
    repeats = Counter(row["document_id"] for row in spans(tmp_path, "train") if row["source"] == "web")
    assert set(repeats.values()) <= {1, 2, 3}
    assert report.figures["repetitions"]["web"] == pytest.approx(2, abs=0.3)
    assert report.flows["wiki"].rejected["mixture"] > 20
    rejected = pq.read_table(tmp_path / "out" / "rejected.parquet").to_pylist()
    assert len(rejected) == report.flows["wiki"].rejected["mixture"] + report.flows["web"].rejected["mixture"]
    assert not {row["document_id"] for row in rejected} & set(repeats)


def test_tokens_wanted_draws_that_many(corpus, tokenizer, tmp_path):
    report = tokenize(corpus, tokenizer, tmp_path, tokens=2000)
    assert sum(report.figures["tokens"]["train"].values()) == pytest.approx(2000, rel=0.15)


def test_validation_is_never_repeated_nor_trained_on(index):
    mixture = plan(index, TokenizeSettings(tokens=60_000, max_epochs=20, validation_share=0.1))
    assert len(set(mixture.validation)) == len(mixture.validation)
    assert not set(mixture.validation) & set(mixture.train)


def test_more_repetitions_than_max_epochs_names_source_and_remedy():
    config = TokenizeSettings(weights={"web": 0.9, "wiki": 0.1}, max_epochs=4)
    with pytest.raises(KajiyaError, match=r"web would be repeated 9.00 times.*`tokens` to 444 at most"):
        repetitions({"web": 100.0, "wiki": 900.0}, config)


def test_tokens_named_by_the_remedy_are_accepted():
    config = TokenizeSettings(weights={"web": 0.9, "wiki": 0.1}, max_epochs=4, tokens=444)
    assert repetitions({"web": 100.0, "wiki": 900.0}, config)["web"] == pytest.approx(4, abs=0.01)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"web": 1.0}, "no weight for wiki"),
        ({"web": 0.5, "wiki": 0.3, "diet": 0.2}, "names diet, of which the corpus has no document"),
        ({"web": 0.5, "wiki": 0.4}, "sum to 0.9"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights, message):
    with pytest.raises(KajiyaError, match=message):
        repetitions({"web": 1.0, "wiki": 1.0}, TokenizeSettings(weights=weights))


def test_end_of_sequence_spelt_in_a_text_is_no_border(tokenizer, tmp_path):
    texts = ["終わり</s>ではない。", "<|user|>でもない。"]
    records = [documents()[0] | {"id": f"web:{i}", "text": text} for i, text in enumerate(texts)]
    write_dataset(records, tmp_path / "corpus")
    tokenize(tmp_path / "corpus", tokenizer, tmp_path)
    arrays = [np.load(tmp_path / "out" / f"{split}.npy") for split in ("train", "validation")]
    assert [int((array == 1).sum()) for array in arrays] == [1, 1]


@pytest.mark.parametrize(("size", "dtype"), [(65_535, np.uint16), (65_536, np.uint32)])
def test_array_is_as_wide_as_the_vocabulary_needs(corpus, tokenizer, tmp_path, size, dtype):
    encode_shards(list_shards(corpus), tokenizer, tmp_path, 0, (size, None))
    index = read_index(tmp_path, 1)
    write_split("train", index, np.arange(3), (size, 1), tmp_path, tmp_path)
    array = np.load(tmp_path / "train.npy")
    assert array.dtype == dtype
    assert load_tokenizer(tokenizer).decode(array[: index.lengths[0]].tolist()) == documents()[0]["text"]


def test_empty_corpus_is_an_error(tokenizer, tmp_path):
    write_dataset([], tmp_path / "corpus")
    with pytest.raises(KajiyaError, match="holds no document"):
        tokenize(tmp_path / "corpus", tokenizer, tmp_path)


def test_folder_without_tokenizer_is_an_error(corpus, tmp_path):
    with pytest.raises(KajiyaError, match=r"no tokenizer\.json"):
        tokenize(corpus, tmp_path, tmp_path)
