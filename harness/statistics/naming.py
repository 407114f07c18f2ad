"""How often tables of simulated studies name a winner: where all are equal, and where one is better."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .verdict import verdict
from .worlds import World, classification, recall, study

Rows = Iterable[Sequence[object]]
SEEDS = (3, 5, 10)
EQUAL = (
    World("rates that all cost the same", rates=(0.0, 0.0, 0.0)),
    World("rates that cost 0.75 spreads", rates=(0.75, 0.0, 0.75)),
    World("rates that cost 1.5 spreads", rates=(1.5, 0.0, 1.5)),
    World("the same, nothing shared by a seed's runs", rates=(1.5, 0.0, 1.5), shared=0.0),
    World("the same, 3 tuning seeds", rates=(1.5, 0.0, 1.5), shared=0.0, tuning=3),
    World("a test set that suits some (0.5 spreads)", suits=0.5),
    World("a small test set that suits some (1 spread)", suits=1.0, documents=25),
    World("a small test set that suits some (2 spreads)", suits=2.0, documents=25),
)


def percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def named(world: World, seeds: int, tables: int, rng: np.random.Generator) -> tuple[float, float]:
    """Shares of tables with a winner in any column: as tables name them, and over seeds alone."""
    counts = np.zeros(2)
    for _ in range(tables):
        table = study(world, seeds, rng)
        alone = [verdict({row.label: row.values(m.key) for row in table.rows}, m) for m in table.metrics]
        counts += any(v.winners for v in table.verdicts.values()), any(v.winners for v in alone)
    everywhere, over_seeds = counts / tables
    return float(everywhere), float(over_seeds)


def false_winners(rng: np.random.Generator, tables: int = 300) -> Rows:
    """Per world of four equal architectures: shares of tables that name a winner, and that would have."""
    for world in EQUAL:
        found = [named(world, seeds, tables, rng) for seeds in SEEDS]
        yield world.name, *(percent(share) for share, _ in found), *(percent(share) for _, share in found)


def power(rng: np.random.Generator, tables: int = 100) -> Rows:
    """Share of tables that name the architecture that is better, by how much it is."""
    for ahead in (1.0, 2.0, 4.0, 8.0):
        world = World("ahead", ahead=ahead, suits=0.25)
        yield f"{ahead:g} x the spread", *(percent(named(world, seeds, tables, rng)[0]) for seeds in SEEDS)


def false_solvers(rng: np.random.Generator, tables: int = 1000) -> Rows:
    """Share of tables of equal architectures that name a winner where runs solve the task or do not."""
    for archs in (2, 4):
        for chance in (0.25, 0.5, 0.75):
            shares = []
            for seeds in SEEDS:
                made = (recall(archs, seeds, chance, rng) for _ in range(tables))
                shares.append(sum(bool(t.verdicts["accuracy"].winners) for t in made) / tables)
            yield archs, chance, *map(percent, shares)


def false_classifiers(rng: np.random.Generator, tables: int = 300) -> Rows:
    """Per column of equal classifiers: shares of tables that name a winner, and would over seeds alone."""
    for suits in (0.0, 1.0, 2.0):
        named: dict[str, list[float]] = {}
        for seeds in SEEDS:
            made = [classification(suits, seeds, rng) for _ in range(tables)]
            for key in ("accuracy", "macro_f1"):
                metric = next(metric for metric in made[0].metrics if metric.key == key)
                alone = (verdict({r.label: r.values(key) for r in table.rows}, metric) for table in made)
                shares = named.setdefault(metric.title, []), named.setdefault(f"{metric.title} alone", [])
                shares[0].append(sum(bool(table.verdicts[key].winners) for table in made) / tables)
                shares[1].append(sum(bool(each.winners) for each in alone) / tables)
        for title in ("accuracy", "macro F1"):
            yield f"{suits:g}", title, *map(percent, [*named[title], *named[f"{title} alone"]])
