"""Plots of a study as a whole: ranks over tasks, learning rates that were tried, scaling laws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.ticker import MaxNLocator, NullLocator

from ..metrics import metric as metric_named
from ..statistics.ranks import Ranking
from ..statistics.scaling import Fit
from .drawing import (
    Plot,
    draw_line,
    file_stem,
    finished,
    label_axes,
    name_panel,
    named_points,
    new_figure,
    number_axis,
)
from .palette import FAINT, INK, MARKERS, styles
from .quantities import count
from .sweep import Entry, Sweep

PANELS = 6  # of the plot of one sweep


def rank_plot(ranks: Ranking, archs: Mapping[str, str]) -> Plot:
    """Mean ranks on a line, best on the left; bars join rows that do not differ (Demsar 2006).

    archs: {row: architecture}, for colours.
    """
    rows = list(ranks.mean_ranks.items())
    looks = styles({row: archs.get(row, row) for row in sorted(ranks.mean_ranks)})
    half = -(-len(rows) // 2)
    bars = [clique for clique in ranks.cliques if len(clique) > 1]
    figure, axes = new_figure(height=0.9 + 0.24 * (half + len(bars)))
    figure.set_layout_engine("constrained")  # names stand on both sides
    low, high = 1.0, float(len(rows))
    axes.set_xlim(low - 0.05, high + 0.05)
    depth = len(bars) + 1.0 + half
    axes.set_ylim(-depth, 1.4)
    for place, clique in enumerate(bars):
        ends = [ranks.mean_ranks[row] for row in (clique[0], clique[-1])]
        axes.plot(ends, [-0.55 - 0.6 * place] * 2, color=INK.light, linewidth=3, solid_capstyle="butt")
    for place, (row, rank) in enumerate(rows):
        left = place < half
        y = -0.6 * len(bars) - 1.0 - (place if left else len(rows) - 1 - place)
        color = looks[row].color
        end = low - 0.05 if left else high + 0.05
        axes.plot([rank, rank, end], [0, y, y], color=color, linewidth=1.1)
        axes.plot(rank, 0, "o", color=color, clip_on=False)
        axes.annotate(
            f"{row}  {rank:.2f}" if left else f"{rank:.2f}  {row}", (end, y), (-4 if left else 4, 0),
            textcoords="offset points", ha="right" if left else "left", va="center", annotation_clip=False,
        )  # fmt: skip
    width = min(ranks.critical_difference, high - low)
    axes.plot([low, low + width], [1.05, 1.05], color=FAINT.light, linewidth=1.4)
    axes.annotate(
        f"critical difference {ranks.critical_difference:.2f}", (low + width, 1.05), (4, 0),
        textcoords="offset points", va="center", color=FAINT.light, fontsize=8, annotation_clip=False,
    )  # fmt: skip
    axes.xaxis.tick_top()
    axes.set_xticks(range(1, len(rows) + 1, -(-len(rows) // 10)))
    axes.yaxis.set_major_locator(NullLocator())
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_position(("data", 0))
    axes.tick_params(axis="x", pad=1, length=3)
    axes.xaxis.set_ticks_position("bottom")
    axes.tick_params(axis="x", labelbottom=False, labeltop=True)
    axes.grid(visible=False)
    return finished(
        figure, "ranks", "Mean rank over tasks", f"Mean rank over {len(ranks.tasks)} tasks; {ranks.text}"
    )


def sweep_plots(sweep: Sweep, archs: Mapping[str, str]) -> list[Plot]:
    """The metric against the learning rate, a panel per task and setting, the chosen rate marked."""
    panels_of: dict[tuple[str, str], list[Entry]] = {}
    for entry in sweep.entries:
        if entry.values:
            where = ", ".join(filter(None, (entry.task, entry.at)))
            panels_of.setdefault((where, entry.primary), []).append(entry)
    if not panels_of or len(sweep.grid) < 2:
        return []
    shown = list(panels_of.items())[:PANELS]
    known = {entry.label: archs.get(entry.label, entry.label) for entry in sweep.entries}
    looks = styles(dict(sorted(known.items())))
    figure, panels = new_figure(len(shown))
    edges = []
    for place, (axes, ((where, primary), entries)) in enumerate(
        zip(np.atleast_1d(panels), shown, strict=True)
    ):
        metric = metric_named(primary)
        scale = metric.scale if metric else 1
        for entry in entries:
            style = looks[entry.label]
            seen = {rate: [scale * value for value in values] for rate, values in entry.values.items()}
            draw_line(axes, entry.label, seen, style, percent=scale == 100)
            if entry.lr in seen:
                axes.plot(
                    entry.lr, np.mean(seen[entry.lr]), "o", markersize=11, markerfacecolor="none",
                    markeredgecolor=style.color, markeredgewidth=1.4,
                )  # fmt: skip
            if entry.edge and entry.lr is not None:
                edges.append(f"{entry.label} on {where} at {entry.lr:g}")
        unit = f"{metric.title} ({metric.unit})" if metric else primary
        label_axes(axes, "learning rate" if place == len(shown) - 1 else "", unit, place == 0)
        if scale == 100:
            axes.set_ylim(-4, 104)
        number_axis(axes, sweep.grid)
        name_panel(axes, where)
    caption = f"{sweep.study}: trials on validation against the learning rate; rings: the rates chosen"
    caption += (
        f"; at the edge of the grid, where a better one may lie outside: {', '.join(edges)}" if edges else ""
    )
    caption += f"; {len(panels_of) - PANELS} more stand in the table" if len(panels_of) > PANELS else ""
    return [finished(figure, f"{file_stem(sweep.study)}-sweep", "Learning rates that were tried", caption)]


def scaling_plot(task: str, fits: Mapping[str, Fit], archs: Mapping[str, str], unit: str) -> Plot | None:
    """Loss against training tokens, a panel per architecture, a curve of the fitted law per size."""
    shown = {name: fit for name, fit in fits.items() if fit.used}
    if not shown:
        return None
    looks = styles({name: archs.get(name, name) for name in shown})
    figure, panels = new_figure(len(shown))
    for place, (axes, (name, fit)) in enumerate(zip(np.atleast_1d(panels), shown.items(), strict=True)):
        color, ends = looks[name].color, []
        for parameters, marker in zip(sorted({p.parameters for p in fit.used}), cycle(MARKERS), strict=False):
            own = [point for point in fit.used if point.parameters == parameters]
            axes.plot([p.tokens for p in own], [p.loss for p in own], marker, color=color, markersize=3.5)
            last = max(p.tokens for p in own)
            ends.append((last, float(np.mean([p.loss for p in own if p.tokens == last]))))
            if fit.drawable:
                tokens = np.geomspace(min(p.tokens for p in own), last, 30)
                axes.plot(tokens, fit.loss(parameters, tokens), color=color, linewidth=1)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.minorticks_off()
        axes.set_title(name, loc="left", pad=3)
        axes.set_xlabel("training tokens" if place == len(shown) - 1 else "")
        axes.set_ylabel(unit)
        ticks = MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(*axes.get_ylim())
        axes.set_yticks(ticks, [f"{at:g}" for at in ticks])
        axes.set_ylim(min(p.loss for p in fit.used) * 0.97, max(p.loss for p in fit.used) * 1.03)
        budgets = sorted({point.tokens for point in fit.used})
        axes.set_xticks(budgets, [count(tokens) for tokens in budgets])
        axes.margins(x=0.14)
        named_points(axes, ends, [count(n) for n in sorted({p.parameters for p in fit.used})])
    bare = [name for name, fit in shown.items() if not fit.drawable]
    caption = f"{task}: {unit} against tokens, a mark per number of parameters"
    caption += " and its curve of L = E + A/N^a + B/D^b" if len(bare) < len(shown) else ""
    caption += f"; no curve where the law cannot be drawn: {', '.join(bare)}" if bare else ""
    return finished(figure, f"{file_stem(task)}-scaling", f"{task}: loss against size and tokens", caption)


def fits_text(fits: Mapping[str, Fit]) -> Sequence[str]:
    """A line per architecture: its exponents with their intervals, or why they are not identified."""
    return [f"{name}: {fit.text}." for name, fit in fits.items()]
