"""How loss falls with parameters and data: L(N, D) = E + A / N^a + B / D^b per architecture.

Approach 3 of Hoffmann et al. (2022, arXiv 2203.15556): a Huber loss (delta = 0.001) of residuals of log L,
minimised from a grid of starts, with all five numbers free:

    log L = log(exp(e) + exp(alpha - a log N) + exp(beta - b log D))
    E = exp(e), A = exp(alpha), B = exp(beta)

N and D are taken about their geometric means while fitting. Residuals are summed, not averaged, and the fit
goes on until nothing is gained: Besiroglu et al. (2024, arXiv 2404.10102) found the published exponents to be
those of a fit that stopped early. Intervals are percentiles of fits to resampled runs: points (N, D) with
replacement, and within each the seeds with replacement.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from ..report.records import is_number, lookup

if TYPE_CHECKING:
    from scipy import optimize

DELTA = 1e-3
RESAMPLES = 200
POINTS_NEEDED = 12
DECADE = 9.5  # sizes are solved to within 2%: what was asked to be a decade may be a little less
NAMES = ("E", "A", "a", "B", "b")
EXPONENTS = ("a", "b")
LARGEST = 300.0  # of a term, as a logarithm: a step too far is a bad fit, not an overflow
PRECISION, ROUGH = 1e-10, 1e-6  # relative, at which the fit, and those to resamples, have ended
TIE = 1e-3  # relative difference of the objective below which two minima are equally good
SEED = 2022


@dataclass(frozen=True)
class Point:
    """One run: non-embedding parameters, training tokens, bits per byte (or another loss), seed, epochs."""

    parameters: float
    tokens: float
    loss: float
    seed: int = 0
    epochs: float | None = None

    @property
    def repeats(self) -> bool:
        """Whether it saw its data more than once, which is worth less than as much that is new."""
        return self.epochs is not None and self.epochs > 1 + 1e-3


@dataclass(frozen=True)
class Fit:
    """The fitted law, or why there is none.

    intervals    {name: (low, high)} at 95%, of NAMES
    identified   whether both exponents are: no interval wider than its estimate
    text         one line for below the plot
    used, left   points that were fitted, and those left out because they repeat their data
    """

    E: float = math.nan
    A: float = math.nan
    a: float = math.nan
    B: float = math.nan
    b: float = math.nan
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    identified: bool = False
    text: str = ""
    used: tuple[Point, ...] = ()
    left: tuple[Point, ...] = ()

    @property
    def drawable(self) -> bool:
        """Whether the law can be drawn: fitted, and with no number beyond what a float holds."""
        return all(math.isfinite(getattr(self, name)) for name in NAMES)

    def loss(self, parameters: Any, tokens: Any) -> Any:
        """The law at N and D, numbers or arrays."""
        return self.E + self.A / np.power(parameters, self.a) + self.B / np.power(tokens, self.b)


def points_of(
    records: Iterable[Mapping[str, Any]], metric: str = "continuation_bpb", split: str = "test"
) -> dict[str, list[Point]]:
    """{label: its points} of the completed runs that have the metric on that split."""
    found: dict[str, list[Point]] = {}
    for record in records:
        parameters: Any = lookup(record, "parameters", "non_embedding")
        tokens: Any = record.get("tokens")
        loss, epochs = lookup(record, split, metric), record.get("epochs")
        if record.get("status") != "completed" or not all(map(is_number, (parameters, tokens, loss))):
            continue
        name = str(record.get("label") or record.get("arch"))
        point = Point(float(parameters), float(tokens), float(loss), int(record.get("seed", 0)), epochs)
        found.setdefault(name, []).append(point)
    return found


def fit(
    points: Sequence[Point], *, repeated: bool = False, resamples: int = RESAMPLES, seed: int = SEED
) -> Fit:
    """Fit the law to the runs of one architecture; where that would say nothing, `text` says why.

    repeated: whether to use runs of more than one epoch. Raises ValueError for a loss, a size or a budget
    that is not a positive number.
    """
    for point in points:
        for name in ("parameters", "tokens", "loss"):
            if not (value := getattr(point, name)) > 0 or not math.isfinite(value):
                raise ValueError(f"a point's {name}={value} must be a positive number")
    left = () if repeated else tuple(point for point in points if point.repeats)
    used = tuple(point for point in points if repeated or not point.repeats)
    marked = f"; {len(left)} of {len(points)} runs left out, of more than one epoch" if left else ""
    if lacking := _lacking(used):
        return Fit(text=f"not fitted: {lacking}{marked}", used=used, left=left)
    best, (low, high) = _estimates(used, resamples, seed)
    values = dict(zip(NAMES, map(float, best), strict=True))
    intervals = {name: (float(low[i]), float(high[i])) for i, name in enumerate(NAMES)}
    loose = [name for name in EXPONENTS if not _width(intervals[name]) <= values[name]]
    said = ", ".join(_say(name, values[name], intervals[name]) for name in NAMES)
    if loose:
        wide = " and ".join(f"{n} = {values[n]:.2g} in {_range(intervals[n])}" for n in loose)
        said = f"exponents not identified: the interval of {wide} is wider than the estimate ({said})"
    return Fit(**values, intervals=intervals, identified=not loose, text=said + marked, used=used, left=left)


def _estimates(points: Sequence[Point], resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(5,) numbers in the order of NAMES, and the ends of their intervals (2, 5)."""
    log_n, log_d, log_l = np.log([[p.parameters, p.tokens, p.loss] for p in points]).T
    middle = log_n.mean(), log_d.mean()
    data = np.stack(
        [log_n - middle[0], log_d - middle[1], log_l]
    )  # or else a and A could hardly be told apart
    starts = _starts(log_l)
    found = _minima(_promising(starts, 10, *data), *data)
    known = np.vstack([found[0].x, starts])
    draws = [
        _minima(_promising(known, 1, *drawn), *drawn, precision=ROUGH)[0].x
        for drawn in (data[:, rows] for rows in _resamples(points, resamples, seed))
    ]
    ends = np.quantile(_plain(np.array(draws), *middle), [0.025, 0.975], axis=1)
    # Minima as good as the best are as good an answer: where data allow several, resamples may all find one.
    ties = [each.x for each in found if each.fun <= found[0].fun + TIE * (1 + found[0].fun)]
    others = _plain(np.array(ties), *middle)
    low, high = np.minimum(ends[0], others.min(axis=1)), np.maximum(ends[1], others.max(axis=1))
    return _plain(found[0].x, *middle), np.stack([low, high])


def _lacking(points: Sequence[Point]) -> str:
    """What the points lack for a fit to mean something; empty where nothing."""
    distinct = {(point.parameters, point.tokens) for point in points}
    if len(distinct) < POINTS_NEEDED:
        return f"{len(distinct)} points of size and budget, at least {POINTS_NEEDED} needed"
    for name in ("parameters", "tokens"):
        values = [getattr(point, name) for point in points]
        if max(values) < DECADE * min(values):
            return f"{name} span a factor of {max(values) / min(values):.2g}, a decade needed"
    return ""


def _starts(log_l: np.ndarray) -> np.ndarray:
    """(starts, 5) of (e, alpha, a, beta, b): shares of the median loss at the centre, and exponents."""
    middle = float(np.median(log_l))
    shares = [(e, (1 - e) * n, (1 - e) * (1 - n)) for e in (0.1, 0.4, 0.7, 0.95) for n in (0.2, 0.5, 0.8)]
    exponents = (0.1, 0.3, 0.6, 1.2)
    return np.array([
        (middle + math.log(e), middle + math.log(n), a, middle + math.log(d), b)
        for (e, n, d), a, b in product(shares, exponents, exponents)
    ])  # fmt: skip


def _objective(
    theta: np.ndarray, log_n: np.ndarray, log_d: np.ndarray, log_l: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sum of Huber losses of (starts, 5) numbers, or of (5,), and its gradient, in units of DELTA."""
    e, alpha, a, beta, b = np.moveaxis(theta, -1, 0)[..., None]
    fixed = np.exp(np.minimum(e, LARGEST))
    of_n = np.exp(np.minimum(alpha - a * log_n, LARGEST))
    of_d = np.exp(np.minimum(beta - b * log_d, LARGEST))
    total = fixed + of_n + of_d
    off = (np.log(total) - log_l) / DELTA
    steep = np.clip(off, -1, 1)
    part = steep / total
    of_n, of_d = of_n * part, of_d * part
    columns = fixed * part, of_n, -of_n * log_n, of_d, -of_d * log_d
    return (steep * (off - steep / 2)).sum(-1), np.stack([c.sum(-1) for c in columns], axis=-1) / DELTA


def _minima(
    starts: np.ndarray, *points: np.ndarray, precision: float = PRECISION
) -> list[optimize.OptimizeResult]:
    """What is reached from each of `starts`, the best first."""
    from scipy import optimize  # here, since most reports fit no law

    options = {"maxiter": 1000, "ftol": precision, "gtol": 1e-4}
    found = [
        optimize.minimize(_objective, start, args=points, jac=True, method="L-BFGS-B", options=options)
        for start in starts
    ]
    return sorted(found, key=lambda each: each.fun)


def _promising(starts: np.ndarray, count: int, *points: np.ndarray) -> np.ndarray:
    """The `count` starts of lowest objective."""
    return starts[np.argsort(_objective(starts, *points)[0])[:count]]


def _resamples(points: Sequence[Point], count: int, seed: int) -> Iterable[np.ndarray]:
    """Places of runs: points of size and budget drawn with replacement, in each its seeds likewise."""
    rng = np.random.default_rng(seed)
    groups: dict[tuple[float, float], list[int]] = {}
    for place, point in enumerate(points):
        groups.setdefault((point.parameters, point.tokens), []).append(place)
    members = list(groups.values())
    for _ in range(count):
        drawn = [members[i] for i in rng.integers(len(members), size=len(members))]
        yield np.concatenate([rng.choice(places, size=len(places)) for places in drawn])


def _plain(theta: np.ndarray, log_n: float, log_d: float) -> np.ndarray:
    """(5, ...) E, A, a, B, b of (..., 5) numbers fitted about the centre (log_n, log_d)."""
    e, alpha, a, beta, b = np.moveaxis(theta, -1, 0)
    with np.errstate(over="ignore"):
        return np.stack([np.exp(e), np.exp(alpha + a * log_n), a, np.exp(beta + b * log_d), b])


def _width(interval: tuple[float, float]) -> float:
    return interval[1] - interval[0]


def _range(interval: tuple[float, float]) -> str:
    return f"[{interval[0]:.2g}, {interval[1]:.2g}]"


def _say(name: str, value: float, interval: tuple[float, float]) -> str:
    if not math.isfinite(value):  # of an exponent in the dozens: where size or data make no difference
        return f"{name} beyond measure"
    return f"{name} = {value:.3g} {_range(interval)}"
