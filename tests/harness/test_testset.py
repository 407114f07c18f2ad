"""The bootstrap of the test set: scipy's, paired between rows, and right about as often as it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.statistics.testset import (
    CLUSTERS_NEEDED,
    Clusters,
    clusters_of,
    interval,
    joined,
    mean_of,
    paired_errors,
    resample,
)


def drawn(documents, seed=0, scale=0.3):
    rng = np.random.default_rng(seed)
    count = rng.integers(100, 1000, size=documents).astype(float)
    return Clusters(range(documents), count * (2 + scale * rng.normal(size=documents)), count)


def error(a, b):
    return paired_errors([a, b])[0, 1]


def ratio(total, count, axis=-1):
    return total.sum(axis=axis) / count.sum(axis=axis)


@pytest.mark.parametrize("documents", [100, 400])
def test_the_error_is_that_of_scipys_bootstrap(documents):
    clusters = drawn(documents)
    expected = stats.bootstrap(
        (clusters.total, clusters.count), ratio, paired=True, n_resamples=4000, method="percentile",
        rng=np.random.default_rng(1),
    )  # fmt: skip
    assert np.std(clusters.resampled) == pytest.approx(expected.standard_error, rel=0.06)
    low, high = interval(clusters)
    assert low < clusters.value < high
    wanted = expected.confidence_interval
    assert high - low == pytest.approx(
        (wanted.high - wanted.low) * np.sqrt(documents / (documents - 1)), rel=0.1
    )


def test_intervals_of_a_mean_are_as_wide_as_students():
    rng = np.random.default_rng(3)
    for documents in (10, 30):
        values = rng.normal(size=documents)
        low, high = interval(Clusters(range(documents), values, np.ones(documents)))
        expected = stats.t.interval(0.95, documents - 1, loc=values.mean(), scale=stats.sem(values))
        assert high - low == pytest.approx(expected[1] - expected[0], rel=0.1)


def test_intervals_cover_the_truth():
    rng = np.random.default_rng(5)
    covered = []
    for _ in range(400):
        count = rng.lognormal(6, 0.4, size=40)
        low, high = interval(Clusters(range(40), count * rng.gamma(25, 0.1, size=40), count))
        covered.append(low <= 2.5 <= high)
    assert 0.91 <= np.mean(covered) <= 0.98


def test_differences_are_those_of_pairs():
    easy, other = drawn(60), drawn(60, seed=1, scale=0.01)
    shifted = Clusters(easy.names, easy.total + 0.1 * easy.count, easy.count)
    # documents differ, their difference does not
    assert error(easy, shifted) == pytest.approx(0, abs=1e-6)
    values = easy.total / easy.count, other.total / easy.count
    even = [Clusters(easy.names, value, np.ones(60)) for value in values]
    assert error(*even) == pytest.approx(stats.sem(values[0] - values[1]), rel=0.1)


def test_many_at_once_are_as_one_by_one():
    many, alone = ([drawn(20, seed) for seed in range(4)] + [drawn(30)] for _ in range(2))
    resample(many)
    for each, other in zip(many, alone, strict=True):
        assert each.resampled == pytest.approx(other.resampled, rel=1e-5)
    errors = paired_errors([*many, None])
    for i in range(4):
        for j in range(4):
            expected = np.std(alone[i].resampled - alone[j].resampled, ddof=1) * np.sqrt(20 / 19)
            assert errors[i, j] == pytest.approx(expected, abs=1e-6)
    assert np.isnan(errors[5]).all()
    assert np.isnan(errors[4, :4]).all()


def test_other_clusters_are_never_paired():
    renamed = Clusters([f"d{i}" for i in range(60)], drawn(60).total, drawn(60).count)
    assert np.isnan(error(drawn(60), renamed))
    assert mean_of([drawn(60), renamed]) is None
    assert np.isnan(error(drawn(CLUSTERS_NEEDED - 1), drawn(CLUSTERS_NEEDED - 1)))
    assert interval(drawn(CLUSTERS_NEEDED - 1)) is None


@given(st.lists(st.floats(0, 1), min_size=10, max_size=40))
def test_intervals_stay_within_what_is_possible(values):
    low, high = interval(Clusters(range(len(values)), np.array(values), np.ones(len(values))))
    assert -1e-6 <= low <= high <= 1 + 1e-6


def test_seeds_are_averaged_and_folds_joined():
    a, b = drawn(20, 1), drawn(20, 2)
    same_counts = Clusters(b.names, b.total / b.count * a.count, a.count)
    assert mean_of([a, same_counts]).value == pytest.approx((a.value + same_counts.value) / 2)
    whole = joined([a, b])
    assert len(whole) == 40
    assert whole.value == pytest.approx((a.total.sum() + b.total.sum()) / (a.count.sum() + b.count.sum()))


@pytest.mark.parametrize(
    "test",
    [
        None,
        {},
        {"clusters": {"names": [1], "other": {"total": [1], "count": [1]}}},
        {"clusters": {"names": [1, 2], "accuracy": {"total": [1], "count": [1]}}},
        {"clusters": {"names": [1], "accuracy": {"total": [0], "count": [0]}}},
    ],
)
def test_what_is_not_there_is_none(test):
    assert clusters_of(test, "accuracy") is None
