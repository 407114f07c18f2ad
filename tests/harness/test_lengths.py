"""Exponents and crossings of curves whose law is known."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from harness.statistics.lengths import POINTS_NEEDED, Curve, crossings, exponent

LENGTHS = 2.0 ** np.arange(7, 17)  # 128 to 65,536
share = st.floats(-6, 6).map(math.exp)
counts = st.integers(POINTS_NEEDED, len(LENGTHS))


def curve(cost, lengths=LENGTHS, noise=0.0, seed=0, quartiles=0.01, drift=0.0):
    rng = np.random.default_rng(seed)
    costs = cost(lengths) * np.exp(noise * rng.standard_normal(len(lengths)))
    return Curve.of(
        (t, c, (c * (1 - quartiles), c * (1 + quartiles)), 9, drift)
        for t, c in zip(lengths, costs, strict=True)
    )


def polynomial(c0, c1, c2):
    """A cost whose three terms matter most at short, middle and long lengths."""
    return lambda t: c0 + c1 * t / 1000 + c2 * (t / 1000) ** 2


@given(st.floats(0, 2.5), st.floats(1e-9, 1e9), counts)
def test_a_power_of_length_is_found_from_its_whole_curve(power, scale, count):
    found = exponent(curve(lambda t: scale * t**power, LENGTHS[:count]))
    assert found.identified
    assert found.points == count
    assert found.exponent == pytest.approx(power, abs=1e-6)
    assert found.interval[0] < power < found.interval[1]
    assert found.bend == 0
    assert found.cost(LENGTHS[0]) == pytest.approx(scale * LENGTHS[0] ** power)


@given(share, share, share, counts, st.floats(0, 0.02), st.integers(0, 99))
def test_of_a_sum_of_powers_only_the_far_end_is_fitted(c0, c1, c2, count, noise, seed):
    lengths = LENGTHS[-count:]
    cost = polynomial(c0, c1, c2)
    found = exponent(curve(cost, lengths, noise, seed))
    assume(found.identified)
    assert found.end == lengths[-1]
    assert found.points >= POINTS_NEEDED
    own = lengths[lengths >= found.start]
    assert len(own) == found.points
    slopes = np.diff(np.log(cost(own))) / np.diff(np.log(own))  # they rise along such a curve
    # The slope of a fitted line: between those of its parts, but for the noise.
    error = 4 * noise / np.std(np.log(own)) / math.sqrt(len(own))
    assert slopes[0] - error - 1e-6 <= found.exponent <= slopes[-1] + error + 1e-6
    assert found.interval[0] <= found.exponent <= found.interval[1]


@given(share, share, share)
def test_what_still_bends_says_so_and_what_is_steady_does_not(c0, c1, c2):
    cost = polynomial(c0, c1, c2)
    found = exponent(curve(cost))
    ends = [float(cost(2 * t) / cost(t)) for t in (found.start, found.end / 2)]
    change = math.log2(ends[1]) - math.log2(ends[0])
    if found.bend:
        assert found.points == POINTS_NEEDED
        assert found.bend > 0.1
        assert change > 0.05
    else:
        assert change < 0.25


def test_a_longer_sweep_comes_nearer_to_the_law():
    cost = polynomial(5, 1, 0.05)
    found = [exponent(curve(cost, 2.0 ** np.arange(7, end))) for end in (13, 16, 19, 22, 25)]
    off = [2 - each.exponent for each in found]
    assert off == sorted(off, reverse=True)
    assert off[-1] < 0.03
    assert [bool(each.bend) for each in found][-1] is False


@given(st.floats(0.5, 2), st.floats(1e-6, 1e6), st.integers(0, 99))
def test_units_of_cost_do_not_matter(power, scale, seed):
    one = exponent(curve(lambda t: 3 + t**power, noise=0.03, seed=seed))
    other = exponent(curve(lambda t: scale * (3 + t**power), noise=0.03, seed=seed))
    assert other.exponent == pytest.approx(one.exponent)
    assert other.interval == pytest.approx(one.interval)
    assert other.start == one.start


@pytest.mark.parametrize("noise", [0.005, 0.03, 0.08])
def test_intervals_hold_the_exponent_as_often_as_they_say(noise):
    held = 0
    for seed in range(300):
        low, high = exponent(curve(lambda t: t**1.3, noise=noise, seed=seed)).interval
        held += low <= 1.3 <= high
    assert held / 300 >= 0.92


def test_equally_sure_points_are_fitted_as_scipy_does():
    noisy = curve(lambda t: t**1.2, noise=0.05, seed=4)
    found = exponent(noisy)
    assert found.points == len(LENGTHS)
    expected = stats.linregress(np.log(noisy.lengths), np.log(noisy.costs))
    assert found.exponent == pytest.approx(expected.slope)
    half = expected.stderr * stats.t(len(LENGTHS) - 2).ppf(0.975)  # its scatter is more than its quartiles
    assert found.half == pytest.approx(half)


def test_a_point_with_wide_quartiles_weighs_less():
    rows = [(t, t * (2 if t == LENGTHS[-1] else 1), 0.5 if t == LENGTHS[-1] else 0.01) for t in LENGTHS]
    unsure = Curve.of((t, c, (c * (1 - q), c * (1 + q)), 3, 0.0) for t, c, q in rows)
    sure = Curve.of((t, c, None, None, 0.0) for t, c, _ in rows)
    assert abs(exponent(unsure).exponent - 1) < abs(exponent(sure).exponent - 1)


@pytest.mark.parametrize(
    ("lengths", "why"),
    [
        ((), "0 lengths, at least 4 needed"),
        ((128, 256, 512), "3 lengths, at least 4 needed"),
        ((128, 160, 192, 224), "span a factor of 1.8"),
    ],
)
def test_too_little_is_not_identified(lengths, why):
    found = exponent(curve(lambda t: t, np.array(lengths, dtype=float)))
    assert not found.identified
    assert why in found.why


def test_noise_that_drowns_the_law_is_not_identified():
    found = exponent(curve(lambda t: t, LENGTHS[:4], noise=1.5, seed=1))
    assert not found.identified
    assert "wider than 1" in found.why


@pytest.mark.parametrize("bad", [(0, 1.0), (128, 0.0), (128, -1.0), (128, math.nan), (128, math.inf)])
def test_bad_points_are_refused_in_one_line(bad):
    with pytest.raises(ValueError, match="must be a positive number"):
        Curve.of([(*bad, None, None, 0.0)])
    with pytest.raises(ValueError, match="one point per length"):
        Curve.of([(128, 1.0, None, None, 0.0)] * 2)


# -------------------------------------------------------------------------------------------- crossings


def of_two(one, other, lengths=LENGTHS, noise=0.0, seed=0):
    pair = {"one": curve(one, lengths, noise, seed), "other": curve(other, lengths, noise, seed + 1)}
    return crossings(pair)["one", "other"]


@given(st.floats(200, 40_000), st.floats(0.7, 1.5), st.floats(0, 0.02), st.integers(0, 99))
def test_a_crossing_inside_the_sweep_is_measured(length, apart, noise, seed):
    found = of_two(lambda t: (t / length) ** (1 + apart), lambda t: t / length, noise=noise, seed=seed)
    (crossing,) = found.crossings
    assert crossing.measured
    assert found.less == "one"
    assert crossing.less == "other"
    assert crossing.interval[0] <= crossing.length <= crossing.interval[1]
    assert abs(math.log(crossing.length / length)) <= 4 * math.hypot(noise, 1e-3) / apart + 0.05


@given(st.floats(1e5, 1e7), st.floats(0.4, 1.5))
def test_one_beyond_the_sweep_is_extrapolated_and_marked(length, apart):
    found = of_two(lambda t: (t / length) ** (1 + apart), lambda t: t / length)
    (crossing,) = found.crossings
    assert not crossing.measured
    assert crossing.length == pytest.approx(length, rel=1e-3)
    assert crossing.interval[0] < length < crossing.interval[1]
    assert crossing.less == "other"


@given(st.floats(0.3, 1.5), st.floats(1.2, 100))
def test_curves_that_part_never_cross(apart, ahead):
    found = of_two(lambda t: ahead * t ** (1 + apart), lambda t: t)
    assert found.crossings == ()
    assert (found.less, found.why, found.measured) == ("other", "", True)
    assert (found.since, found.until) == (None, None)


def test_a_crossing_too_far_away_is_none():
    found = of_two(lambda t: t**1.1, lambda t: 1e4 * t)
    assert found.crossings == ()
    assert "no crossing before 1000 times" in found.why


def test_where_curves_are_level_first_or_last_the_order_says_from_where_or_until_where():
    parting = of_two(lambda t: t * (1 + (t / 4000) ** 2), lambda t: t)
    assert (parting.less, parting.crossings, parting.until) == ("other", (), None)
    assert 500 < parting.since < 4000  # where the two differ by some standard errors of 2%
    meeting = of_two(lambda t: t + 500, lambda t: t)
    assert (meeting.less, meeting.crossings, meeting.since) == ("other", (), None)
    assert 2000 < meeting.until < LENGTHS[-1]


def test_an_order_that_only_exponents_tell_is_not_measured():
    found = of_two(lambda t: (t / 3000) ** 1.022, lambda t: t / 3000)  # 7% apart at the ends
    assert (found.less, found.crossings, found.measured) == ("other", (), False)
    assert found.since > LENGTHS[-1]
    (crossing,) = of_two(lambda t: (t / 55_000) ** 1.3, lambda t: t / 55_000).crossings
    assert not crossing.measured  # at the longest length the two are still level
    assert crossing.length == pytest.approx(55_000, rel=0.05)


def test_two_crossings_are_two():
    found = of_two(lambda t: 1 + (t / 4000) ** 2, lambda t: 4 * t / 4000)
    first, second = found.crossings
    assert found.less == "other"
    assert (first.less, second.less) == ("one", "other")
    assert first.length == pytest.approx(4000 * (2 - math.sqrt(3)), rel=0.05)  # roots of 1 + u^2 = 4u
    assert second.length == pytest.approx(4000 * (2 + math.sqrt(3)), rel=0.05)
    assert first.interval[1] < second.interval[0]


@given(st.integers(0, 99))
def test_a_tie_that_flickers_crosses_nowhere_or_once(seed):
    found = of_two(lambda t: t, lambda t: t, noise=0.01, seed=seed)
    assert len([each for each in found.crossings if each.measured]) <= 1


def crossed(count, noise, drift=0.0, pairs=200):
    """The share of pairs of equal cost, in sweeps of so many lengths, that are said to cross.

    drift: that the sweep tolerates, of which it knows.
    """
    rng, lengths, said = np.random.default_rng(0), LENGTHS[:count], 0
    for _ in range(pairs):
        pair = {}
        for name in ("one", "other"):
            off = rng.uniform(-drift, drift, count)
            costs = lengths**1.3 * np.exp(off + noise * rng.standard_normal(count))
            rows = zip(lengths, costs, off, strict=True)
            pair[name] = Curve.of((t, c, None, None, abs(share)) for t, c, share in rows)
        said += bool(crossings(pair)["one", "other"].crossings)
    return said / pairs


@pytest.mark.parametrize("count", [4, 6, 10])
@pytest.mark.parametrize("noise", [0.02, 0.04, 0.07, 0.1])
def test_equal_costs_cross_in_a_twentieth_of_pairs_at_most_whatever_the_noise(count, noise):
    assert crossed(count, noise) <= 0.05


@pytest.mark.parametrize("count", [2, 3, 6, 10])
def test_nor_do_they_at_the_drift_that_a_sweep_accepts(count):
    assert crossed(count, 0.02, drift=0.15) <= 0.05


def test_a_point_measured_while_the_machine_drifted_weighs_less():
    off = [(t, t * (1.15 if t == LENGTHS[-1] else 1), 0.15 if t == LENGTHS[-1] else 0.0) for t in LENGTHS]
    known = Curve.of((t, c, None, None, drift) for t, c, drift in off)
    unknown = Curve.of((t, c, None, None, 0.0) for t, c, _ in off)
    assert abs(exponent(known).exponent - 1) < abs(exponent(unknown).exponent - 1)


def test_scatter_that_quartiles_do_not_show_widens_errors_and_bends_do_not():
    noisy = curve(lambda t: t, noise=0.08, seed=3, quartiles=0)
    assert noisy.widened().errors == pytest.approx(0.08, rel=0.5)
    steady = curve(lambda t: t**1.5)
    assert (steady.widened().errors == steady.errors).all()
    bent = curve(lambda t: np.exp(0.1 * np.log(t) ** 2))
    assert (bent.widened().errors == bent.errors).all()


def test_equal_curves_are_not_told_apart():
    found = of_two(lambda t: t, lambda t: t)
    assert found.less is None
    assert found.why == "not told apart anywhere"


def test_only_common_lengths_are_compared():
    one, other = curve(lambda t: t, LENGTHS[:4]), curve(lambda t: t, LENGTHS[5:])
    assert "0 lengths in common" in crossings({"a": one, "b": other})["a", "b"].why
    ended = crossings({"a": curve(lambda t: (t / 9000) ** 2, LENGTHS[:6]), "b": curve(lambda t: t / 9000)})
    (crossing,) = ended["a", "b"].crossings
    assert not crossing.measured  # a's sweep ended at 4,096
    assert crossing.length == pytest.approx(9000, rel=0.01)


def test_three_lengths_measure_what_lies_between_them():
    found = of_two(lambda t: (t / 900) ** 2, lambda t: t / 900, LENGTHS[[1, 3, 5]])
    (crossing,) = found.crossings
    assert crossing.length == pytest.approx(900, rel=1e-6)
    assert "exponents are not identified" in found.why


@given(st.integers(0, 99), st.floats(1e-6, 1e6))
def test_units_and_order_do_not_move_a_crossing(seed, scale):
    one, other = (lambda t: (t / 3000) ** 1.7), (lambda t: t / 3000)
    (plain,) = of_two(one, other, noise=0.02, seed=seed).crossings
    pair = {"other": curve(lambda t: scale * other(t), noise=0.02, seed=seed + 1)}
    pair["one"] = curve(lambda t: scale * one(t), noise=0.02, seed=seed)
    (turned,) = crossings(pair)["other", "one"].crossings
    assert turned.length == pytest.approx(plain.length)
    assert turned.interval == pytest.approx(plain.interval)
    assert turned.less == plain.less
