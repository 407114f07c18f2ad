"""Who won a column of a table, or why nobody did.

Seeds tell how a result varies when models are trained again. They are all judged on one test set, which may
suit one architecture and not another: with enough seeds that difference is as significant as one pleases,
and gone with the next test set. So the error of the test set enters the test of each pair
(statistics.paired_p_everywhere), and where its clusters are not known no winner is named. On validation,
which has none, seeds alone speak, and the reason says so. What these rules do to equal architectures:
results/reference/simulation/report.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ..metrics import Metric
from .inference import CONFIDENCE, holm, paired_p, paired_p_everywhere, plural
from .testset import Clusters, paired_errors

SEEDS_NEEDED = 3


@dataclass(frozen=True)
class Verdict:
    """Who won a column, or why nobody did.

    winners   names of the rows that may be called best: one per set of rows that may be compared
    reason    one line for the footer
    """

    winners: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Column:
    """What the rows that may be compared have in a column, and the tests between all of its pairs.

    values    {row: value per seed, NaN where there is none}
    seeds_p   {pair: p-value over seeds}; p: the same with the test set's error, adjusted by Holm over `pairs`
    errors    {pair: standard error of their difference over test sets}, of pairs where it is known
    """

    metric: Metric
    seeds: Sequence[int]
    values: Mapping[str, Sequence[float]]
    seeds_p: Mapping[tuple[str, str], float]
    p: Mapping[tuple[str, str], float]
    errors: Mapping[tuple[str, str], float]


def verdict(
    results: Mapping[str, Mapping[int, float]],
    metric: Metric,
    *,
    test_sets: Mapping[str, Clusters | None] | None = None,
    tested: bool = False,
    may_compare: Mapping[str, str] | None = None,
    barred: Mapping[str, str] | None = None,
    absent: Mapping[str, str] | None = None,
    alpha: float = 1 - CONFIDENCE,
) -> Verdict:
    """Names a winner only where the column supports one.

    results          {row: {seed: value}}; missing or not finite: a run without a result
    test_sets        {row: the metric by cluster of the test set, seeds averaged}
    tested           whether the results are of a test set: then its error has to be known
    may_compare      {row: words}, "" or "among those that saw both sides"; rows of different words are never
                     compared
    barred           {words: why none of these rows can win}
    absent           {row: why it has no results}: nobody it may be compared with wins

    A winner beats every row it may be compared with: every paired test rejects after Holm's adjustment over
    all pairs of the column, every difference of means exceeds the metric's minimum, no seed is missing on
    either side, and there are at least three seeds.
    """
    may_compare, barred, absent = may_compare or dict.fromkeys(results, ""), barred or {}, absent or {}
    seeds = sorted({seed for values in results.values() for seed in values})
    alike = [(a, b) for a, b in combinations(results, 2) if may_compare[a] == may_compare[b]]
    pairs = [(a, b) for a, b in alike if may_compare[a] not in barred]
    if not pairs:
        reasons = dict.fromkeys(barred[may_compare[a]] for a, _ in alike)
        return Verdict((), f"no winner named: {'; '.join(reasons) or 'nothing to compare with'}")
    if len(seeds) < SEEDS_NEEDED:
        return Verdict((), f"no winner named: {plural(len(seeds), 'seed')}, {SEEDS_NEEDED} needed")
    values = {row: [of.get(seed, math.nan) for seed in seeds] for row, of in results.items()}
    column = _tested(metric, seeds, values, pairs, test_sets or {})
    winners, lines = [], []
    for words in dict.fromkeys(may_compare[a] for a, _ in alike):
        rows = [row for row in results if may_compare[row] == words]
        lost = next((row for row in rows if row in absent), None)
        if words in barred:
            winner, line = None, f"no winner named: {barred[words]}"
        elif lost is not None:
            winner, line = None, f"no winner named: {lost} has {absent[lost]}"
        else:
            winner, line = _best_of(rows, column, alpha, tested)
        winners += [winner] if winner else []
        lines.append(f"{words}, {line}" if words else line)
    return Verdict(tuple(winners), "; ".join(lines))


def _tested(
    metric: Metric,
    seeds: Sequence[int],
    values: Mapping[str, Sequence[float]],
    pairs: Sequence[tuple[str, str]],
    test_sets: Mapping[str, Clusters | None],
) -> Column:
    """All pairs tested; one that lacks a seed cannot be, and still counts in Holm's adjustment."""
    rows = list(values)
    place = {row: at for at, row in enumerate(rows)}
    first, second = np.array([[place[a], place[b]] for a, b in pairs]).T
    table = np.array(list(values.values()), dtype=float)
    a, b = table[first], table[second]  # (pairs, seeds)
    whole = np.isfinite(a - b).all(axis=1)
    sets = [test_sets.get(row) for row in rows]
    error = np.where(whole, paired_errors(sets)[first, second], np.nan)
    clusters = np.array([len(each or ()) for each in sets])[first]
    alone, everywhere = np.ones(len(pairs)), np.ones(len(pairs))
    alone[whole] = paired_p(a[whole], b[whole])
    everywhere[whole] = paired_p_everywhere(a[whole], b[whole], error[whole], clusters[whole])
    return Column(
        metric,
        seeds,
        values,
        seeds_p=dict(zip(pairs, holm(alone), strict=True)),
        p=dict(zip(pairs, holm(everywhere), strict=True)),
        errors={pair: float(off) for pair, off in zip(pairs, error, strict=True) if np.isfinite(off)},
    )


def _best_of(rows: Sequence[str], column: Column, alpha: float, tested: bool) -> tuple[str | None, str]:
    for row in rows:
        pairs = zip(column.seeds, column.values[row], strict=True)
        missing = [seed for seed, value in pairs if not math.isfinite(value)]
        if missing:
            return None, f"no winner named: {row} has no result for seed {', '.join(map(str, missing))}"
    metric = column.metric
    means = {row: float(np.mean(column.values[row])) for row in rows}
    best, *others = sorted(rows, key=lambda row: means[row] if metric.lower_is_better else -means[row])
    closest = min(others, key=lambda row: abs(means[row] - means[best]))
    gap = abs(means[closest] - means[best])
    if gap == 0:
        return None, f"no winner named: {best} and {closest} are level"
    if gap <= metric.minimum:
        return None, (
            f"no winner named: {best} is ahead of {closest} by {metric.scale * gap:.2g} {metric.difference}, "
            f"more than {metric.scale * metric.minimum:g} needed"
        )
    met = [(best, other) if (best, other) in column.p else (other, best) for other in others]
    doubtful = max(met, key=column.p.__getitem__)
    against = doubtful[0] if doubtful[1] == best else doubtful[1]
    if column.p[doubtful] >= alpha:
        why = f"no winner named: {best} against {against}, Holm-adjusted p = {column.p[doubtful]:.2g}"
        if column.seeds_p[doubtful] < alpha:
            error = f"{metric.scale * column.errors[doubtful]:.2g} {metric.difference}"
            why += f" with the test set's error of {error} ({column.seeds_p[doubtful]:.2g} over seeds alone)"
        return None, why
    tests = f"Holm over {plural(len(column.p), 'pair')}: largest p = {column.p[doubtful]:.2g}"
    known = all(pair in column.errors for pair in met)
    if tested and not known:
        return None, f"no winner named: {best} is ahead, but the error of the test set is not known"
    scope = "seeds and test set" if known else "seeds alone: the error of the evaluated examples is not known"
    return best, f"{best} is best (paired t tests, {tests}; over {scope})"
