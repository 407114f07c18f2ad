"""Accuracy against length and against difficulty, from what tasks report apart (accuracy_pairs_8), or at
points of both (accuracy_length_128_pairs_8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..metrics import Metric
from .drawing import (
    Plot,
    draw_line,
    file_stem,
    finished,
    label_axes,
    mark_missing,
    mark_trained,
    new_figure,
    number_axis,
    shading,
    short,
)
from .palette import looks
from .part_tables import OTHER_WINDOWS
from .summary import Comparison
from .tables import cannot
from .trained import CONTEXT, trained

SIDE_BY_SIDE = 8  # points whose names fit under one plot


def parts(comparison: Comparison, metric: Metric, stem: str) -> list[Plot]:
    """One plot per axis along which `metric` is reported apart, one line per row; and one for points that
    differ in several numbers, side by side in their order.

    A cross marks a number that a row cannot do: its position table ends before, or was not trained so far.
    """
    axes = {axis: along for (of, axis), along in comparison.parts.items() if of == metric.key}
    drawn = [_along(comparison, axis, along, stem) for axis, along in axes.items() if len(along) > 1]
    for (of, names), points in comparison.points.items():
        if of == metric.key:
            places = dict(zip(map(float, range(len(points))), points.values(), strict=True))
            ticks = ["/".join(map(short, at)) for at in points]
            drawn.append(_along(comparison, "/".join(names), places, stem, ticks))
    return [plot for plot in drawn if plot]


def _along(
    comparison: Comparison, axis: str, along: Mapping[float, Metric], stem: str, ticks: Sequence[str] = ()
) -> Plot | None:
    """ticks: names of the places along the axis, where these are no numbers of it."""
    figure, axes = new_figure()
    solved = comparison.solved_from is not None
    missing: dict[str, list[float]] = {}
    first = next(iter(along.values()))
    for row, style in looks(comparison.rows):
        seen = {}
        for number, metric in along.items():
            if values := list(row.values(metric.key).values()):
                seen[number] = [metric.scale * value for value in values]
            elif cannot(row, metric.key):
                missing.setdefault(row.label, []).append(number)
        draw_line(axes, row.label, seen, style, percent=first.unit == "%", solved=solved)
        mark_missing(axes, missing.get(row.label, []), style, level=len(missing) - 1)
    if not axes.lines:
        return None
    reach = trained(comparison, axis, along)
    if reach:
        mark_trained(axes, reach.at)
    if first.unit == "%":
        axes.set_ylim(-4, 104)
    title = first.title.split(" at ")[0]
    label_axes(axes, axis, f"{title} ({first.unit})")
    if ticks:
        step = -(-len(ticks) // SIDE_BY_SIDE)
        axes.set_xticks(list(along)[::step], ticks[::step])
    else:
        number_axis(axes, list(along))
    named = dict(zip(along, ticks or map(short, along), strict=True))
    said = "; ".join(f"{label} cannot do {', '.join(named[n] for n in of)}" for label, of in missing.items())
    caption = f"{comparison.title}: {title} against {axis}, {comparison.split} split"
    caption += f"; {OTHER_WINDOWS}" if axis == CONTEXT else ""
    caption += f", from left to right {', '.join(ticks)}" if ticks else ""
    caption += shading((len(row.seeds) for row in comparison.rows), solved)
    caption += f"; the upright line: trained on {reach.words}" if reach else ""
    past = "crosses lie past a row's positions, which end before or were not trained so far"
    caption += f"; {past}: {said}" if said else ""
    return finished(
        figure,
        f"{stem}-{file_stem(axis)}",
        f"{title[:1].upper()}{title[1:]} against {axis}",
        caption,
    )
