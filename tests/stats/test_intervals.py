from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sparsebench.stats.effects import permutation_p
from sparsebench.stats.intervals import (
    bounded_difference_interval,
    difference_interval,
    mean_interval,
    mean_of_intervals,
)
from tests.stats.simulations import ROUNDS


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (7, 20), (81, 263)])
def test_mean_interval_is_wilson_as_scipy_computes_it(right: int, n: int) -> None:
    expected = stats.binomtest(right, n).proportion_ci(method="wilson")
    low, high = mean_interval(right / n, n)
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_mean_interval_matches_the_published_example() -> None:
    # Newcombe 1998 (doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E), table I: 81 of 263.
    low, high = mean_interval(81 / 263, 263)
    assert (round(float(low), 4), round(float(high), 4)) == (0.2553, 0.3662)


def test_no_samples_say_nothing() -> None:
    low, high = mean_interval(0.0, 0)
    assert (low, high) == pytest.approx((0.0, 1.0))


def test_constant_differences_keep_an_honest_width() -> None:
    low, high = difference_interval(np.zeros(20))
    bound = stats.binomtest(0, 20).proportion_ci(method="wilson").high
    assert (low, high) == pytest.approx((-bound, bound))
    low, high = difference_interval(np.full(20, -1.0))
    assert low == -1.0
    assert -1 < high < -0.6


def test_one_pair_is_nearly_no_evidence() -> None:
    low, high = difference_interval(np.array([0.0]))
    assert low < -0.75
    assert high > 0.75


def test_no_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="no pairs"):
        difference_interval(np.zeros((3, 0)))


def test_interval_does_not_depend_on_its_neighbours() -> None:
    d = np.random.default_rng(1).uniform(-1, 1, (4, 30))
    together = np.stack(difference_interval(d), axis=1)
    alone = np.array([difference_interval(row) for row in d])
    assert together == pytest.approx(alone)


@pytest.mark.parametrize("n", [30, 60])
def test_bootstrap_interval_covers_the_truth_as_often_as_it_says(n: int) -> None:
    rng = np.random.default_rng(n)
    u = rng.random((ROUNDS, n))
    d = np.where(u < 0.15, 1.0, np.where(u < 0.55, -1.0, 0.0))
    low, high = difference_interval(d, resamples=1000)
    covered = np.mean((low <= -0.25) & (high >= -0.25))
    assert 0.93 <= covered <= 0.97


def test_bootstrap_interval_covers_continuous_scores() -> None:
    rng = np.random.default_rng(5)
    d = rng.beta(6, 2, (ROUNDS, 60)) - rng.beta(8, 2, (ROUNDS, 60))
    low, high = difference_interval(d, resamples=1000)
    truth = 6 / 8 - 8 / 10
    assert 0.93 <= np.mean((low <= truth) & (high >= truth)) <= 0.97


def test_mean_interval_covers_the_truth_as_often_as_it_says() -> None:
    p = np.random.default_rng(2).uniform(0.05, 0.95, ROUNDS * 4)
    low, high = mean_interval(np.random.default_rng(3).binomial(50, p) / 50, 50)
    assert 0.93 <= np.mean((low <= p) & (p <= high)) <= 0.97


@pytest.mark.parametrize("n", [10, 20, 50])
def test_rare_losses_are_never_understated(n: int) -> None:
    # A percentile bootstrap covers this truth in about n * 2 % of the cases; this one must keep its promise.
    d = -(np.random.default_rng(n).random((ROUNDS, n)) < 0.02).astype(float)
    low, high = difference_interval(d, resamples=500)
    assert np.mean((low <= -0.02) & (high >= -0.02)) >= 0.93


def test_bounded_interval_of_losses_alone() -> None:
    d = np.array([-1.0] * 3 + [0.0] * 17)
    low, high = bounded_difference_interval(d)
    loss = stats.binomtest(3, 20).proportion_ci(method="wilson")
    none = stats.binomtest(0, 20).proportion_ci(method="wilson")
    assert low == pytest.approx(-loss.high)
    assert high == pytest.approx(-0.15 + np.hypot(none.high, 0.15 - loss.low))


def test_mean_of_one_interval_is_itself() -> None:
    assert mean_of_intervals([0.5], [0.3], [0.9]) == pytest.approx((0.3, 0.9))


def test_mean_of_equal_intervals_narrows_by_the_root_of_their_number() -> None:
    low, high = mean_of_intervals([0.5] * 4, [0.3] * 4, [0.7] * 4)
    assert (low, high) == pytest.approx((0.4, 0.6))


@pytest.mark.parametrize("n", [6, 10, 20])
def test_few_samples_are_covered_too(n: int) -> None:
    rng = np.random.default_rng(n)
    even = rng.beta(2, 2, (ROUNDS, n)) - rng.beta(3, 2, (ROUNDS, n))
    skewed = -(rng.random((ROUNDS, n)) < 0.7).astype(float) * rng.beta(1, 3, (ROUNDS, n))
    for d, truth in ((even, 2 / 4 - 3 / 5), (skewed, -0.7 / 4)):
        low, high = difference_interval(d, resamples=1000)
        assert 0.93 <= np.mean((low <= truth) & (high >= truth)) <= 0.99


@pytest.mark.parametrize("n", [12, 40])
def test_permutation_p_is_uniform_under_no_effect(n: int) -> None:
    d = np.random.default_rng(n).normal(0, 0.2, (ROUNDS // 3, n))
    # As many patterns as asked for, and as many as a family of all lines needs, where large p are settled early.
    for p in (permutation_p(list(d), permutations=499, family=1), permutation_p(list(d), permutations=499)):
        assert stats.kstest(p, "uniform").pvalue > 0.001
        assert np.mean(p <= 0.05) <= 0.08


def test_exact_sign_test_never_finds_too_much() -> None:
    d = np.random.default_rng(2).integers(-1, 2, (ROUNDS, 40)).astype(float)
    assert np.mean(permutation_p(list(d)) <= 0.05) <= 0.05 + 0.02


def test_power_is_what_the_binomial_says() -> None:
    """Sparse loses 20 % of the samples and wins none, n = 40: found at 0.05 where 6 or more are lost."""
    d = -(np.random.default_rng(4).random((ROUNDS, 40)) < 0.2).astype(float)
    expected = stats.binom.sf(5, 40, 0.2)
    assert np.mean(permutation_p(list(d)) <= 0.05) == pytest.approx(expected, abs=0.04)
