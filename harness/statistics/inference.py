"""How sure a number may be: intervals over seeds and of proportions, paired tests, Holm's adjustment."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

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
    tail = (1 - confidence) / 2
    low, high = special.betaincinv(
        [max(successes, 1), min(successes + 1, trials)],
        [trials - successes + 1, max(trials - successes, 1)],
        [tail, 1 - tail],
    )
    return float(low) if successes else 0.0, float(high) if successes < trials else 1.0


def holm(p_values: ArrayLike) -> list[float]:
    """Adjusted p-values, order kept (Holm 1979): the i-th smallest of m times m - i + 1, made monotone."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    scaled = p[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted.tolist()


def paired_p(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Two-sided p-value of the paired t test of a and b (..., seeds), as scipy.stats.ttest_rel; differences
    without spread are certain, or none at all."""
    difference = np.subtract(a, b)
    n = difference.shape[-1]
    first, spread = difference[..., 0], np.std(difference, axis=-1, ddof=1)
    alike = np.ptp(difference, axis=-1) <= 1e-12 * abs(first)
    t = np.mean(difference, axis=-1) / np.where(alike, 1.0, spread / math.sqrt(n))
    return np.where(alike, first == 0, 2 * special.stdtr(n - 1, -abs(t)))


def paired_p_everywhere(a: ArrayLike, b: ArrayLike, error: ArrayLike, clusters: ArrayLike) -> np.ndarray:
    """Two-sided p-value that a and b (..., seeds) differ on other test sets too, not on this one alone.

    error: standard error of the difference of means over test sets, NaN where it is not known, so that seeds
    alone speak; clusters: how many it was made from.

    The variance of the difference is that over seeds plus that over test sets, its degrees of freedom
    Satterthwaite's. What both count, each seed's own luck with each cluster, makes the test conservative. It
    is never surer than the paired t test over seeds: a test set that adds little variance but many degrees of
    freedom must not make three seeds look like thirty.
    """
    difference = np.subtract(a, b)
    n = difference.shape[-1]
    seeds, test = np.var(difference, axis=-1, ddof=1) / n, np.square(error)
    known = test > 0
    test = np.where(known, test, 1.0)
    freedom = (seeds + test) ** 2 / (seeds**2 / (n - 1) + test**2 / (np.asarray(clusters) - 1))
    t = np.mean(difference, axis=-1) / np.sqrt(seeds + test)
    alone = paired_p(a, b)
    return np.where(known, np.maximum(alone, 2 * special.stdtr(freedom, -abs(t))), alone)


def plural(count: int, noun: str) -> str:
    """ "1 seed", "2 seeds"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
