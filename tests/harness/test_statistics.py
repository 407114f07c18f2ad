"""Intervals and tests agree with scipy and with Holm's procedure worked by hand; a winner needs evidence."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.statistics import clopper_pearson, holm, paired_p, t_interval, verdict

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


def test_differences_without_spread():
    assert paired_p([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == 1.0
    assert paired_p([2.0, 3.0, 4.0], [1.0, 2.0, 3.0]) == 0.0


CLEAR = {
    "gpt": {1: 1.50, 2: 1.51, 3: 1.49},
    "t5": {1: 1.70, 2: 1.72, 3: 1.69},
    "bert": {1: 2.40, 2: 2.43, 3: 2.41},
}


def judge(results, lower_is_better=True, minimum=0.01, **options):
    return verdict(results, lower_is_better=lower_is_better, minimum=minimum, **options)


def test_a_clear_winner_is_named_in_either_direction():
    assert judge(CLEAR).winners == ("gpt",)
    assert judge(CLEAR, lower_is_better=False).winners == ("bert",)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"gpt": {1: 1.5}, "t5": {1: 1.7}, "bert": {1: 2.4}}, "1 seed, 3 needed"),
        ({"gpt": {1: 1.5, 2: 1.51}, "t5": {1: 1.7, 2: 1.72}, "bert": {1: 2.4, 2: 2.43}}, "2 seeds, 3 needed"),
        ({"bert": {1: 2.40, 2: math.nan, 3: 2.41}}, "bert has no result for seed 2"),
        ({"bert": {1: 2.40, 3: 2.41}}, "bert has no result for seed 2"),
        ({"t5": {1: 1.505, 2: 1.515, 3: 1.495}}, "gpt is ahead of t5 by 0.005"),
        ({"t5": {1: 1.49, 2: 2.00, 3: 1.60}}, "gpt against t5, Holm-adjusted p ="),
    ],
)
def test_no_winner_and_the_reason(change, reason):
    judged = judge(CLEAR | change)
    assert judged.winners == ()
    assert judged.reason.startswith("no winner named: ")
    assert reason in judged.reason


def test_a_lone_row_wins_nothing():
    assert judge({"gpt": CLEAR["gpt"]}).reason == "no winner named: nothing to compare with"


def test_rows_that_saw_different_things_are_never_compared():
    saw = {"gpt": "the left only", "t5": "both sides", "bert": "both sides"}
    judged = judge(CLEAR, may_compare=saw)
    assert judged.winners == ("t5",)
    assert "among those that saw both sides" in judged.reason
    assert "left" not in judged.reason


def test_equal_architectures_rarely_have_a_winner():
    rng = np.random.default_rng(0)
    named = sum(
        bool(judge({a: dict(enumerate(rng.normal(size=5))) for a in "wxyz"}, minimum=0.0).winners)
        for _ in range(300)
    )
    assert named / 300 <= 0.05
