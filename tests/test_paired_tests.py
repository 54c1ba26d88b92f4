"""Tests of paired differences against values worked out by hand, against scipy, and on simulated models."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest, permutation_test

from kajiya.intervals import mean, mean_of_means
from kajiya.paired_tests import difference_of_shares, holm, mcnemar, share_difference, sign_flips


@pytest.mark.parametrize(
    ("won", "lost", "p"),
    [
        (0, 0, 1.0),
        (3, 3, 1.0),
        (5, 0, 2 / 32),
        (0, 6, 2 / 64),
        (8, 1, 2 * (1 + 9) / 512),
        (10, 2, 2 * (1 + 12 + 66) / 4096),
    ],
)
def test_mcnemar_gives_the_p_value_worked_out_by_hand(won, lost, p):
    assert mcnemar(won, lost) == pytest.approx(p, rel=1e-15)


@pytest.mark.parametrize(("won", "lost"), [(1, 0), (7, 12), (120, 90), (2000, 2210), (30000, 29000)])
def test_mcnemar_gives_the_p_value_of_scipy(won, lost):
    assert mcnemar(won, lost) == pytest.approx(binomtest(won, won + lost).pvalue, rel=1e-9)


def test_mcnemar_of_very_many_items_neither_overflows_nor_fails():
    assert mcnemar(5000, 0) == 0.0


@pytest.mark.parametrize(
    ("better", "worse", "n"), [(0.05, 0.05, 50), (0.12, 0.06, 100), (0.3, 0.1, 400), (0.01, 0.0, 300)]
)
def test_interval_of_a_difference_of_shares_holds_the_truth(better, worse, n):
    drawn = np.random.default_rng(8).multinomial(n, [better, worse, 1 - better - worse], 3000)
    held = [share_difference(int(won), int(lost), n).holds(better - worse) for won, lost, _ in drawn]
    assert 0.93 < np.mean(held) < 0.995


def test_interval_of_a_difference_of_balanced_accuracies_holds_the_truth():
    generator, held = np.random.default_rng(12), 0
    for _ in range(1000):
        common = generator.choice([1.0, -1.0, 0.0], 150, p=[0.1, 0.05, 0.85])
        rare = generator.choice([1.0, -1.0, 0.0], 25, p=[0.02, 0.2, 0.78])
        held += difference_of_shares(mean_of_means([common, rare])).holds((0.05 - 0.18) / 2)
    assert 0.92 < held / 1000 < 0.99


def test_interval_where_no_item_changed_has_a_width():
    interval = share_difference(0, 0, 100)
    assert interval.low == -interval.high
    assert 0.01 < interval.high < 0.04


def test_sign_flips_count_the_ways_to_sign_few_items():
    values = np.array([0.3, 0.1, 0.7, -0.05])
    sums = [
        abs(sum(sign * size for sign, size in zip(signs, values, strict=True)))
        for signs in product((-1, 1), repeat=4)
    ]
    exact = np.mean([total >= abs(values.sum()) - 1e-12 for total in sums])
    assert sign_flips(mean(values), 1) == pytest.approx(exact, abs=0.02)


def test_sign_flips_of_hits_and_misses_agree_with_mcnemar():
    values = np.r_[np.ones(30), -np.ones(14), np.zeros(200)]
    assert sign_flips(mean(values), 1) == pytest.approx(mcnemar(30, 14), abs=0.01)


def test_sign_flips_of_many_different_values_agree_with_the_normal_approximation():
    values = np.random.default_rng(2).normal(0.02, 0.3, 2500)  # more cells than one part holds
    z = values.mean() / (values.std(ddof=1) / 50)
    assert sign_flips(mean(values), 1) == pytest.approx(binormal_tail(z), abs=0.01)


def binormal_tail(z):
    from statistics import NormalDist

    return 2 * NormalDist().cdf(-abs(z))


def test_sign_flips_agree_with_the_permutation_test_of_scipy():
    changes = np.random.default_rng(4).normal(0.03, 0.2, 300)
    theirs = permutation_test(
        (changes, np.zeros(300)),
        lambda one, other, axis: np.mean(one - other, axis=axis),
        permutation_type="samples",
        vectorized=True,
        rng=1,
    )
    assert sign_flips(mean(changes), 1) == pytest.approx(theirs.pvalue, abs=0.01)


def test_sign_flips_without_a_difference_err_once_in_twenty():
    generator = np.random.default_rng(11)
    found = [
        sign_flips(mean_of_means([generator.normal(0, 0.3, 40), generator.normal(0, 0.1, 25)]), seed) < 0.05
        for seed in range(400)
    ]
    assert 5 <= sum(found) <= 38  # 20, and four standard deviations on either side


def test_sign_flips_without_any_change_give_one():
    assert sign_flips(mean([0.0, 0.0, 0.0]), 1) == 1.0


def test_holm_raises_p_values_as_worked_out_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_of_one_question_changes_nothing_and_none_passes_one():
    assert holm([0.2]) == [0.2]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
