"""Plots of a length sweep: what grows how fast on log-log axes, with fitted slopes; where curves cross."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ..statistics.lengths import Crossing, Exponent
from .drawing import STYLE, Plot, finished, legend_above, new_figure
from .length_axes import length_axis, ticks, trimmed
from .length_tables import rounded
from .measures import DECODE, MEMORY, READ, STATE, TRAIN, Measure, Setting
from .palette import FAINT, INK, Look, styles
from .points import STATUSES
from .quantities import duration, size

MOST = 12  # curves that one plot can show
NAMED = 8  # crossings up to which each is named with its length
TOLD = 12  # crossings that a caption tells
FURTHER = 4.0  # times the longest length: how far fitted lines may go on, to where they cross
SUPERSCRIPTS = str.maketrans("0123456789.-", "⁰¹²³⁴⁵⁶⁷⁸⁹·⁻")


@dataclass(frozen=True)
class Picture:
    """One measure against length. per_token: over the length, so that linear cost is a level line."""

    name: str
    measure: Measure
    title: str
    axis: str
    show: Callable[[float], str]
    per_token: bool = False

    def heights(self, lengths: np.ndarray, costs: np.ndarray) -> np.ndarray:
        return costs / lengths if self.per_token else costs


PICTURES = (
    Picture("time", TRAIN, "Training step: time per token", "time per token", duration, per_token=True),
    Picture("memory", MEMORY, "Training step: memory per token", "memory per token", size, per_token=True),
    Picture("state", STATE, "Cache or state of one sequence", "cache or state", size),
    Picture("prefill", READ, "Time to read one sequence", "time", duration),
    Picture("decode", DECODE, "Time to decode one token of one sequence", "time per token", duration),
)


@mpl.rc_context(STYLE)
def bench_plots(setting: Setting, stem: str = "bench") -> list[Plot]:
    """The plots of what was measured at one setting; `stem` begins the file names."""
    return [plot for picture in PICTURES if (plot := _draw(setting, picture, stem))]


def _draw(setting: Setting, picture: Picture, stem: str) -> Plot | None:
    costs = setting.costs[picture.measure]
    fits = setting.exponents[picture.measure]
    tried = [curve for curve in setting.curves if setting.of(curve, picture.measure)]
    # Where there is not room for all, those with a result come first.
    marked = sorted(tried, key=lambda curve: curve not in costs)[:MOST]
    shown = [curve for curve in marked if curve in costs]
    if not shown or max(len(costs[curve]) for curve in shown) < 2:
        return None
    looks = styles(setting.archs)
    figure, axes = new_figure(height=3.6)
    met = [
        crossing
        for pair, meeting in setting.crossings[picture.measure].items()
        if set(pair) <= set(shown)
        for crossing in meeting.crossings
    ]
    reach = _reach(setting, met)
    for curve in shown:
        own = costs[curve]
        heights = picture.heights(own.lengths, own.costs)
        label = f"{curve}  {_law(fits[curve])}".strip()
        axes.plot(own.lengths, heights, label=label, **looks[curve]._asdict() | {"linestyle": "-"})
        if fits[curve].identified:
            _slope(axes, fits[curve], picture, looks[curve], reach)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    lost = _mark_lost(axes, setting, picture, {curve: looks[curve] for curve in marked})
    length_axis(axes, setting.lengths, reach)
    _cost_axis(axes, picture)
    named = _mark_crossings(axes, setting, picture, shown)  # at last: names are placed on finished axes
    axes.set_ylabel(picture.axis)
    legend_above(axes)
    hidden = [curve for curve in tried if curve not in marked]
    caption = _caption(picture, named, lost, hidden)
    return finished(figure, f"{stem}-{picture.name}", picture.title, caption)


def _law(fit: Exponent) -> str:
    """ "T¹·⁷⁹": how the cost of a sequence grows; empty where that is not identified."""
    if not fit.identified:
        return ""
    return f"T{format(round(fit.exponent, 2) + 0.0, '.2f').translate(SUPERSCRIPTS)}"


def _reach(setting: Setting, crossings: Sequence[Crossing]) -> float:
    """How far to the right the plot goes: a little further than the sweep, or to a crossing that is near."""
    last = setting.lengths[-1]
    near = [each.length for each in crossings if last < each.length < FURTHER * last]
    return max([1.25 * last, *(1.25 * length for length in near)])


def _slope(axes: Axes, fit: Exponent, picture: Picture, look: Look, reach: float) -> None:
    """The fitted line along its part of the curve, and on from there."""
    for ends, dashes, width in (
        ((fit.start, fit.end), (0, (1, 1)), 4.5),
        ((fit.end, reach), (0, (3, 2)), 1.0),
    ):
        if ends[1] > ends[0]:
            at = np.array(ends)
            axes.plot(
                at, picture.heights(at, np.asarray(fit.cost(at))), color=look.color, linewidth=width,
                linestyle=dashes if width < 2 else "-", alpha=1 if width < 2 else 0.2, zorder=1,
                solid_capstyle="butt",
            )  # fmt: skip


def _mark_crossings(
    axes: Axes, setting: Setting, picture: Picture, shown: Sequence[str]
) -> dict[tuple[str, str], list[Crossing]]:
    """Rings where curves cross, named by their length where they are few; returns all of them."""
    found = {
        pair: list(meeting.crossings)
        for pair, meeting in setting.crossings[picture.measure].items()
        if set(pair) <= set(shown) and meeting.crossings
    }
    _, right = axes.get_xlim()
    places = [
        (*_height(setting, picture, pair[0], each), each.measured)
        for pair, own in found.items()
        for each in own
        if each.length < right
    ]
    for x, y, measured in places:
        axes.plot(
            x, y, "o", markersize=8, markerfacecolor="none", markeredgecolor=INK.light,
            markeredgewidth=1.1 if measured else 0.6, linestyle="", zorder=4,
        )  # fmt: skip
    lowest = {rounded(x): (x, y) for x, y, _ in sorted(places, reverse=True)}
    if len(lowest) <= NAMED:
        _named_below(axes, lowest)
    return found


def _named_below(axes: Axes, places: Mapping[str, tuple[float, float]]) -> None:
    """Names in a row along the lower edge, moved apart where they touch, with thin lines to their places."""
    to_axes = axes.transData + axes.transAxes.inverted()
    names = sorted(places, key=lambda name: places[name])
    at = np.array([to_axes.transform(places[name])[0] for name in names])
    room = 0.095  # of the width, for a name
    for _ in range(100):
        for left in range(len(at) - 1):
            overlap = max(0.0, room - (at[left + 1] - at[left])) / 2
            at[left : left + 2] += (-overlap, overlap)
    line = {"arrowstyle": "-", "color": FAINT.light, "linewidth": 0.6, "linestyle": (0, (1, 1.5))}
    line |= {"shrinkA": 0, "shrinkB": 4, "relpos": (0.5, 1)}
    for name, x in zip(names, np.clip(at, room / 2, 1 - room / 2), strict=True):
        axes.annotate(
            name, places[name], (x, 0.02), textcoords="axes fraction", ha="center", va="bottom", fontsize=8,
            color=INK.light, arrowprops=line,
        )  # fmt: skip


def _height(setting: Setting, picture: Picture, curve: str, crossing: Crossing) -> tuple[float, float]:
    """Where a crossing lies in a plot, on one of its two curves."""
    fit, own = setting.exponents[picture.measure][curve], setting.costs[picture.measure][curve]
    x = np.array(crossing.length)
    inside = np.exp(np.interp(np.log(x), np.log(own.lengths), np.log(own.costs)))
    cost = inside if crossing.length <= own.lengths[-1] else np.asarray(fit.cost(x))
    return crossing.length, float(picture.heights(x, cost))


def _mark_lost(axes: Axes, setting: Setting, picture: Picture, looks: Mapping[str, Look]) -> list[str]:
    """A cross along the upper edge where a curve ended without a result; what became of them, in words."""
    told: list[str] = []
    edge = axes.get_xaxis_transform()  # x in data, y in parts of the axes
    costs = setting.costs[picture.measure]
    for curve, look in looks.items():
        lost = [p for p in setting.of(curve, picture.measure) if not setting.known([p], picture.measure)]
        ended = ((point, point.became(picture.measure.asks(point))) for point in lost)
        first, became = next(((point, how) for point, how in ended if how != "ok"), (None, "ok"))
        if first is None:
            continue
        status, at = STATUSES[became], (first.length, 0.97 - 0.06 * len(told))
        name = None if curve in costs else curve  # has no line that would name it
        axes.plot(
            *at, "x", color=look.color, markersize=6, linestyle="", transform=edge, clip_on=False, label=name
        )
        left = first.length > setting.lengths[0]
        axes.annotate(
            status, at, (-6 if left else 6, 0), xycoords=edge, textcoords="offset points",
            ha="right" if left else "left", va="center", fontsize=7.5, color=look.color,
        )  # fmt: skip
        told.append(f"{curve} at {first.length:,}: {status}")
    return told


def _cost_axis(axes: Axes, picture: Picture) -> None:
    """Three to seven ticks at round numbers, also where a plot spans less than a decade."""
    low, high = axes.get_ylim()
    room = (high / low) ** 0.12  # for names below and marks above
    axes.set_ylim(low / room, high * room)
    axes.yaxis.set_major_locator(FixedLocator(ticks(*axes.get_ylim(), binary=picture.show is size)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: trimmed(picture.show(value))))


def _caption(
    picture: Picture,
    crossings: Mapping[tuple[str, str], Sequence[Crossing]],
    lost: Sequence[str],
    hidden: Sequence[str],
) -> str:
    text = f"{picture.title} against length"
    text += "; level is linear in length" if picture.per_token else ""
    if crossings:
        told = [
            f"{' and '.join(pair)} at {'' if each.measured else '≈ '}{rounded(each.length)}"
            for pair, own in crossings.items()
            for each in own
        ]
        text += f"; rings: {', '.join(told[:TOLD])}"
        text += f" and {len(told) - TOLD} more in the table" if len(told) > TOLD else ""
    text += f"; crosses: {'; '.join(lost)}" if lost else ""
    return text + (f"; only in the tables: {', '.join(hidden)}" if hidden else "")
