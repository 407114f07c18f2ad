"""What plots are drawn with: style, axes, lines, labels, and SVG that takes its colours from the page."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from .palette import FAINT, INK, RULE, Look, adaptive

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "text.color": INK.light,
    "axes.edgecolor": RULE.light,
    "axes.labelcolor": INK.light,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE.light,
    "grid.linewidth": 0.6,
    "xtick.color": RULE.light,
    "ytick.color": RULE.light,
    "xtick.labelcolor": FAINT.light,
    "ytick.labelcolor": FAINT.light,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "legend.frameon": False,
}
WIDTH, HEIGHT = 4.7, 3.1  # inches; narrow, so that letters stay readable on a phone


@dataclass(frozen=True)
class Plot:
    """name: a file name without suffix. svg: uses the CSS variables of `palette`."""

    name: str
    title: str
    caption: str
    svg: str


def finite(value: Any) -> bool:
    """Whether `value` is a number that can be drawn."""
    return isinstance(value, int | float) and bool(np.isfinite(value))


def new_figure(panels: int = 1, height: float = HEIGHT) -> tuple[Figure, Any]:
    """A figure and its axes (an array of them for several panels, one below the other)."""
    figure = Figure(figsize=(WIDTH, 1.9 * panels + 0.3 if panels > 1 else height), layout="constrained")
    return figure, figure.subplots(panels, 1)


def draw_line(axes: Axes, label: str, seen: Mapping[float, Sequence[float]], style: Look) -> None:
    """{x: one y per seed} as a line through the means and a shaded range."""
    if not seen:
        return
    x = sorted(seen)
    axes.plot(x, [np.mean(seen[at]) for at in x], label=label, **style._asdict())
    if any(len(seen[at]) > 1 for at in x):
        low, high = [min(seen[at]) for at in x], [max(seen[at]) for at in x]
        axes.fill_between(x, low, high, color=style.color, alpha=0.15, linewidth=0)


def draw_across(axes: Axes, heights: Mapping[str, float]) -> None:
    """Horizontal lines, named in the right margin; names that would touch are moved apart."""
    for height in heights.values():
        axes.axhline(height, color=FAINT.light, linewidth=0.9, linestyle=(0, (2, 2)))
    low, high = axes.get_ylim()
    free = low
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        free = max(height, free)
        axes.annotate(
            name, (1, free), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
            ha="left", va="center", color=FAINT.light, fontsize=8, annotation_clip=False,
        )  # fmt: skip
        free += 0.055 * (high - low)
    axes.set_ylim(low, high)


def label_axes(axes: Axes, x: str, y: str, legend: str = "above") -> None:
    """Axis titles, short numbers (1.5M) along x, and a legend "above" or "inside" the axes."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.locator_params(axis="x", nbins=6)
    handles, labels = axes.get_legend_handles_labels()
    if legend == "inside":
        axes.legend(handles, labels, loc="upper right", handlelength=2.6)
        return
    columns = min(4, len(labels)) if max(map(len, labels)) < 14 else 1
    axes.legend(
        handles, labels, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2,
        handlelength=2.6, columnspacing=1.2,
    )  # fmt: skip


def finished(figure: Figure, name: str, title: str, caption: str) -> Plot:
    """The figure as SVG with a viewBox only, its fonts and colours left to the page."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):  # ids that come out the same, and differ between plots
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    for side in ("width", "height"):
        svg = re.sub(rf'(<svg [^>]*?) {side}="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: system-ui, sans-serif", svg)
    svg = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 system-ui, sans-serif", svg)
    return Plot(name, title, caption, adaptive(svg))
