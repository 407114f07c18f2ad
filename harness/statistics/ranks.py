"""Which architectures rank apart over many tasks: Friedman's test, then Nemenyi's critical difference.

Demsar, Statistical comparisons of classifiers over multiple data sets, JMLR 7 (2006). Written out with
scipy.special, since a report would wait longer for scipy.stats than for all of its own statistics; tested
equal to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import special

ROWS_NEEDED = 3  # two are a matter of a paired test
TASKS_NEEDED = 4  # of three rows on three tasks, only one and the same order on all could ever be significant
ALPHA = 0.05


@dataclass(frozen=True)
class Ranking:
    """mean_ranks           {row: mean rank over tasks}, best (1) first; ties share the mean of their ranks
    p                    of Friedman's test that all rows rank alike
    critical_difference  of mean ranks; two rows that are further apart differ (Nemenyi)
    cliques              groups of rows among which no difference is shown, best first; groups of one left out
    tasks                those that counted: every row has a score there
    text                 one line for below the plot
    """

    mean_ranks: Mapping[str, float]
    p: float
    critical_difference: float
    cliques: tuple[tuple[str, ...], ...]
    tasks: tuple[str, ...]
    text: str


def ranking(
    scores: Mapping[str, Mapping[str, float | None]],
    higher_is_better: Mapping[str, bool] | bool = True,
    alpha: float = ALPHA,
) -> Ranking | str:
    """Rank rows over tasks, {task: {row: score}}, or say in one line why not.

    higher_is_better: per task, or for all. A task where a row has no finite score is left out, and named.
    """
    rows = list(dict.fromkeys(row for of in scores.values() for row in of))
    whole = {task: of for task, of in scores.items() if all(_known(of.get(row)) for row in rows)}
    lost = [task for task in scores if task not in whole]
    without = f" (left out, where a row has no score: {', '.join(lost)})" if lost else ""
    if len(rows) < ROWS_NEEDED:
        return f"no ranks over tasks: rows to rank are {len(rows)}, {ROWS_NEEDED} needed"
    if len(whole) < TASKS_NEEDED:
        needed = f"they need {TASKS_NEEDED} tasks with a score in every row"
        return f"no ranks over tasks: {needed}, here are {len(whole)}{without}"
    table = np.array([[of[row] for row in rows] for of in whole.values()], dtype=float)
    better = [higher_is_better if isinstance(higher_is_better, bool) else higher_is_better[t] for t in whole]
    ranks = ranks_of(np.where(np.array(better)[:, None], -table, table))
    mean = ranks.mean(axis=0)
    order = sorted(range(len(rows)), key=lambda i: mean[i])
    ordered = {rows[i]: float(mean[i]) for i in order}
    p = friedman_p(ranks)
    distance = critical_difference(len(rows), len(whole), alpha)
    found = cliques(ordered, distance) if p < alpha else (tuple(ordered),)
    over = f"Friedman over {len(whole)} tasks: p = {p:.2g}{without}"
    said = (
        f"rows whose mean ranks are within {distance:.2f} (Nemenyi, {alpha:g}) do not differ"
        if p < alpha
        else "no difference between any rows is shown"
    )
    return Ranking(ordered, p, distance, found, tuple(whole), f"{over}; {said}")


def _known(score: float | None) -> bool:
    return score is not None and math.isfinite(score)


def ranks_of(table: np.ndarray) -> np.ndarray:
    """(tasks, rows) ranks of the numbers of each task, the smallest 1; ties share the mean of theirs."""
    own, other = table[:, :, None], table[:, None, :]
    return (other < own).sum(axis=2) + ((other == own).sum(axis=2) + 1) / 2


def friedman_p(ranks: np.ndarray) -> float:
    """p-value of Friedman's test, corrected for ties, given ranks (tasks, rows); 1 where all are tied."""
    tasks, rows = ranks.shape
    spread = ((ranks - (rows + 1) / 2) ** 2).sum() / (tasks * (rows - 1))  # of a rank, ties counted
    if spread == 0:
        return 1.0
    between = tasks * ((ranks.mean(axis=0) - (rows + 1) / 2) ** 2).sum()
    return float(special.chdtrc(rows - 1, between / spread))


@cache
def critical_difference(rows: int, tasks: int, alpha: float = ALPHA) -> float:
    """Nemenyi's: q sqrt(k (k + 1) / (6 N)), q the studentized range of k means over sqrt(2)."""
    low, high = 0.0, 20.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _range_below(middle, rows) < 1 - alpha else (low, middle)
    return low / math.sqrt(2) * math.sqrt(rows * (rows + 1) / (6 * tasks))


def _range_below(q: float, rows: int) -> float:
    """Probability that so many standard normal numbers lie within a range of q."""
    z = np.linspace(-9, 9 + q, 2001)  # of the largest; of so smooth an integrand a sum is as good as exact
    inside = special.ndtr(z) - special.ndtr(z - q)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return float((rows * density * inside ** (rows - 1)).sum() * (z[1] - z[0]))


def cliques(mean_ranks: Mapping[str, float], distance: float) -> tuple[tuple[str, ...], ...]:
    """The largest groups of neighbouring rows, given in order of rank, that lie within `distance`."""
    rows, ranks = list(mean_ranks), list(mean_ranks.values())
    found: list[tuple[str, ...]] = []
    reached = 0
    for first in range(len(rows)):
        last = max(i for i in range(first, len(rows)) if ranks[i] - ranks[first] <= distance)
        if last > first and last + 1 > reached:
            found.append(tuple(rows[first : last + 1]))
            reached = last + 1
    return tuple(found)
