"""How sure a table may be: intervals over seeds, Holm's adjustment, and when a winner may be named."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import special, stats

CONFIDENCE = 0.95
SEEDS_NEEDED = 3


def t_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Student's t interval of the mean of `values`; None for fewer than two."""
    n = len(values)
    if n < 2:
        return None
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(n)
    half = error * float(special.stdtrit(n - 1, (1 + confidence) / 2))
    return mean - half, mean + half


def clopper_pearson(successes: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Exact interval of a proportion (Clopper and Pearson 1934).

    Raises ValueError unless 0 <= successes <= trials and trials > 0.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(
            f"successes={successes} of trials={trials}: expected 0 <= successes <= trials, trials > 0"
        )
    interval = stats.binomtest(successes, trials).proportion_ci(confidence, method="exact")
    return float(interval.low), float(interval.high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, order kept (Holm 1979): the i-th smallest of m times m - i + 1, made monotone."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    scaled = p[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted.tolist()


def paired_p(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p-value of the paired t test; differences without spread are certain, or none at all."""
    difference = np.subtract(a, b)
    if np.allclose(difference, difference[0], rtol=1e-12, atol=0):
        return 1.0 if difference[0] == 0 else 0.0
    n = len(difference)
    t = np.mean(difference) / (np.std(difference, ddof=1) / math.sqrt(n))
    return 2 * float(special.stdtr(n - 1, -abs(t)))  # as scipy.stats.ttest_rel, a hundred times sooner


@dataclass(frozen=True)
class Verdict:
    """Who won a column, or why nobody did.

    winners   names of the rows that may be called best: one per set of rows that may be compared
    reason    one line for the footer
    """

    winners: tuple[str, ...]
    reason: str


def verdict(
    results: Mapping[str, Mapping[int, float]],
    *,
    lower_is_better: bool,
    minimum: float,
    unit: str = "",
    may_compare: Mapping[str, str] | None = None,
    alpha: float = 1 - CONFIDENCE,
) -> Verdict:
    """Names a winner only where the column supports one.

    results          {row: {seed: value}}; missing or not finite: a run without a result
    minimum          smallest difference of means that matters, in the metric's own unit
    may_compare      {row: what it saw}; rows that saw different things are never compared

    A winner beats every row it may be compared with: every paired test rejects after Holm's adjustment over
    all pairs of the column, every difference of means exceeds `minimum`, no seed is missing on either side,
    and there are at least three seeds.
    """
    may_compare = may_compare or dict.fromkeys(results, "")
    seeds = sorted({seed for values in results.values() for seed in values})
    pairs = [(a, b) for a, b in combinations(results, 2) if may_compare[a] == may_compare[b]]
    if not pairs:
        return Verdict((), "no winner named: nothing to compare with")
    if len(seeds) < SEEDS_NEEDED:
        return Verdict((), f"no winner named: {plural(len(seeds), 'seed')}, {SEEDS_NEEDED} needed")
    complete = {row: [values.get(seed, math.nan) for seed in seeds] for row, values in results.items()}
    tested = [pair for pair in pairs if np.isfinite(complete[pair[0]] + complete[pair[1]]).all()]
    adjusted = dict(zip(tested, holm([paired_p(complete[a], complete[b]) for a, b in tested]), strict=True))
    winners, lines = [], []
    for saw in dict.fromkeys(may_compare[a] for a, _ in pairs):
        rows = {row: complete[row] for row in results if may_compare[row] == saw}
        winner, line = _best_of(rows, seeds, adjusted, lower_is_better, minimum, unit, alpha)
        winners += [winner] if winner else []
        lines.append(f"among those that saw {saw}, {line}" if saw else line)
    return Verdict(tuple(winners), "; ".join(lines))


def _best_of(
    rows: Mapping[str, list[float]],
    seeds: Sequence[int],
    adjusted: Mapping[tuple[str, str], float],
    lower_is_better: bool,
    minimum: float,
    unit: str,
    alpha: float,
) -> tuple[str | None, str]:
    for row, values in rows.items():
        missing = [seed for seed, value in zip(seeds, values, strict=True) if not math.isfinite(value)]
        if missing:
            return None, f"no winner named: {row} has no result for seed {', '.join(map(str, missing))}"
    sign = 1 if lower_is_better else -1
    best, *others = sorted(rows, key=lambda row: sign * float(np.mean(rows[row])))
    gaps = {other: abs(float(np.mean(rows[other]) - np.mean(rows[best]))) for other in others}
    p = {other: adjusted.get((best, other), adjusted.get((other, best), 1.0)) for other in others}
    closest = min(others, key=gaps.__getitem__)
    if gaps[closest] <= minimum:
        return None, (
            f"no winner named: {best} is ahead of {closest} by {gaps[closest]:.2g}{unit}, "
            f"more than {minimum:g} needed"
        )
    doubtful = max(others, key=p.__getitem__)
    if p[doubtful] >= alpha:
        return None, f"no winner named: {best} against {doubtful}, Holm-adjusted p = {p[doubtful]:.2g}"
    tests = plural(len(adjusted), "pair")
    return best, f"{best} is best (paired t tests, Holm over {tests}: largest p = {p[doubtful]:.2g})"


def plural(count: int, noun: str) -> str:
    """ "1 seed", "2 seeds"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
