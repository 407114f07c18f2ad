"""Quality against what it took: tokens, FLOPs, parameters, seconds, state; who is best for less is marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ..metrics import Metric
from .drawing import Plot, finished, legend_above, named_points, new_figure, spread
from .frontier import frontier
from .palette import FAINT, Look, looks
from .pretraining import SPENT
from .quantities import COST, Quantity
from .summary import Comparison, Row
from .tables import is_shared

AGAINST = ("tokens", "flops", "parameters_non_embedding", "seconds", "state_bytes")
LETTERS = 60  # of all names, up to which they stand beside the points; more would lie over each other
APART = 1.1  # largest over smallest from which costs are worth a panel: sizes are only solved to within 2%


def quality_against_cost(comparison: Comparison, metric: Metric, stem: str) -> Plot | None:
    """One panel per cost in which the rows differ; None where they differ in none."""
    rows = [(row, style) for row, style in looks(comparison.rows) if row.values(metric.key)]
    shown = [q for key in AGAINST for q in COST if q.key == key and _differ([r for r, _ in rows], q)]
    if not shown:
        return None
    solved = comparison.solved_from is not None
    figure, panels = new_figure(len(shown))
    named = sum(len(row.label) for row, _ in rows) <= LETTERS
    for axes, quantity in zip(np.atleast_1d(panels), shown, strict=True):
        _panel(axes, rows, metric, quantity, solved, named)
    if not named:
        legend_above(np.atleast_1d(panels)[0])
    middle = "median" if solved else "mean"
    arrow = "lower" if metric.lower_is_better else "higher"
    caption = (
        f"{comparison.title}: {middle} {metric.title} ({arrow} is better) against "
        f"{', '.join(quantity.title for quantity in shown)}; the dashed line is the frontier: "
        "no other row is better for less; bars: 95% interval over seeds, or their range"
    )
    absent = [row.label for row, _ in rows if any(row.in_all(*q.path) == 0 for q in shown)]
    if absent:
        caption += f"; nothing of the kind: {', '.join(absent)}"
    if any(row.mean("before", *q.path) for row, _ in rows for q in shown):
        caption += "; what the runs behind init_from had cost is counted"
    hollow = [why for q in shown for row, _ in rows if (why := _incomparable(row, q))]
    caption += f"; hollow marks: {', or '.join(dict.fromkeys(hollow))}" if hollow else ""
    return finished(
        figure, f"{stem}-cost", f"{metric.title[:1].upper()}{metric.title[1:]} against cost", caption
    )


def _differ(rows: Sequence[Row], quantity: Quantity) -> bool:
    values = [value for row in rows if (value := row.in_all(*quantity.path))]
    return len(values) > 1 and max(values) > APART * min(values)


def _incomparable(row: Row, quantity: Quantity) -> str:
    """Why what a row took of it says little, or is not all; empty where neither."""
    if quantity.timing and is_shared(row):
        return "timed while other runs used the machine"
    unknown = quantity.key in SPENT and row.starts and row.mean("before", *quantity.path) is None
    return "without what init_from had cost, which is not recorded" if unknown else ""


def _panel(
    axes: Axes,
    rows: Sequence[tuple[Row, Look]],
    metric: Metric,
    quantity: Quantity,
    solved: bool,
    named: bool,
) -> None:
    """named: whether names stand beside the points."""
    points: list[tuple[float, float]] = []
    names: list[str] = []
    for row, style in rows:
        cost = row.in_all(*quantity.path)
        if not cost:
            continue
        values = [metric.scale * value for value in row.values(metric.key).values()]
        middle = float(np.median(values) if solved else np.mean(values))
        low, high = spread(values, solved)
        hollow = bool(_incomparable(row, quantity))
        axes.errorbar(
            cost, middle, [[max(middle - low, 0)], [max(high - middle, 0)]],
            color=style.color, marker=style.marker, markersize=6, elinewidth=1, linestyle="", label=row.label,
            markerfacecolor="none" if hollow else style.color,
        )  # fmt: skip
        points.append((cost, middle))
        names.append(row.label)
    best = frontier(points, lower_is_better=metric.lower_is_better)
    x, y = np.array([points[i] for i in best]).T
    axes.step(x, y, where="post", color=FAINT.light, linewidth=1, linestyle=(0, (4, 2)), zorder=0)
    axes.set_xscale("log")
    axes.margins(x=0.22, y=0.18)
    if named:
        named_points(axes, points, names)
    heading = quantity.heading + (" (non-embedding)" if quantity.key == "parameters" else "")
    axes.set_xlabel(heading)
    axes.set_ylabel(f"{metric.title} ({metric.unit})")
    axes.minorticks_off()
    _few_ticks(axes, [cost for cost, _ in points], quantity)


def _few_ticks(axes: Axes, costs: Sequence[float], quantity: Quantity) -> None:
    """Three or so round numbers, also where the costs lie within one decade."""
    axes.set_xticks([float(at) for at in np.geomspace(min(costs), max(costs), 3)])
    show: Any = FuncFormatter(lambda value, _: quantity.show(value))
    axes.xaxis.set_major_formatter(show)
    axes.yaxis.set_major_locator(MaxNLocator(4))
