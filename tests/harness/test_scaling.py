"""The scaling law is recovered from runs that follow it, and not claimed from runs that cannot tell."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.statistics.scaling import Fit, Point, fit, points_of
from harness.statistics.simulate import TRUTH, scaling_runs


def runs(noise=0.002, seed=0, **options):
    return scaling_runs(noise, np.random.default_rng(seed), **options)


def test_a_law_without_noise_is_recovered():
    found = fit(runs(1e-7), resamples=20)
    assert found.identified
    for name in ("E", "A", "a", "B", "b"):
        assert getattr(found, name) == pytest.approx(getattr(TRUTH, name), rel=0.01)
        low, high = found.intervals[name]
        assert low <= high
    assert found.loss(1e6, 1e7) == pytest.approx(TRUTH.loss(1e6, 1e7), rel=1e-4)


@settings(max_examples=5)
@given(E=st.floats(0.5, 2), a=st.floats(0.25, 0.7), b=st.floats(0.25, 0.7))
def test_other_laws_are_recovered_too(E, a, b):
    law = Fit(E=E, A=0.5 * 5e5**a, a=a, B=0.5 * 5e6**b, b=b)  # each term half a bit at the centre
    points = [
        Point(n, d, float(law.loss(n, d)))
        for n in np.geomspace(1e5, 2e6, 4)
        for d in np.geomspace(1e6, 2e7, 4)
    ]
    found = fit(points, resamples=5)
    assert (found.E, found.a, found.b) == pytest.approx((E, a, b), rel=0.05)


def test_intervals_hold_the_truth_and_grow_with_the_noise():
    fits = [fit(runs(0.005, seed), resamples=40) for seed in range(4)]
    held = [low <= getattr(TRUTH, x) <= high for f in fits for x in "ab" for low, high in [f.intervals[x]]]
    assert sum(held) >= 7
    quiet, loud = (fit(runs(noise), resamples=40).intervals["a"] for noise in (0.001, 0.02))
    assert loud[1] - loud[0] > 3 * (quiet[1] - quiet[0])


def test_one_wild_run_moves_little():
    points = runs(0.002)
    wild = [*points[:-1], Point(points[-1].parameters, points[-1].tokens, 3 * points[-1].loss)]
    assert fit(wild, resamples=5).a == pytest.approx(fit(points, resamples=5).a, rel=0.1)


def test_the_same_runs_give_the_same_fit():
    assert fit(runs(), resamples=10) == fit(runs(), resamples=10)


@pytest.mark.parametrize(
    "points",
    [
        runs(0.3, seeds=1),
        [Point(p.parameters, p.tokens, 1.5) for p in runs()],  # nothing depends on anything
        [
            Point(p.parameters, p.tokens, float(1 + 60 / p.parameters**0.4)) for p in runs()
        ],  # data do not matter
    ],
    ids=["noise", "constant", "parameters alone"],
)
def test_what_cannot_be_told_is_not_claimed(points):
    found = fit(points, resamples=40)
    assert not found.identified
    assert found.text.startswith("exponents not identified: ")


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        ([], "0 points of size and budget, at least 12 needed"),
        (runs(sides=3), "9 points of size and budget, at least 12 needed"),
        (
            [Point(n, d, 2.0) for n in (1e5, 2e5, 4e5) for d in np.geomspace(1e6, 2e7, 4)],
            "parameters span a factor of 4",
        ),
        (
            [Point(n, d, 2.0) for n in np.geomspace(1e5, 2e6, 4) for d in (1e6, 2e6, 3e6)],
            "tokens span a factor of 3",
        ),
    ],
)
def test_too_little_to_fit_is_said(points, reason):
    found = fit(points)
    assert not found.drawable
    assert not found.identified
    assert reason in found.text


def test_runs_that_repeat_their_data_are_left_out_unless_asked_for():
    points = runs(1e-6)
    repeated = [Point(p.parameters, 1e8, 9.0, epochs=3.0) for p in points[:3]]
    found = fit([*points, *repeated], resamples=5)
    assert found.left == tuple(repeated)
    assert "3 of 51 runs left out, of more than one epoch" in found.text
    assert found.a == pytest.approx(TRUTH.a, rel=0.01)
    assert fit([*points, *repeated], resamples=5, repeated=True).left == ()


@pytest.mark.parametrize("change", [{"loss": 0.0}, {"tokens": -1.0}, {"parameters": float("nan")}])
def test_impossible_points_are_refused(change):
    point = Point(**({"parameters": 1e5, "tokens": 1e6, "loss": 2.0} | change))
    with pytest.raises(ValueError, match=f"a point's {next(iter(change))}="):
        fit([point])


def test_points_of_records():
    record = {
        "arch": "gpt", "seed": 3, "status": "completed", "tokens": 1e6, "epochs": 0.4,
        "parameters": {"total": 2e5, "non_embedding": 1e5}, "test": {"continuation_bpb": 1.9},
    }  # fmt: skip
    others = [record | {"status": "diverged"}, record | {"test": {}}, record | {"label": "gpt-rope"}]
    found = points_of([record, *others])
    assert found == {"gpt": [Point(1e5, 1e6, 1.9, 3, 0.4)], "gpt-rope": [Point(1e5, 1e6, 1.9, 3, 0.4)]}
