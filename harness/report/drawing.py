"""What plots are drawn with: style, axes, lines, labels, and SVG that takes its colours from the page."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from ..counts import format_count
from ..statistics.inference import t_interval
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
LETTER, LINE = 0.068, 0.17  # inches that a letter and a line of text take at this size
BESIDE = ("axes fraction", "data")  # where names in the right margin are placed
LEAST = 1.15  # height of a panel, in inches
WIDTH, HEIGHT = 4.7, 3.1  # inches; narrow, so that letters stay readable on a phone


@dataclass(frozen=True)
class Plot:
    """name: a file name without suffix. svg: uses the CSS variables of `palette`."""

    name: str
    title: str
    caption: str
    svg: str


def file_stem(text: str) -> str:
    """`text` as part of a file name."""
    return re.sub(r"[^\w-]+", "-", text)


def finite(value: Any) -> bool:
    """Whether `value` is a number that can be drawn."""
    return isinstance(value, int | float) and bool(np.isfinite(value))


def new_figure(panels: int = 1, height: float = HEIGHT) -> tuple[Figure, Any]:
    """A figure and its axes (an array of them for several panels, one below the other)."""
    figure = Figure(figsize=(WIDTH, 1.9 * panels + 0.3 if panels > 1 else height))
    return figure, figure.subplots(panels, 1)


def draw_line(
    axes: Axes,
    label: str,
    seen: Mapping[float, Sequence[float]],
    style: Look,
    *,
    percent: bool = False,
    solved: bool = False,
) -> None:
    """{x: one y per seed} as a line through the means and their shaded 95% interval (`spread`).

    percent: an interval ends at 0 and 100. solved: of values that are one thing or the other, as where a
    task is solved or not, the line is the median.
    """
    if not seen:
        return
    x = sorted(seen)
    middle = np.median if solved else np.mean
    axes.plot(x, [middle(seen[at]) for at in x], label=label, **style._asdict())
    if any(len(seen[at]) > 1 for at in x):
        low, high = np.array([spread(seen[at], solved) for at in x]).T
        if percent:
            low, high = np.clip(low, 0, 100), np.clip(high, 0, 100)
        axes.fill_between(x, low, high, color=style.color, alpha=0.15, linewidth=0)


def spread(values: Sequence[float], solved: bool = False) -> tuple[float, float]:
    """What is shaded around a line: of three seeds or more the 95% interval of the mean (Student's t); of two
    their range, since an interval would fill the plot; and so of values that are one thing or the other."""
    interval = t_interval(values) if len(values) > 2 and not solved else None
    return interval or (min(values), max(values))


def shading(rows: Iterable[int], solved: bool = False) -> str:
    """What a caption says of the shading, given the number of seeds of each row."""
    most = max(rows, default=0)
    if most < 2:
        return ""
    if solved:
        return "; lines are medians over seeds, shaded their range"
    return "; shaded: 95% interval over seeds" if most > 2 else "; shaded: range of two seeds"


def draw_across(axes: Axes, heights: Mapping[str, float]) -> None:
    """Horizontal lines, named in the right margin; names that would touch are moved apart."""
    for height in heights.values():
        axes.axhline(height, color=FAINT.light, linewidth=0.9, linestyle=(0, (2, 2)))
    low, high = axes.get_ylim()
    free = low
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        free = max(height, free)
        axes.annotate(
            name, (1, free), xycoords=BESIDE, xytext=(4, 0), textcoords="offset points",
            ha="left", va="center", color=FAINT.light, fontsize=8, annotation_clip=False,
        )  # fmt: skip
        free += 0.055 * (high - low)
    axes.set_ylim(low, high)


def label_axes(axes: Axes, x: str, y: str, legend: bool = True) -> None:
    """Axis titles, short numbers (1.5M) along x, and a legend above the axes, or none."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.locator_params(axis="x", nbins=6)
    if legend:
        legend_above(axes)


def legend_above(axes: Axes) -> None:
    """Names and looks of what is drawn, in as many columns as the width allows."""
    handles, labels = axes.get_legend_handles_labels()
    columns = max(1, min(4, len(labels), int(4.2 / (0.55 + LETTER * max(map(len, labels))))))
    above = axes.legend(
        handles, labels, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2,
        handlelength=2.6, columnspacing=1.2,
    )  # fmt: skip
    above.set_label(str(-(-len(labels) // columns)))  # lines, for `arrange`


def arrange(figure: Figure) -> None:
    """Room for what stands around each panel, one below the other.

    By the number of lines and letters: matplotlib's own layouts measure everything by drawing it, which takes
    as long as the plot.
    """
    width, height = figure.get_size_inches()
    panels = figure.axes
    ticks = [len(label.get_text()) for axes in panels for label in axes.get_yticklabels()]
    left = 0.34 + LETTER * max(ticks, default=0) + LINE * max(a.get_ylabel().count("\n") for a in panels)
    beside = [t.get_text() for axes in panels for t in axes.texts if getattr(t, "xycoords", None) == BESIDE]
    right = 0.16 + LETTER * max(map(len, beside), default=0)
    right += LINE * any(text.get_rotation() for axes in panels for text in axes.texts)
    above = [LINE * (_legend_lines(axes) + bool(axes.get_title("left"))) + 0.1 for axes in panels]
    below = [LINE * (1.4 + 1.1 * bool(axes.get_xlabel())) for axes in panels]
    own = max((height - sum(above) - sum(below)) / len(panels), LEAST)
    height = own * len(panels) + sum(above) + sum(below)
    figure.set_size_inches(width, height)
    top = height
    for axes, over, under in zip(panels, above, below, strict=True):
        bottom = top - over - own
        axes.set_position((left / width, bottom / height, (width - left - right) / width, own / height))
        top = bottom - under


def _legend_lines(axes: Axes) -> int:
    legend = axes.get_legend()
    told = str(legend.get_label()) if legend else ""
    return int(told) if told.isdigit() else 0


def finished(figure: Figure, name: str, title: str, caption: str) -> Plot:
    """The figure as SVG with a viewBox only, its fonts and colours left to the page."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):  # ids that come out the same, and differ between plots
        if figure.get_layout_engine() is None:
            arrange(figure)
        figure.patch.set_visible(False)
        for axes in figure.axes:
            axes.patch.set_visible(False)
        # savefig would draw everything twice, the first time for a layout that is made already.
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    for side in ("width", "height"):
        svg = re.sub(rf'(<svg [^>]*?) {side}="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: system-ui, sans-serif", svg)
    svg = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 system-ui, sans-serif", svg)
    return Plot(name, title, caption, adaptive(svg))


def name_panel(axes: Axes, name: str) -> None:
    """What a panel is about, along its right side."""
    axes.annotate(
        name, (1, 0.5), xycoords="axes fraction", xytext=(6, 0), textcoords="offset points", rotation=270,
        ha="left", va="center", fontsize=8, color=FAINT.light, annotation_clip=False,
    )  # fmt: skip


def mark_missing(axes: Axes, at: Sequence[float], style: Look, level: int) -> None:
    """Crosses above the lower edge, at each `level` those of one row: here it cannot be asked."""
    if at:
        edge = axes.get_xaxis_transform()  # x in data, y in parts of the axes
        height = 0.03 + 0.05 * level
        axes.plot(at, [height] * len(at), "x", color=style.color, markersize=6, transform=edge, clip_on=False)


def mark_trained(axes: Axes, at: float) -> None:
    """An upright line where training ended, named in the legend."""
    axes.axvline(at, color=FAINT.light, linewidth=1.3, linestyle=(0, (2, 2)), zorder=0, label="trained")


def number_axis(axes: Axes, numbers: Sequence[float]) -> None:
    """Ticks at the numbers there are, on a logarithmic axis where they are spread out like powers."""
    positive = [number for number in numbers if number > 0]
    if len(positive) == len(numbers) and max(numbers) >= 4 * min(numbers):
        axes.set_xscale("log", base=2)
    axes.minorticks_off()
    step = -(-len(numbers) // 8)
    axes.set_xticks(numbers[::step], [short(number) for number in numbers[::step]])


def short(number: float) -> str:
    """ "8", "0.003", "1M": as short as it can be and still that number."""
    whole = int(number) if number == int(number) and number >= 10_000 else None
    return f"{number:g}" if whole is None else format_count(whole)


def named_points(axes: Axes, points: Sequence[tuple[float, float]], names: Sequence[str]) -> None:
    """A name beside each point: right of it, or left, above or below, where that is free of other names."""
    taken: list[tuple[float, float, float, float]] = []
    to_pixels = axes.transData.transform
    places = ((5, 8, "left"), (7, 0, "left"), (-7, 0, "right"), (5, -8, "left"), (-5, -8, "right"))
    for (x, y), name in zip(points, names, strict=True):
        px, py = to_pixels((x, y))
        best = min(places, key=lambda place: (_hidden(_box(px, py, name, place), taken), places.index(place)))
        taken.append(_box(px, py, name, best))
        axes.annotate(
            name, (x, y), best[:2], textcoords="offset points", ha=best[2], va="center", fontsize=8,
            annotation_clip=False,
        )  # fmt: skip


def _box(
    px: float, py: float, name: str, place: tuple[float, float, str]
) -> tuple[float, float, float, float]:
    """(left, bottom, right, top) in pixels of a name at `place`, letters taken as equally wide."""
    scale = 100 / 72
    wide, high = 4.6 * scale * len(name), 9 * scale
    left = px + place[0] * scale - {"left": 0.0, "right": wide, "center": wide / 2}[place[2]]
    return left, py + place[1] * scale - high / 2, left + wide, py + place[1] * scale + high / 2


def _hidden(box: tuple[float, float, float, float], others: Sequence[tuple[float, ...]]) -> float:
    """Square pixels of a name that lie under others, or outside of the figure."""
    high = box[3] - box[1]
    outside = max(0.0, -box[0]) + max(0.0, box[2] - 100 * WIDTH)
    areas = [
        max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
        * max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
        for other in others
    ]
    return sum(areas) + 2 * high * outside
