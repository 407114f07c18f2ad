"""`python -m harness.statistics.simulate`: what the tables' statistics do on data whose answer is known.

Every number comes from the functions that make the tables (statistics, verdict, testset, ranks, scaling, and
the study engine's choice of a learning rate), fed with simulated runs. Writes report.md; under two minutes on
one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy import stats
from tabulate import tabulate

from .inference import clopper_pearson, t_interval
from .naming import SEEDS, Rows, false_classifiers, false_solvers, false_winners, percent, power
from .ranks import Ranking, ranking
from .scaling import Fit, Point, fit
from .testset import Clusters, interval

COMMAND = "python -m harness.statistics.simulate"
SEED = 20240817
OUT = Path("results/reference/simulation")


def seed_intervals(rng: np.random.Generator, studies: int = 10_000) -> Rows:
    """Share of studies whose t interval over seeds holds the true mean."""
    shapes: dict[str, tuple[Callable[[tuple[int, int]], np.ndarray], float]] = {
        "normal": (lambda shape: rng.normal(size=shape), 0.0),
        "t with 5 degrees of freedom": (lambda shape: rng.standard_t(5, size=shape), 0.0),
        "skewed (gamma, shape 8)": (lambda shape: rng.gamma(8, size=shape), 8.0),
    }
    for name, (draw, mean) in shapes.items():
        covered = []
        for seeds in SEEDS:
            found = np.array([t_interval(values) for values in draw((studies, seeds))])
            covered.append(float(np.mean((found[:, 0] <= mean) & (mean <= found[:, 1]))))
        yield name, *map(percent, covered)


def other_test_sets(rng: np.random.Generator, trials: int = 300) -> Rows:
    """Coverage of intervals for bits per byte of documents that differ in length and difficulty."""
    for documents in (10, 25, 50, 100, 250):
        covered = np.zeros(3)
        for _ in range(trials):
            count = rng.lognormal(6, 0.5, size=documents)
            total = count * rng.gamma(20, 0.1, size=documents)
            clusters = Clusters(range(documents), total, count)
            bca = stats.bootstrap(
                (total, count), _ratio, paired=True, n_resamples=999, method="BCa", rng=rng
            ).confidence_interval
            plain = np.quantile(clusters.resampled, [0.025, 0.975])
            covered += [low <= 2.0 <= high for low, high in (interval(clusters) or (0, 0), plain, bca)]
        yield documents, *map(percent, covered / trials)


def _ratio(total: np.ndarray, count: np.ndarray, axis: int = -1) -> np.ndarray:
    return total.sum(axis=axis) / count.sum(axis=axis)


def solved_or_not(rng: np.random.Generator, studies: int = 2000) -> Rows:
    """Intervals where a run solves its task with some probability or stays at an accuracy of about 25%."""
    for seeds in SEEDS:
        exact = [clopper_pearson(k, seeds) for k in range(seeds + 1)]
        for chance in (0.1, 0.3, 0.5, 0.7, 0.9):
            weights = stats.binom.pmf(range(seeds + 1), seeds, chance)
            covered = sum(w for w, (low, high) in zip(weights, exact, strict=True) if low <= chance <= high)
            length = sum(w * (high - low) for w, (low, high) in zip(weights, exact, strict=True))
            values = np.where(rng.random((studies, seeds)) < chance, 1.0, 0.25)
            low, high = np.array([t_interval(row) for row in values + rng.normal(0, 1e-3, values.shape)]).T
            mean = chance + 0.25 * (1 - chance)
            ts = float(np.mean((low <= mean) & (mean <= high))), float(np.mean(high - low))
            yield seeds, chance, percent(covered), f"{length:.2f}", percent(ts[0]), f"{ts[1]:.2f}"


def ranks(rng: np.random.Generator, tables: int = 1000) -> Rows:
    """Share of rankings of equal rows in which any two are said to differ."""
    for rows in (3, 4, 8):
        shares = []
        for tasks in (4, 6, 12):
            apart = 0
            for scores in rng.normal(size=(tables, tasks, rows)):
                found = ranking(
                    {
                        str(t): dict(zip("abcdefgh", map(float, of), strict=False))
                        for t, of in enumerate(scores)
                    }
                )
                apart += isinstance(found, Ranking) and found.cliques != (tuple(found.mean_ranks),)
            shares.append(apart / tables)
        yield rows, *map(percent, shares)


TRUTH = Fit(E=1.2, A=60.0, a=0.4, B=300.0, b=0.45)


def scaling_runs(noise: float, rng: np.random.Generator, *, sides: int = 4, seeds: int = 3) -> list[Point]:
    """Runs of a known law on a square of sizes and budgets, each side a factor of 20, off by `noise`."""
    sizes, budgets = np.geomspace(1e5, 2e6, sides), np.geomspace(1e6, 2e7, sides)
    return [
        Point(float(n), float(d), float(TRUTH.loss(n, d) * np.exp(rng.normal(0, noise))), seed)
        for n in sizes
        for d in budgets
        for seed in range(seeds)
    ]


def scaling(rng: np.random.Generator, trials: int = 25) -> Rows:
    """Coverage of the exponents' intervals, and how often they are identified."""
    for noise in (0.002, 0.01, 0.05):
        fits = [fit(scaling_runs(noise, rng), resamples=100) for _ in range(trials)]
        held = [
            np.mean([f.intervals[x][0] <= getattr(TRUTH, x) <= f.intervals[x][1] for f in fits]) for x in "ab"
        ]
        wide = [np.median([np.subtract(*f.intervals[x][::-1]) for f in fits]) for x in "ab"]
        known = np.mean([f.identified for f in fits])
        yield (
            f"{noise:.1%}",
            *(percent(float(h)) for h in held),
            *(f"{w:.2f}" for w in wide),
            percent(float(known)),
        )


def report(seed: int = SEED) -> str:
    """report.md, every section from a random stream of its own."""
    over = [f"n = {n}" for n in SEEDS]
    rng = [np.random.default_rng([seed, section]) for section in range(9)]
    world = ["world", *over, *(f"seeds alone, {n}" for n in over)]
    solved = ["seeds", "probability", "Clopper-Pearson covers", "length", "t would cover", "length"]
    exponents = ["noise", "a covered", "b covered", "width of a", "width of b", "identified"]
    classified = ["suits", "column", *over, *(f"seeds alone, {n}" for n in over)]
    tables = [
        _table(["results of a run are", *over], seed_intervals(rng[0])),
        _table(world, false_winners(rng[1])),
        _table(["better by", *over], power(rng[2])),
        _table(["documents", "expanded", "plain percentiles", "BCa"], other_test_sets(rng[3])),
        _table(solved, solved_or_not(rng[4])),
        _table(["architectures", "probability", *over], false_solvers(rng[5])),
        _table(["architectures", "4 tasks", "6 tasks", "12 tasks"], ranks(rng[6])),
        _table(exponents, scaling(rng[7])),
        _table(classified, false_classifiers(rng[8])),
    ]
    return TEXT.format(COMMAND, *tables)


TEXT = """# What the statistics do where the answer is known

```sh
{}
```

Intervals are meant to hold the truth in 95% of studies, and equal architectures to have a winner in at most
5% of tables. A spread is the standard deviation of a run over seeds: 0.02 bits per byte, of which the runs
of one seed share half the variance.

## Intervals over seeds hold the true mean

Student's t over seeds; 10,000 simulated studies each.

{}

## Four equal architectures: how often is a winner named?

300 tables each, of two columns. Each architecture's learning rate is chosen by the study engine's function
from a grid of three, on one tuning seed; fresh seeds are trained at that rate and judged on a test set of
50 documents (the small one: 25). A test set may suit one architecture more than another, by a standard
deviation that no number of seeds reduces. *Seeds alone* is what paired t tests with Holm's adjustment would
name without the test set's error: this is why it is part of every test.

{}

## One architecture is better: how often is it named?

100 tables each; the test set suits architectures by 0.25 spreads.

{}

## Intervals over test sets hold the true value

Bits per byte of documents whose lengths and difficulties are skewed; 300 test sets each. Tables show
*expanded* percentiles; BCa is scipy's.

{}

## Tasks that are solved or not

A run solves its task with some probability, or stays at an accuracy of 25%. Clopper-Pearson intervals,
which tables show, hold the probability this often (exact); a t interval, of the mean accuracy, would have
held it this often (2,000 studies each).

{}

Equal architectures on such a task: how often is a winner named? 1,000 tables each.

{}

## Equal architectures ranked over tasks: how often do any two differ?

Friedman's test, then Nemenyi's critical difference; 1,000 rankings each.

{}

## Scaling laws are recovered, or said not to be identified

L = 1.2 + 60/N^0.4 + 300/D^0.45 at 4 sizes and 4 budgets over a factor of 20 each, 3 seeds, off by normal
noise of log L; 25 studies each, 100 resamples. Points are resampled as well as seeds, since a law is only
roughly true: where it holds exactly, as here, the intervals are longer than they need be.

{}

## Four equal classifiers: how often is a winner named?

300 tables each, of a test set of 50 documents of two classes. A document may suit one architecture more than
another, by so much (standard deviation) of log odds. Of accuracy the test set's error is known by document.
Macro F1 is one number of the whole test set, whose error no table knows: on it no winner is named. *Seeds
alone* is what would be named without that rule.

{}
"""


def _table(headers: Sequence[str], rows: Rows) -> str:
    right = ["left", *["right"] * (len(headers) - 1)]
    return tabulate(list(rows), headers=headers, tablefmt="pipe", disable_numparse=True, colalign=right)


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Write the simulation report.")
    parser.add_argument(
        "--out", type=Path, default=OUT, help=f"folder for report.md and command.txt (default: {OUT})"
    )
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.md").write_text(report(), encoding="utf-8")
    (out / "command.txt").write_text(COMMAND + "\n", encoding="utf-8")
    print(out / "report.md")


if __name__ == "__main__":
    main()
