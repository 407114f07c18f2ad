"""Friedman's test is scipy's, the critical difference that of the published table, cliques by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.statistics.ranks import cliques, critical_difference, friedman_p, ranking

# q of the two-tailed Nemenyi test at 0.05 and 0.1: Demsar 2006, table 5(a)
PUBLISHED = {
    0.05: {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164},
    0.10: {2: 1.645, 3: 2.052, 4: 2.291, 5: 2.459, 6: 2.589, 7: 2.693, 8: 2.780, 9: 2.855, 10: 2.920},
}
# Demsar 2006, table 6: AUC of four variants of C4.5 on fourteen data sets
AUC = {
    "C4.5": (
        0.763,
        0.599,
        0.954,
        0.628,
        0.882,
        0.936,
        0.661,
        0.583,
        0.775,
        1.000,
        0.940,
        0.619,
        0.972,
        0.957,
    ),
    "C4.5+m": (
        0.768,
        0.591,
        0.971,
        0.661,
        0.888,
        0.931,
        0.668,
        0.583,
        0.838,
        1.000,
        0.962,
        0.666,
        0.981,
        0.978,
    ),
    "C4.5+cf": (
        0.771,
        0.590,
        0.968,
        0.654,
        0.886,
        0.916,
        0.609,
        0.563,
        0.866,
        1.000,
        0.965,
        0.614,
        0.9751,
        0.946,
    ),
    "C4.5+m+cf": (
        0.798,
        0.569,
        0.967,
        0.657,
        0.898,
        0.931,
        0.685,
        0.625,
        0.875,
        1.000,
        0.962,
        0.669,
        0.975,
        0.970,
    ),
}


def by_task(table):
    tasks = len(next(iter(table.values())))
    return {f"task {i}": {row: values[i] for row, values in table.items()} for i in range(tasks)}


@pytest.mark.parametrize("alpha", PUBLISHED)
def test_critical_differences_are_the_published_ones(alpha):
    for rows, q in PUBLISHED[alpha].items():
        tasks = 14
        expected = q * math.sqrt(rows * (rows + 1) / (6 * tasks))
        assert critical_difference(rows, tasks, alpha) == pytest.approx(expected, abs=1e-3)


def test_the_published_example():
    found = ranking(by_task(AUC), True, 0.1)
    assert {row: round(rank, 3) for row, rank in found.mean_ranks.items()} == {
        "C4.5+m+cf": 1.964, "C4.5+m": 2.0, "C4.5+cf": 2.893, "C4.5": 3.143,
    }  # fmt: skip
    assert found.critical_difference == pytest.approx(2.291 * math.sqrt(20 / 84), abs=1e-3)
    assert found.p == pytest.approx(stats.friedmanchisquare(*AUC.values()).pvalue)
    assert found.cliques == (("C4.5+m+cf", "C4.5+m", "C4.5+cf"), ("C4.5+cf", "C4.5"))


@given(st.integers(3, 6), st.integers(4, 12), st.integers(0, 1000))
def test_friedman_is_scipys_in_either_direction(rows, tasks, seed):
    scores = np.random.default_rng(seed).integers(0, 5, size=(tasks, rows)).astype(float)
    table = {str(t): dict(zip("abcdef", map(float, row), strict=False)) for t, row in enumerate(scores)}
    if np.all(scores == scores[:, :1]):
        return
    up, down = ranking(table, True), ranking(table, dict.fromkeys(table, False))
    assert up.p == pytest.approx(stats.friedmanchisquare(*scores.T).pvalue)
    assert down.p == pytest.approx(up.p)
    assert sum(up.mean_ranks.values()) == pytest.approx(rows * (rows + 1) / 2)
    for row, rank in up.mean_ranks.items():
        assert rank + down.mean_ranks[row] == pytest.approx(rows + 1)


def test_where_friedmans_test_rejects_nothing_all_rows_are_one_clique():
    """Even where two lie further apart than the critical difference."""
    scores = {str(t): {"a": 0.9, "b": 0.5, "c": 0.4} for t in range(5)}
    assert ranking(scores).cliques == (("a", "b"), ("b", "c"))
    doubted = ranking(scores, alpha=0.005)
    assert doubted.p > 0.005
    assert doubted.mean_ranks["c"] - doubted.mean_ranks["a"] > doubted.critical_difference
    assert doubted.cliques == (("a", "b", "c"),)
    assert "no difference between any rows is shown" in doubted.text


def test_all_tied_rows_do_not_differ():
    assert friedman_p(np.full((5, 3), 2.0)) == 1.0
    found = ranking({str(t): dict.fromkeys("abc", 1.0) for t in range(5)})
    assert found.cliques == (("a", "b", "c"),)


@pytest.mark.parametrize(
    ("ranks", "distance", "groups"),
    [
        ({"a": 1, "b": 2, "c": 3}, 0.5, ()),
        ({"a": 1, "b": 2, "c": 3}, 1.0, (("a", "b"), ("b", "c"))),
        ({"a": 1, "b": 1.2, "c": 3, "d": 3.1}, 1.0, (("a", "b"), ("c", "d"))),
        ({"a": 1, "b": 2, "c": 2.5, "d": 5}, 2.0, (("a", "b", "c"),)),
    ],
)
def test_cliques_by_hand(ranks, distance, groups):
    assert cliques(ranks, distance) == groups


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ({str(t): {"a": 1.0, "b": 2.0} for t in range(6)}, "rows to rank are 2, 3 needed"),
        (
            {str(t): {"a": 1.0, "b": 2.0, "c": 3.0} for t in range(3)},
            "they need 4 tasks with a score in every row, here are 3",
        ),
        (
            {str(t): {"a": 1.0, "b": 2.0, "c": None if t else math.nan} for t in range(4)},
            "with a score in every row, here are 0 (left out, where a row has no score: 0, 1, 2, 3)",
        ),
        ({}, "rows to rank are 0"),
    ],
)
def test_too_little_to_rank_is_said(scores, reason):
    assert reason in ranking(scores)


def test_a_task_without_all_rows_is_left_out_and_named():
    table = {str(t): {"a": 1.0 + t, "b": 2.0 + t, "c": 3.0 + t} for t in range(5)} | {
        "half": {"a": 1.0, "b": 2.0}
    }
    found = ranking(table, False)
    assert found.tasks == ("0", "1", "2", "3", "4")
    assert "where a row has no score: half" in found.text
    assert list(found.mean_ranks) == ["a", "b", "c"]
