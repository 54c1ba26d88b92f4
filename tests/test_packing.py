import json

import numpy as np
import pytest
from tiny_corpus import write_corpus, write_tokenizer

from components.tokenize import run
from components.tokenize.settings import TokenizeSettings
from kajiya.errors import KajiyaError
from kajiya.lm.packing import TokenDataset, order, positions


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    base = tmp_path_factory.mktemp("packing")
    corpus = write_corpus(base / "corpus")
    tokenizer = write_tokenizer(base / "tokenizer", corpus)
    (base / "tokens").mkdir()
    (base / "work").mkdir()
    run(TokenizeSettings(), corpus, tokenizer, out=base / "tokens", work=base / "work")
    return base / "tokens"


@pytest.mark.parametrize("n", [1, 2, 3, 10, 64, 65, 1000])
def test_order_holds_every_sequence_once(n):
    assert sorted(order(7, 0, n).tolist()) == list(range(n))


def test_order_of_another_epoch_or_seed_differs():
    orders = {tuple(order(seed, epoch, 50).tolist()) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


def test_order_asked_at_one_place_equals_the_whole():
    whole = order(3, 2, 1000)
    assert order(3, 2, 1000, at=[0, 999, 17]).tolist() == whole[[0, 999, 17]].tolist()


def test_order_puts_each_sequence_everywhere_equally_often():
    counts = np.zeros((10, 10))
    for seed in range(500):
        counts[np.arange(10), order(seed, 0, 10)] += 1
    # 81 degrees of freedom: chi-squared stays below 126 in 999 of 1,000 fair draws.
    assert ((counts - 50) ** 2 / 50).sum() < 126


def test_order_is_the_same_in_every_version():
    assert order(1, 0, 10).tolist() == [4, 3, 2, 7, 8, 6, 1, 0, 9, 5]


def test_order_asked_beyond_its_end_is_an_error():
    with pytest.raises(IndexError):
        order(0, 0, 5, at=5)


def test_sequences_predict_every_token_once(tokens):
    dataset = TokenDataset(tokens, "train", context=16)
    labels = np.concatenate([dataset.sequence(i)[1:] for i in range(len(dataset))])
    assert labels.tolist() == dataset.token_ids[1 : len(dataset) * 16 + 1].tolist()
    assert len(dataset.token_ids) - len(labels) <= 16


def test_positions_restart_after_each_document():
    inputs = np.array([[5, 6, 1, 7, 8, 1, 1, 9]])
    assert positions(inputs, end_of_sequence=1).tolist() == [[0, 1, 2, 0, 1, 2, 0, 0]]


def test_context_longer_than_the_array_is_an_error(tokens):
    with pytest.raises(KajiyaError, match="do not fill one sequence"):
        TokenDataset(tokens, "train", context=10_000_000)


def test_broken_array_is_an_error_naming_the_file(tmp_path):
    (tmp_path / "tokens.json").write_text(json.dumps({"end_of_sequence": 1}))
    (tmp_path / "train.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(KajiyaError, match=r"train\.npy: not a readable"):
        TokenDataset(tmp_path, "train", context=8)
