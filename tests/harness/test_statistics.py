"""Intervals and tests agree with scipy, and with what was worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.statistics.inference import clopper_pearson, holm, paired_p, paired_p_everywhere, t_interval

numbers = st.floats(-100, 100).map(lambda x: round(x, 3))


@given(st.lists(numbers, min_size=2, max_size=12).filter(lambda x: len(set(x)) > 1))
def test_t_interval_is_scipys(values):
    expected = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert t_interval(values) == pytest.approx(tuple(expected))


def test_one_seed_has_no_interval():
    assert t_interval([1.5]) is None


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_clopper_pearson_is_scipys(case):
    solved, runs = case
    expected = stats.binomtest(solved, runs).proportion_ci(0.95, method="exact")
    assert clopper_pearson(solved, runs) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(("solved", "runs"), [(1, 0), (3, 2), (-1, 2)])
def test_impossible_proportions_are_refused(solved, runs):
    with pytest.raises(ValueError, match="successes="):
        clopper_pearson(solved, runs)


def test_holm_by_hand():
    # sorted 0.01 0.02 0.03 0.04, times 4 3 2 1: 0.04 0.06 0.06 0.04, made monotone: 0.04 0.06 0.06 0.06
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
def test_holm_lies_between_none_and_bonferroni(p):
    for raw, adjusted in zip(p, holm(p), strict=True):
        assert raw <= adjusted <= min(1.0, len(p) * raw) + 1e-12


@given(st.lists(st.tuples(numbers, numbers), min_size=3, max_size=8))
def test_paired_p_is_scipys(pairs):
    a, b = map(list, zip(*pairs, strict=True))
    difference = np.subtract(a, b)
    if np.ptp(difference) < 1e-6:
        return
    assert paired_p(a, b) == pytest.approx(stats.ttest_rel(a, b).pvalue)


def test_many_pairs_at_once_are_as_one_by_one():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 30, 4))
    b[:3] = a[:3] - [[0.0], [1.0], [2.0]]
    error = np.where(np.arange(30) % 2, rng.uniform(0.1, 1, size=30), np.nan)
    clusters = rng.integers(10, 90, size=30)
    together = paired_p_everywhere(a, b, error, clusters)
    alone = [paired_p_everywhere(*each) for each in zip(a, b, error, clusters, strict=True)]
    assert together == pytest.approx(np.array(alone))
    assert together[::2] == pytest.approx(paired_p(a, b)[::2])  # where no error is known


def test_differences_without_spread():
    assert paired_p([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == 1.0
    assert paired_p([2.0, 3.0, 4.0], [1.0, 2.0, 3.0]) == 0.0


@given(st.lists(st.tuples(numbers, numbers), min_size=3, max_size=8), st.floats(0.01, 100))
def test_a_test_sets_error_only_takes_certainty_away(pairs, error):
    a, b = map(list, zip(*pairs, strict=True))
    alone, everywhere = paired_p(a, b), paired_p_everywhere(a, b, error, 50)
    assert 0 <= alone <= everywhere <= 1
    assert paired_p_everywhere(a, b, 0.0, 50) == alone


def test_the_test_with_both_errors_by_hand():
    # differences 1 2 3: mean 2, variance of the mean 1/3; error 1: t = 2 / sqrt(4/3), and with 2 and 10
    # degrees of freedom (16/9) / ((1/9)/2 + 1/10) = 11.43 of them
    expected = 2 * stats.t.sf(math.sqrt(3), (16 / 9) / (1 / 18 + 1 / 10))
    assert paired_p_everywhere([1, 2, 3], [0, 0, 0], 1.0, 11) == pytest.approx(expected)


def test_seeds_without_spread_are_as_sure_as_the_test_set():
    assert paired_p_everywhere([1, 1, 1], [0, 0, 0], 0.5, 31) == pytest.approx(2 * stats.t.sf(2, 30))


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("skew", [0.0, 0.5])
def test_intervals_cover_the_mean(seeds, skew):
    rng = np.random.default_rng(seeds)
    draws = stats.pearson3.rvs(skew, size=(4000, seeds), random_state=rng)
    covered = [low <= 0 <= high for low, high in map(t_interval, draws)]
    assert 0.93 <= np.mean(covered) <= 0.97
