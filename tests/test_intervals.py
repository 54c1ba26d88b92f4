"""An interval holds the truth about 95 times in 100 draws, and is exact where a formula is known."""

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap

from kajiya.intervals import (
    Interval,
    balanced,
    bootstrap,
    classes,
    estimate,
    mean,
    mean_interval,
    mean_of_means,
    wilson,
)

DRAWS_OF_ITEMS = 250
# Of 250 draws 95 % are 237.5; four standard deviations (of 3.4) below and above.
FEWEST, MOST = 224, 250


def held(truth, intervals) -> int:
    return sum(interval.holds(truth) for interval in intervals)


def f1_values(generator, count, good=0.7):
    """As character F1 of a model comes: many ones, some zeros, and some between."""
    between = generator.beta(0.5, 2, count) * (generator.random(count) < 0.5)
    return np.where(generator.random(count) < good, 1.0, between)


F1_TRUTH = 0.7 + 0.3 * 0.5 * 0.2


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17, table I: Wilson without continuity correction.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_bounds(hits, n, low, high):
    interval = wilson(hits, n)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


@pytest.mark.parametrize(("share", "n"), [(0.02, 100), (0.3, 30), (0.5, 300), (0.97, 100)])
def test_wilson_holds_the_truth_at_any_share(share, n):
    hits = np.random.default_rng(5).binomial(n, share, 4000)
    assert 0.92 < held(share, [wilson(int(k), n) for k in hits]) / 4000 < 0.985


def test_wilson_of_all_hits_and_of_none_ends_at_the_share():
    assert wilson(7, 7).high == 1.0
    assert wilson(0, 7).low == 0.0
    assert wilson(0, 7).high > 0.3


@pytest.mark.parametrize(("hits", "n"), [(1, 0), (8, 7), (-1, 7)])
def test_wilson_of_what_is_no_share_is_an_error(hits, n):
    with pytest.raises(ValueError, match="no share"):
        wilson(hits, n)


def test_bootstrap_of_a_skewed_mean_holds_the_truth():
    generator = np.random.default_rng(1)
    intervals = [bootstrap(f1_values(generator, 60), mean, seed) for seed in range(DRAWS_OF_ITEMS)]
    assert FEWEST <= held(F1_TRUTH, intervals) <= MOST


def test_bootstrap_of_a_skewed_mean_agrees_with_scipy():
    values = f1_values(np.random.default_rng(0), 80)
    theirs = scipy_bootstrap((values,), np.mean, n_resamples=10_000, method="BCa", random_state=1)
    ours, other = bootstrap(values, mean, 1), theirs.confidence_interval
    assert (ours.low, ours.high) == pytest.approx((other.low, other.high), abs=0.01)


def test_bootstrap_of_several_tasks_holds_the_mean_of_their_means():
    generator = np.random.default_rng(2)

    def tasks():
        return [(generator.random(40) < 0.8) * 1.0, f1_values(generator, 80)]

    intervals = [bootstrap(tasks(), mean_of_means, seed) for seed in range(DRAWS_OF_ITEMS)]
    assert FEWEST <= held((0.8 + F1_TRUTH) / 2, intervals) <= MOST


def test_bootstrap_of_several_tasks_counts_every_task_alike():
    large, small = [0.0, 0.2] * 500, [1.0, 0.8]
    assert estimate(mean_of_means([large, small])) == pytest.approx(0.5)
    together = bootstrap([large, small], mean_of_means, 3)
    alone = bootstrap(small, mean, 3)
    assert together.high - together.low == pytest.approx((alone.high - alone.low) / 2, rel=0.1)


def test_mean_of_full_marks_is_not_known_exactly_and_of_one_task_is_its_own_interval():
    full = mean_interval([1.0, 1.0], [wilson(5, 5), wilson(8, 8)])
    assert full.high == 1.0
    assert wilson(5, 5).low < full.low < 0.9
    one = mean_interval([0.5], [wilson(2, 4)])
    assert (one.low, one.high) == pytest.approx((wilson(2, 4).low, wilson(2, 4).high))


def test_bootstrap_of_hits_agrees_with_wilson():
    hits = [1.0] * 160 + [0.0] * 40
    drawn, exact = bootstrap(hits, mean, 4), wilson(160, 200)
    assert (drawn.low, drawn.high) == pytest.approx((exact.low, exact.high), abs=0.01)


def test_bootstrap_with_one_seed_is_the_same_and_does_not_depend_on_the_order_of_few_values():
    values = [0.0, 1.0, 1.0, 0.5] * 10
    assert bootstrap(values, mean, 7) == bootstrap(sorted(values), mean, 7)
    assert bootstrap(values, mean, 7) != bootstrap(values, mean, 8)


def test_bootstrap_of_a_large_task_draws_whole_items():
    """More values than fit one index array: the interval is that of the normal approximation."""
    values = np.random.default_rng(6).random(3000)
    interval, half = bootstrap(values, mean, 1), 1.96 * values.std() / np.sqrt(3000)
    assert (interval.low, interval.high) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=half / 10
    )


def test_bootstrap_of_equal_values_is_the_value():
    assert bootstrap([0.25] * 9, mean, 1) == Interval(0.25, 0.25)


def test_balanced_accuracy_interval_holds_the_truth_for_unbalanced_classes():
    generator = np.random.default_rng(3)
    right = np.r_[np.zeros(200), np.ones(20)]
    intervals = [
        balanced(right, np.where(right == 0, generator.random(220) < 0.02, generator.random(220) < 0.6))
        for _ in range(DRAWS_OF_ITEMS * 4)
    ]
    assert FEWEST * 4 <= held((0.98 + 0.6) / 2, intervals) <= MOST * 4


def test_balanced_accuracy_of_one_word_for_all_holds_chance():
    right = ["entailment"] * 10 + ["neutral"] * 10 + ["contradiction"] * 5
    interval = balanced(right, ["entailment"] * 25)
    assert interval.low < 1 / 3 < interval.high


def test_balanced_accuracy_is_the_mean_within_the_right_labels():
    assert estimate(classes(["a", "a", "a", "b"], [1, 1, 0, 0])) == pytest.approx(1 / 3)


def test_interval_in_points():
    assert Interval(0.25, 0.5).times(100) == Interval(25.0, 50.0)
