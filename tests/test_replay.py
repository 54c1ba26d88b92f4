"""Replay: which sequences are in the pool, what each step takes from it, and that none is lost or repeated."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from test_pretrain import small, write_tokens

from components.pretrain.batches import Batches
from components.pretrain.monitor import make_batches
from components.pretrain.replay import ReplaySettings, check_plan, largest_share, make_pools, taken
from kajiya.errors import KajiyaError
from kajiya.lm.packing import TokenDataset

CONTEXT = 10


def dataset_of(folder, lengths):
    """Documents of (source, tokens), one after the other."""
    folder.mkdir()
    ends = np.cumsum([length for _, length in lengths])
    np.save(folder / "train.npy", np.zeros(ends[-1], np.uint16))
    spans = {
        "start": ends - [length for _, length in lengths],
        "end": ends,
        "source": [s for s, _ in lengths],
    }
    pq.write_table(pa.table(spans), folder / "train.spans.parquet")
    (folder / "tokens.json").write_text(json.dumps({"vocabulary_size": 64, "end_of_sequence": 2}))
    return TokenDataset(folder, "train", CONTEXT)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return TokenDataset(write_tokens(tmp_path_factory.mktemp("tokens") / "t"), "train", 16)


@pytest.fixture(scope="module")
def pools(dataset):
    return make_pools(dataset, ["diet"])


def batches_of(dataset, pools, schedule):
    batches = Batches(dataset, seed=3, batch=16, micro=4, pools=pools)
    batches.schedule = schedule
    return batches


def test_sequence_belongs_to_the_source_that_owns_most_of_its_labels(tmp_path):
    # Labels of sequence i: tokens 10i+1 ... 10i+10. web owns 3, 5 and 8 of them; in the second it ties with
    # nobody: en 3, ja 2.
    lengths = [("ja", 8), ("web", 3), ("en", 3), ("ja", 2), ("web", 13), ("en", 2)]
    pools = make_pools(dataset_of(tmp_path / "t", lengths), ["web"])
    assert (pools.others.tolist(), pools.replayed.tolist()) == ([0], [1, 2])
    assert pools.purity == pytest.approx((5 + 8) / 20)


def test_several_sources_make_one_pool_by_the_owner_of_most(tmp_path):
    lengths = [("ja", 5), ("en", 3), ("code", 3), ("ja", 10)]
    dataset = dataset_of(tmp_path / "t", lengths)  # of the first, ja has 4, en and code 3 each
    with pytest.raises(KajiyaError, match="0 of 2 training sequences are mostly of en, code"):
        make_pools(dataset, ["en", "code"])


def test_source_without_tokens_is_named(dataset):
    with pytest.raises(KajiyaError, match=r"english has no training tokens. There are: diet, wikipedia"):
        make_pools(dataset, ["english"])


@pytest.mark.parametrize("share", [0.0, 0.1, 1 / 3, 0.9])
def test_share_is_kept_at_every_step_to_less_than_a_sequence(dataset, pools, share):
    batches = batches_of(dataset, pools, [(0, share)])
    read = 0
    for step in range(30):
        read += np.isin(batches.sequence_indices(step), pools.replayed).sum()
        assert abs(read - (step + 1) * 16 * share) <= 1


def test_changes_of_share_lose_and_repeat_nothing_within_an_epoch_of_a_pool(dataset, pools):
    batches = batches_of(dataset, pools, [(0, 0.1), (5, 0.6), (9, 0.25), (10, 0.7)])
    seen = np.concatenate([batches.sequence_indices(step) for step in range(60)])
    for pool in (pools.replayed, pools.others):
        walked = seen[np.isin(seen, pool)]
        assert len(walked) > len(pool)
        for start in range(0, len(walked) - len(pool), len(pool)):
            # A step mixes what it draws, so the border of an epoch may stand anywhere in it.
            counts = np.unique(walked[start : start + len(pool)], return_counts=True)[1]
            assert counts.max() <= 2
        counts = np.bincount(walked, minlength=249)[pool]
        assert counts.max() - counts.min() <= 1


def test_step_does_not_hang_on_what_was_asked_before_nor_on_later_changes(dataset, pools):
    batches = batches_of(dataset, pools, [(0, 0.1), (5, 0.6)])
    later = batches_of(dataset, pools, [(0, 0.1), (5, 0.6), (20, 0.3)])
    backwards = [batches.sequence_indices(step).tolist() for step in reversed(range(20))]
    assert backwards[::-1] == [later.sequence_indices(step).tolist() for step in range(20)]


def test_schedule_survives_json(dataset, pools):
    batches = batches_of(dataset, pools, [(0, 0.1), (7, 1 / 3)])
    again = batches_of(dataset, pools, json.loads(json.dumps(batches.schedule)))
    assert again.schedule == batches.schedule
    assert np.array_equal(again.sequence_indices(11), batches.sequence_indices(11))


def test_schedule_that_does_not_begin_at_the_start_is_refused(dataset, pools):
    with pytest.raises(ValueError, match="begins at step 0"):
        batches_of(dataset, pools, [(5, 0.1)])


def test_without_replay_the_order_is_that_of_one_pool(dataset):
    assert make_batches(small(), dataset).pools is None


def test_share_left_out_is_the_natural_one(dataset, pools):
    batches = make_batches(small(replay={"sources": ["diet"]}), dataset)
    assert batches.schedule == ((0, round(len(pools.replayed) / 249, 6)),)


def test_replay_of_more_than_max_epochs_is_refused_with_the_numbers(pools):
    settings = ReplaySettings(sources=("diet",), share=0.9)
    with pytest.raises(
        KajiyaError, match=r"read the 119 sequences of the pool `replayed` 4.84 times, but max_epochs is 4"
    ):
        check_plan(settings, pools, batch=16, steps=40, max_epochs=4)
    check_plan(settings, pools, batch=16, steps=40, max_epochs=5)


def test_largest_share_lasts_to_the_end_and_no_longer(pools):
    schedule = [(0, 0.1), (10, 0.1)]
    largest = largest_share(pools, schedule, batch=16, steps=100, max_epochs=2)
    assert taken([(0, 0.1), (10, largest)], 16, 100) == pytest.approx(2 * 119, abs=1)


@pytest.mark.parametrize(
    ("values", "message"), [({"sources": []}, "sources"), ({"share": 1.0}, "less than 1")]
)
def test_replay_settings_out_of_range_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        ReplaySettings.model_validate({"sources": ["english"]} | values)
