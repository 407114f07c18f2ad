"""How sure a number may be: intervals over seeds and of proportions, paired tests, Holm's adjustment."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special, stats

CONFIDENCE = 0.95


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
    if np.ptp(difference) <= 1e-12 * abs(difference[0]):
        return 1.0 if difference[0] == 0 else 0.0
    n = len(difference)
    t = np.mean(difference) / (np.std(difference, ddof=1) / math.sqrt(n))
    return 2 * float(special.stdtr(n - 1, -abs(t)))  # as scipy.stats.ttest_rel, a hundred times sooner


def paired_p_everywhere(a: Sequence[float], b: Sequence[float], error: float, clusters: int) -> float:
    """Two-sided p-value that the rows differ on other test sets too, not on this one alone.

    error: standard error of the difference of means over test sets; clusters: how many it was made from.

    The variance of the difference is that over seeds plus that over test sets, its degrees of freedom
    Satterthwaite's. What both count, each seed's own luck with each cluster, makes the test conservative. It
    is never surer than the paired t test over seeds: a test set that adds little variance but many degrees of
    freedom must not make three seeds look like thirty.
    """
    difference = np.subtract(a, b)
    n = len(difference)
    seeds, test = float(np.var(difference, ddof=1)) / n, error**2
    alone = paired_p(a, b)
    if test == 0:
        return alone
    freedom = (seeds + test) ** 2 / (seeds**2 / (n - 1) + test**2 / (clusters - 1))
    t = float(np.mean(difference)) / math.sqrt(seeds + test)
    return max(alone, 2 * float(special.stdtr(freedom, -abs(t))))


def plural(count: int, noun: str) -> str:
    """ "1 seed", "2 seeds"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
