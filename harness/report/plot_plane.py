"""Quality x cost x length in one plane, where a choice is made: an architecture a path, a length a mark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ..counts import format_count, format_length, parse_count
from ..metrics import Metric
from ..statistics.inference import plural, t_interval
from ..statistics.lengths import Curve
from ..statistics.verdict import SEEDS_NEEDED
from .drawing import STYLE, Plot, file_stem, finished, legend_above, new_figure
from .frontier import undominated
from .labelling import name_of
from .length_axes import ticks, trimmed
from .measures import READ, READ_MEMORY, Measure, Setting
from .palette import Look, looks
from .quantities import duration, size
from .summary import Comparison, Row, lookup
from .tables import headline
from .trained import CONTEXT, tokens_per_byte

AXES = ("length", CONTEXT)  # along which tasks tell quality by length
COSTS = (
    (READ, "time to read a token", duration, True),
    (READ_MEMORY, "memory to read a sequence", size, False),
)
LEAST = 2  # lengths that rows share: at one there is no path
ANSWERS = 0.1  # of all tokens: the share from which on answers are no small part of what is read
AGAIN = "the context once per scored token"
BOTH = "the source in its decoder, too"
MORE = "answers too, which are no small part"


class Place(NamedTuple):
    """One architecture at one length, called `number` by its task. values: its quality by seed."""

    number: float
    cost: float
    values: Mapping[int, float]

    @property
    def quality(self) -> float:
        return float(np.mean(list(self.values.values())))


@mpl.rc_context(STYLE)
def planes(setting: Setting, comparisons: Sequence[Comparison], stem: str) -> list[Plot]:
    """A plot per table that tells quality by length and whose architectures were measured at that size."""
    drawn = []
    for number, comparison in enumerate(comparisons):
        metric = headline(comparison)
        along = {axis: comparison.parts.get((metric.key, axis), {}) for axis in AXES} if metric else {}
        for axis, parts in along.items():
            if len(parts) > 1 and metric is not None:
                name = f"{stem}-plane-{file_stem(comparison.task)}-{number}"
                drawn.append(_plane(setting, comparison, metric, axis, parts, name))
    return [plot for plot in drawn if plot]


def _plane(
    setting: Setting,
    comparison: Comparison,
    metric: Metric,
    axis: str,
    parts: Mapping[float, Metric],
    name: str,
) -> Plot | None:
    panels = []
    for measure, title, show, per_token in COSTS:
        paths = {
            row.label: (look, path)
            for row, look in looks(comparison.rows)
            if (path := _path(_curve_of(setting, comparison, row, measure), row, parts, axis, per_token))
        }
        at = Counter(place.number for _, path in paths.values() for place in path)
        if sum(rows > 1 for rows in at.values()) >= LEAST:
            panels.append((title, show, paths))
    if not panels:
        return None
    unlike = {row.label: why for row in comparison.rows if (why := _read_else(row, axis))}
    figure, axes = new_figure(len(panels))
    for place, (panel, (title, show, paths)) in enumerate(zip(np.atleast_1d(axes), panels, strict=True)):
        _panel(panel, paths, metric, unlike)
        panel.set_xscale("log")
        panel.margins(0.1, 0.12)
        panel.xaxis.set_major_locator(FixedLocator(ticks(*panel.get_xlim(), binary=show is size, most=4)))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _, show=show: trimmed(show(value))))
        panel.yaxis.set_major_locator(MaxNLocator(4))
        panel.set_xlabel(title)
        panel.set_ylabel(f"{metric.title} ({metric.unit})")
        if place == 0:
            legend_above(panel)
    better = "lower" if metric.lower_is_better else "higher"
    unit = "bytes of context" if axis == CONTEXT else "tokens"
    caption = (
        f"{comparison.title}: {metric.title} ({better} is better) against what it costs to read as much, a "
        f"mark per length, the first and the last named in {unit}; {_filled(panels, metric)}. Costs are of "
        f"the length sweep ({setting.words}), interpolated between its lengths, of one pass; of an "
        "encoder-decoder with the length on the source side."
    )
    drawn = {label for _, _, paths in panels for label in paths}
    if told := [f"{label} ({why})" for label, why in unlike.items() if label in drawn]:
        caption += f" Never filled, nor held against others, as these read more for it: {', '.join(told)}."
    title = f"{comparison.task}: quality, cost and length"
    return finished(figure, name, title, caption)


def _filled(
    panels: Sequence[tuple[str, object, Mapping[str, tuple[Look, list[Place]]]]], metric: Metric
) -> str:
    """What filled marks say, and over how many seeds."""
    seeds = [len(place.values) for _, _, paths in panels for _, path in paths.values() for place in path]
    least, most = min(seeds), max(seeds)
    over = plural(most, "seed") if least == most else f"{least} to {most} seeds"
    if most < SEEDS_NEEDED:
        return f"means over {over}, and none is filled, since {SEEDS_NEEDED} are needed to tell who is better"
    return (
        f"means over {over}; filled: at that length no other row is shown to be better for less, by more "
        f"than {metric.scale * metric.minimum:g} {metric.difference} and beyond chance (95% interval of the "
        f"difference, paired over {SEEDS_NEEDED} seeds or more, each pair of rows by itself)"
    )


def _path(
    curve: Curve | None, row: Row, parts: Mapping[float, Metric], axis: str, per_token: bool
) -> list[Place]:
    """Where a row stands at each length at which both its quality and its cost are known."""
    scale = tokens_per_byte(row) if axis == CONTEXT else 1.0
    if curve is None or scale is None:
        return []
    places = []
    for number, metric in parts.items():
        values = {seed: metric.scale * value for seed, value in row.values(metric.key).items()}
        tokens = number * scale
        if values and curve.lengths[0] <= tokens <= curve.lengths[-1]:
            cost = np.exp(np.interp(np.log(tokens), np.log(curve.lengths), np.log(curve.costs)))
            places.append(Place(number, float(cost / tokens if per_token else cost), values))
    return places


def _curve_of(setting: Setting, comparison: Comparison, row: Row, measure: Measure) -> Curve | None:
    """What a row's architecture costs, where the sweep measured it under its name and at its size.

    Its name is the study's, unless rows of several architectures bear it, or what says all that was changed
    of the architecture ("gpt+rope"): another variant of the same architecture costs something else.
    """
    run = row.runs[0]
    asked = lookup(run, "config", "size")
    told = "widths as written" if asked in (None, "null") else f"size {format_count(parse_count(asked))}"
    if setting.words.split(", ")[0] != told:
        return None
    name = name_of(run)
    alike = all(other.arch == row.arch for other in comparison.rows if name_of(other.runs[0]) == name)
    names = {name, row.arch} if alike else {row.arch}
    own = [
        curve
        for (label, _), points in setting.points.items()
        if points[0].arch in names and points[0].side in (None, "source")
        if (curve := setting.costs[measure].get(label))
    ]
    return own[0] if own else None


def _read_else(row: Row, axis: str) -> str:
    """What a row reads to answer, beside the one pass over so many tokens that its cost is of; empty if
    nothing that matters.

    How much more that costs no sweep has measured.
    """
    family = row.runs[0].get("family")
    if axis == CONTEXT:
        return AGAIN if family == "encoder" else ""
    if row.asked.startswith("in place"):
        return BOTH if family == "encoder-decoder" else ""
    answers, tokens = row.mean("targets"), row.mean("tokens")
    return "" if answers and tokens and answers < ANSWERS * tokens else MORE


def _panel(
    axes: Axes,
    paths: Mapping[str, tuple[Look, list[Place]]],
    metric: Metric,
    unlike: Mapping[str, str],
) -> None:
    """unlike: rows whose cost is not that of their quality; they stay hollow, and no other yields to them."""
    by_number: dict[float, list[tuple[str, Place]]] = {}
    for label, (_, path) in paths.items():
        for place in path if label not in unlike else ():
            by_number.setdefault(place.number, []).append((label, place))
    best = {(label, number) for number, own in by_number.items() for label in _best(own, metric)}
    for label, (look, path) in paths.items():
        x, y = [place.cost for place in path], [place.quality for place in path]
        axes.plot(x, y, color=look.color, linewidth=1, linestyle=look.linestyle, alpha=0.6, zorder=1)
        for number, place in enumerate(path):
            filled = (label, place.number) in best
            axes.plot(
                place.cost, place.quality, look.marker, color=look.color, markersize=6, linestyle="",
                markerfacecolor=look.color if filled else "none", label=label if number == 0 else None,
            )  # fmt: skip
        for place in (path[0], *path[1:][-1:]):
            axes.annotate(
                format_length(place.number), (place.cost, place.quality), (0, 6), textcoords="offset points",
                ha="center", fontsize=7.5, color=look.color,
            )  # fmt: skip


def _best(own: Sequence[tuple[str, Place]], metric: Metric) -> list[str]:
    """Labels of those places at one length that no other is shown to be better than for less."""
    places = [place for _, place in own]
    kept = undominated(
        [place.cost for place in places], lambda i, j: _is_better(places[i], places[j], metric)
    )
    return [own[i][0] for i in kept if len(places[i].values) >= SEEDS_NEEDED]


def _is_better(one: Place, other: Place, metric: Metric) -> bool:
    """Whether seeds show it: three at least, none missing on either side, a difference that matters, and one
    that chance does not explain, of this pair alone: a winner has to stand against all at once."""
    if one.values.keys() != other.values.keys() or len(one.values) < SEEDS_NEEDED:
        return False
    sign = 1 if metric.lower_is_better else -1
    ahead = [sign * (other.values[seed] - one.values[seed]) for seed in one.values]
    interval = t_interval(ahead)
    matters = float(np.mean(ahead)) > metric.scale * metric.minimum
    return matters and interval is not None and interval[0] > 0
