"""Which plots a report shows: those that the runs allow, and no more than a reader can use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import matplotlib as mpl
import numpy as np

from ..statistics.ranks import Ranking
from .across import Across
from .drawing import STYLE, Plot
from .labelling import base_of, name_of
from .laws import laws
from .lengths import Lengths
from .plot_bench import bench_plots
from .plot_cost import quality_against_cost
from .plot_curves import learning, losses, read_curves
from .plot_grid import against_grid
from .plot_parts import parts
from .plot_places import places
from .plot_plane import planes
from .plot_study import fits_text, rank_plot, scaling_plot, sweep_plots
from .summary import Comparison, Row
from .sweep import Sweep
from .tables import headline

MOST = 10  # rows that one plot can show
RANKED = 16  # rows that the plot of ranks can show
FEW = 3  # tables up to which training losses are drawn: they explain a curve, and answer no question


@mpl.rc_context(STYLE)
def plots(comparison: Comparison, stem: str, tables: int = 1) -> list[Plot]:
    """The plots of one of so many tables; `stem` begins the file names.

    A table with more than MOST rows is drawn through the best row of each architecture.
    """
    metric = headline(comparison)
    if len(comparison.rows) > MOST:
        differs = ", ".join(filter(None, (comparison.differs, "the best row of each architecture")))
        comparison = replace(comparison, rows=_best_rows(comparison), differs=differs)
    curves = read_curves(comparison.rows)
    # What fills a gap is another question than what continues a text; other metrics follow the headline.
    shown = [each for each in comparison.metrics if each == metric or each.key == "infill_bpb"]
    drawn: list[Plot | None] = [learning(comparison, each, curves, stem) for each in shown]
    if metric is not None:
        drawn += [*parts(comparison, metric, stem), *places(comparison, stem)]
        drawn.append(quality_against_cost(comparison, metric, stem))
    drawn += [losses(comparison, curves, stem)] if tables <= FEW else []
    return [plot for plot in drawn if plot]


def _best_rows(comparison: Comparison) -> tuple[Row, ...]:
    """One row per architecture, the best by the table's headline metric: at most MOST of them."""
    metric = headline(comparison)

    def rank(row: Row) -> float:
        estimate = row.estimate(metric.key) if metric else None
        if metric is None or estimate is None:
            return np.inf
        return estimate[0] if metric.lower_is_better else -estimate[0]

    ranked = sorted(comparison.rows, key=rank)
    best = list({base_of(row.runs[0]): row for row in reversed(ranked)}.values())  # the first of each stays
    kept = sorted(best, key=rank)[:MOST]
    return tuple(row for row in comparison.rows if row in kept)


@dataclass(frozen=True)
class Overview:
    """Plots of all tables together, and the lines that belong below them."""

    plots: Sequence[Plot]
    lines: Sequence[str]


@mpl.rc_context(STYLE)
def overview(comparisons: Sequence[Comparison], side: Across | None, sweeps: Sequence[Sweep]) -> Overview:
    """Ranks over tasks, metrics against the axes of the grid, scaling laws, and the sweeps."""
    archs = {row.label: row.arch for each in comparisons for row in each.rows}
    archs |= {name_of(row.runs[0]): row.arch for each in comparisons for row in each.rows}
    drawn: list[Plot] = []
    if side is not None and isinstance(side.ranks, Ranking) and len(side.ranks.mean_ranks) <= RANKED:
        drawn.append(rank_plot(side.ranks, archs))
    drawn += against_grid(comparisons)
    lines: list[str] = []
    for law in laws(comparisons):
        plot = scaling_plot(law.title, law.fits, archs, f"{law.metric.title} ({law.metric.unit})")
        drawn += [plot] if plot else []
        lines += [f"Scaling on {law.title}, L = E + A/N^a + B/D^b; {line}" for line in fits_text(law.fits)]
    for sweep in sweeps:
        drawn += sweep_plots(sweep, archs)
    return Overview(drawn, lines)


def length_plots(part: Lengths, comparisons: Sequence[Comparison]) -> list[Plot]:
    """Cost against length, and quality against cost where runs tell it by length."""
    stem = part.stem.replace("lengths", "bench")
    return [*bench_plots(part.setting, stem), *planes(part.setting, comparisons, stem)]
