"""How cost grows with length: the exponent of a curve, and where two curves cross.

A curve is the cost of one sequence against its length T. Of a batch of B sequences that is what the batch
cost, divided by B; with a fixed number of tokens per batch it is the cost of a token times T. So exponent 1
is linear and 2 quadratic, whatever the batch was.

Cost is rarely a power of T: c0 + c1 T + c2 T^2 bends on log-log axes, and only its far end tells how it goes
on. The asymptotic part is the longest run of points up to the last one along which the slope does not change:
in log cost = a + b x + c x^2, x = log T, the change of slope from its first to its last point is below
STEADY, or within noise. It holds POINTS_NEEDED points at least; of those, where even they bend, `bend` tells.

The exponent is the slope of a straight line through that part, each point weighted by its noise: that of a
median, from its quartiles (sigma = IQR / 1.349, 1.2533 sigma / sqrt(n); Kendall and Stuart), with DRIFT for
what differs between processes and shows in no quartile, and with how far the machine's speed was off while
the point was measured. The interval is Student's t, widened where points scatter more than that (Birge 1932:
by the root of chi^2 per degree of freedom, never made narrower).

Two curves cross where each is shown to cost less at some length, and every length is another chance to be
wrong. So they have an order where they differ by APART standard errors, widened likewise by the scatter of
each curve around a parabola through every four neighbouring points.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from scipy import special

from .inference import CONFIDENCE

POINTS_NEEDED = 4  # of three, a line leaves one degree of freedom, and an interval that says nothing
SPAN = 3.9  # the least factor between first and last length of what is fitted
STEADY = 0.1  # a change of slope that nobody would call another law
WIDEST = 1.0  # interval of an exponent from which it is not identified: linear or quadratic, who knows
DRIFT = 0.02  # standard error, as a share, of what differs between two processes on one machine
UNSTEADY = 0.15  # of the machine's speed from its median in a sweep: such a point is not to be trusted
FAR = 1000.0  # times the longest length: nothing is extrapolated beyond
APART = 3.0  # standard errors: of pairs that cost the same, 5% at most are then said to cross anywhere
STEPS = 128  # per pair of neighbouring lengths, at which the order of two curves is asked
TIE = "not told apart anywhere"
TWO_SIDED = float(special.ndtri((1 + CONFIDENCE) / 2))


Measured = tuple[float, float, tuple[float, float] | None, int | None, float]


@dataclass(frozen=True)
class Curve:
    """Cost of one sequence against length: three arrays (points,), lengths ascending.

    errors: standard errors of log cost.
    """

    lengths: np.ndarray
    costs: np.ndarray
    errors: np.ndarray

    @classmethod
    def of(cls, points: Iterable[Measured]) -> Curve:
        """From (length, cost, its quartiles, how many measurements, drift), in any order, one per length.

        drift: by what share the machine's speed was off, while the cost was measured.

        Raises ValueError for a length or a cost that is not a positive number, and for a length given twice.
        """
        rows = sorted(points, key=lambda point: point[0])
        for length, cost, *_ in rows:
            for name, value in (("length", length), ("cost", cost)):
                if not 0 < value < math.inf:
                    raise ValueError(f"a point's {name}={value} must be a positive number")
        lengths = [float(row[0]) for row in rows]
        if len(set(lengths)) < len(lengths):
            raise ValueError(f"lengths={lengths}: one point per length")
        errors = [
            math.hypot(DRIFT, drift, _error_of_median(quartiles, measurements))
            for _, _, quartiles, measurements, drift in rows
        ]
        return cls(np.array(lengths), np.array([float(row[1]) for row in rows]), np.array(errors))

    def __len__(self) -> int:
        return len(self.lengths)

    def at(self, lengths: np.ndarray) -> Curve:
        """The points at those lengths."""
        here = np.isin(self.lengths, lengths)
        return Curve(self.lengths[here], self.costs[here], self.errors[here])

    def widened(self) -> Curve:
        """The same with errors as large as its points scatter, where that is more than they say."""
        if len(self) < 4:  # through fewer there is a parabola without scatter
            return self
        x, y = np.log(self.lengths), np.log(self.costs)
        windows = np.arange(4) + np.arange(len(self) - 3)[:, None]
        # Of four points, the combination that is zero for every parabola.
        parabolas = (x[windows] - x[windows[:, :1]])[:, None] ** np.arange(3)[:, None]
        weights = np.linalg.svd(parabolas)[2][:, -1]
        errors = np.linalg.norm(weights * self.errors[windows], axis=1)
        scatter = math.sqrt(np.mean((np.sum(weights * y[windows], axis=1) / errors) ** 2))
        return Curve(self.lengths, self.costs, max(scatter, 1.0) * self.errors)


def _error_of_median(quartiles: tuple[float, float] | None, measurements: int | None) -> float:
    """Standard error of the logarithm of a median."""
    if quartiles is None or not 0 < quartiles[0] <= quartiles[1]:
        return 0.0
    sigma = math.log(quartiles[1] / quartiles[0]) / 1.349
    return 1.2533 * sigma / math.sqrt(max(measurements or 1, 1))


@dataclass(frozen=True)
class Exponent:
    """A straight line on log-log axes through the asymptotic part of a curve, or why there is none.

    interval    of the exponent, at 95%
    start, end  lengths that the part begins and ends with; points: how many it holds
    bend        how much the slope changes from its first to its last point, where that is more than noise;
                a curve that still bends has not reached its law
    level       logarithm of cost at `end`
    """

    exponent: float = math.nan
    interval: tuple[float, float] = (math.nan, math.nan)
    start: float = math.nan
    end: float = math.nan
    points: int = 0
    bend: float = 0.0
    level: float = math.nan
    why: str = ""

    @property
    def identified(self) -> bool:
        return not self.why

    @property
    def half(self) -> float:
        """Half of the interval."""
        return (self.interval[1] - self.interval[0]) / 2

    def cost(self, length: float | np.ndarray) -> float | np.ndarray:
        """What the line says a sequence of that length costs."""
        return np.exp(self.level + self.exponent * np.log(np.asarray(length) / self.end))


def exponent(curve: Curve) -> Exponent:
    """The exponent of a curve's asymptotic part."""
    if len(curve) < POINTS_NEEDED:
        return Exponent(why=f"not identified: {len(curve)} lengths, at least {POINTS_NEEDED} needed")
    if curve.lengths[-1] < SPAN * curve.lengths[0]:
        factor = curve.lengths[-1] / curve.lengths[0]
        return Exponent(why=f"not identified: lengths span a factor of {factor:.2g}, 4 needed")
    x, y = np.log(curve.lengths), np.log(curve.costs)
    first, bend = _asymptotic(x, y, curve.errors)
    x, y, errors = x[first:], y[first:], curve.errors[first:]
    (level, slope), covariance = _weighted(x - x[-1], y, errors, degree=1)
    half = float(special.stdtrit(len(x) - 2, (1 + CONFIDENCE) / 2)) * math.sqrt(covariance[1, 1])
    interval = (float(slope) - half, float(slope) + half)
    wide = f"not identified: the interval [{interval[0]:.2f}, {interval[1]:.2f}] is wider than {WIDEST:g}"
    start, end = (float(curve.lengths[place]) for place in (first, -1))
    why = wide if 2 * half > WIDEST else ""
    return Exponent(float(slope), interval, start, end, len(x), bend, float(level), why)


def _asymptotic(x: np.ndarray, y: np.ndarray, errors: np.ndarray) -> tuple[int, float]:
    """(place of the first point of the asymptotic part, the change of slope that is left in it)."""
    last = max(i for i in range(len(x) - POINTS_NEEDED + 1) if x[-1] - x[i] >= math.log(SPAN))
    bend = 0.0
    for first in range(last + 1):
        own = x[first:] - x[-1]
        (_, _, curved), covariance = _weighted(own, y[first:], errors[first:], degree=2)
        change, error = -2 * own[0] * curved, -2 * own[0] * math.sqrt(covariance[2, 2])
        bend = 0.0 if abs(change) <= max(STEADY, TWO_SIDED * error) else float(change)
        if not bend:
            return first, bend
    return last, bend


def _weighted(
    x: np.ndarray, y: np.ndarray, errors: np.ndarray, *, degree: int
) -> tuple[np.ndarray, np.ndarray]:
    """Least squares of a polynomial: its coefficients, the constant first, and their covariance, widened
    where residuals are larger than the errors say."""
    design = np.vander(x, degree + 1, increasing=True) / errors[:, None]
    covariance = np.linalg.inv(design.T @ design)
    found = covariance @ design.T @ (y / errors)
    free = len(x) - degree - 1
    scatter = float(np.sum((y / errors - design @ found) ** 2)) / free if free else 1.0
    return found, covariance * max(scatter, 1.0)


@dataclass(frozen=True)
class Crossing:
    """Where the order of two curves turns round.

    interval  at 95% over the whole pair: the lengths at which neither is shown to cost less
    less      who costs less beyond it
    measured  each order is told between lengths of the sweep; otherwise one is extrapolated by exponents
    """

    length: float
    interval: tuple[float, float]
    less: str
    measured: bool


@dataclass(frozen=True)
class Meeting:
    """All crossings of two curves, by length, and who costs less before the first of them.

    less      None where the two are told apart nowhere
    why       what cannot be said, beyond the sweep or at all; empty where exponents tell how it goes on
    since     the first length that tells them apart, None where that is their shortest; until: the last one,
              None where that is their longest or beyond
    measured  whether lengths of the sweep tell them apart; otherwise exponents alone do
    """

    less: str | None = None
    crossings: tuple[Crossing, ...] = ()
    why: str = ""
    since: float | None = None
    until: float | None = None
    measured: bool = False


def crossings(
    curves: Mapping[str, Curve], fits: Mapping[str, Exponent] | None = None
) -> dict[tuple[str, str], Meeting]:
    """Where any two curves cross, by pairs in the order given; `fits`: their exponents, if known already."""
    fits = fits or {name: exponent(curve) for name, curve in curves.items()}
    return {
        (a, b): _meeting((a, curves[a], fits[a]), (b, curves[b], fits[b])) for a, b in combinations(curves, 2)
    }


def _meeting(a: tuple[str, Curve, Exponent], b: tuple[str, Curve, Exponent]) -> Meeting:
    """Crossings of two curves, inside the sweep by interpolation on log-log axes, beyond by their exponents.

    Where their difference is within noise they have no order. A crossing is a stretch without order (or a
    point) that has one order before and the other after, so that a tie that flickers counts once.
    """
    (first, one, fit), (second, other, other_fit) = a, b
    common = np.intersect1d(one.lengths, other.lengths)
    if len(common) < 2:
        return Meeting(why=f"{len(common)} lengths in common, at least 2 needed")
    one, other = one.widened().at(common), other.widened().at(common)
    x, d = np.log(common), np.log(one.costs / other.costs)
    inside = _between(x, d, np.hypot(one.errors, other.errors))
    beyond, why = _beyond(inside, fit, other_fit)
    at, difference, noise = np.concatenate([inside, beyond], axis=1)
    order = np.where(np.abs(difference) > APART * noise, np.sign(difference), 0)
    told = np.flatnonzero(order)
    if not len(told):
        return Meeting(why=TIE)
    less = {-1.0: first, 1.0: second}
    last = inside.shape[1] - 1  # place of the longest length of both
    found = []
    for left, right in pairwise(told):
        if order[left] != order[right]:
            zero = _zero(at[left : right + 1], difference[left : right + 1])
            bounds = float(np.exp(at[left])), float(np.exp(at[right]))
            found.append(Crossing(math.exp(zero), bounds, less[order[right]], measured=bool(right <= last)))
    if not why and len(beyond[0]) and order[-1] != np.sign(fit.exponent - other_fit.exponent):
        why = f"no crossing before {FAR:g} times the longest length"
    since = float(np.exp(at[told[0]])) if told[0] else None
    until = float(np.exp(at[told[-1]])) if told[-1] < last else None
    return Meeting(less[order[told[0]]], tuple(found), why, since, until, measured=bool(told[0] <= last))


def _between(x: np.ndarray, difference: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """(3, steps): log lengths from the first to the last, the difference there and its standard error."""
    at = np.unique(np.concatenate([np.linspace(low, high, STEPS) for low, high in pairwise(x)]))
    right = np.clip(np.searchsorted(x, at), 1, len(x) - 1)
    share = (at - x[right - 1]) / (x[right] - x[right - 1])
    noise = np.hypot((1 - share) * errors[right - 1], share * errors[right])
    return np.stack([at, (1 - share) * difference[right - 1] + share * difference[right], noise])


def _beyond(inside: np.ndarray, fit: Exponent, other: Exponent) -> tuple[np.ndarray, str]:
    """The same beyond the sweep, where the difference goes on by that of the exponents, or why not."""
    nothing = np.empty((3, 0))
    if not (fit.identified and other.identified):
        return nothing, "beyond the sweep not known: exponents are not identified"
    slope, error = fit.exponent - other.exponent, math.hypot(fit.half, other.half) / TWO_SIDED
    if abs(slope) <= APART * error:
        return nothing, "beyond the sweep not known: exponents are not told apart"
    last, difference, noise = inside[:, -1]
    further = np.linspace(0, math.log(FAR), 40 * STEPS)[1:]
    return np.stack([last + further, difference + slope * further, np.hypot(noise, error * further)]), ""


def _zero(at: np.ndarray, difference: np.ndarray) -> float:
    """Where the difference is zero; of several places, the middle of them."""
    turns = np.flatnonzero(np.sign(difference[:-1]) != np.sign(difference[1:]))
    share = difference[turns] / (difference[turns] - difference[turns + 1])
    zeros = at[turns] + share * (at[turns + 1] - at[turns])
    return float(zeros[0] + zeros[-1]) / 2
