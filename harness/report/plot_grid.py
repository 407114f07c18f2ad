"""A metric against the axes of a study's grid: width, number of pairs, size, budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count as from_zero
from typing import Any, NamedTuple

import numpy as np

from ..metrics import Metric
from .drawing import (
    Plot,
    draw_line,
    file_stem,
    finished,
    label_axes,
    name_panel,
    new_figure,
    number_axis,
    shading,
    short,
)
from .grouping import canonical, leaves
from .palette import styles
from .selection import name_of
from .summary import Comparison, Row
from .tables import headline

PANELS = 6  # of one plot; with more combinations of the other axes, the plot would be a wall
IGNORED = ("optim.lr", "seed")  # the rate is chosen per configuration: it follows the axes


class Point(NamedTuple):
    """A row of a table, where it stands in the grid."""

    row: Row
    config: Mapping[str, Any]
    solved: bool


def against_grid(comparisons: Sequence[Comparison]) -> list[Plot]:
    """Per task and axis one plot: lines are architectures, panels the values of the other axes."""
    drawn: list[Plot | None] = []
    for task in dict.fromkeys(each.task for each in comparisons):
        own = [each for each in comparisons if each.task == task]
        metric = headline(own[0])
        if metric is None or len({each.split for each in own}) > 1:
            continue
        points = [
            Point(row, leaves(row.runs[0].get("config") or {}), each.solved_from is not None)
            for each in own
            for row in each.rows
            if row.values(metric.key)
        ]
        axes = grid_axes(points)
        drawn += [_against(task, axis, [a for a in axes if a != axis], points, metric) for axis in axes]
    return [plot for plot in drawn if plot]


def grid_axes(points: Sequence[Point]) -> list[str]:
    """Keys of the configuration that are numbers and vary between rows of one name, in the same way for all.

    Of keys that vary together, as the widths that a size is solved for do, the one with the shortest name.
    """
    by_name: dict[str, list[Point]] = {}
    for point in points:
        by_name.setdefault(name_of(point.row.runs[0]), []).append(point)
    varying = [_varying(own) for own in by_name.values() if len(own) > 1]
    if not varying:
        return []
    common = [key for key in varying[0] if all(key in keys for keys in varying)]
    kept: dict[str, str] = {}
    for key in sorted(common, key=lambda key: (key.count("."), len(key), key)):
        pattern = canonical([str(point.config.get(key)) for point in points])
        order = canonical(_ranks([point.config[key] for point in points]))
        kept.setdefault(order or pattern, key)
    return list(kept.values())


def _varying(points: Sequence[Point]) -> list[str]:
    keys = dict.fromkeys(key for point in points for key in point.config)
    return [
        key
        for key in keys
        if key not in IGNORED
        and all(_is_number(point.config.get(key)) for point in points)
        and len({point.config[key] for point in points}) > 1
    ]


def _ranks(values: Sequence[float]) -> list[int]:
    order = sorted(set(values))
    return [order.index(value) for value in values]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _against(
    task: str, axis: str, others: Sequence[str], points: Sequence[Point], metric: Metric
) -> Plot | None:
    groups: dict[tuple[float, ...], list[Point]] = {}
    for point in points:
        groups.setdefault(tuple(point.config[other] for other in others), []).append(point)
    if len(groups) > PANELS or len({point.config[axis] for point in points}) < 2:
        return None
    figure, panels = new_figure(len(groups))
    looks = styles({name_of(point.row.runs[0]): point.row.arch for point in points})
    for place, axes, (where, own) in zip(
        from_zero(), np.atleast_1d(panels), sorted(groups.items()), strict=False
    ):
        for name, style in looks.items():
            seen = {
                p.config[axis]: [metric.scale * value for value in p.row.values(metric.key).values()]
                for p in own
                if name_of(p.row.runs[0]) == name
            }
            draw_line(axes, name, seen, style, percent=metric.unit == "%", solved=own[0].solved)
        if metric.unit == "%":
            axes.set_ylim(-4, 104)
        last = place == len(groups) - 1
        label_axes(
            axes, axis if last else "", f"{metric.title} ({metric.unit})", "above" if place == 0 else ""
        )
        number_axis(axes, sorted({point.config[axis] for point in points}))
        if others:
            name_panel(axes, _at(others, where))
    seeds = (len(point.row.seeds) for point in points)
    name = axis.rsplit(".", 1)[-1]
    caption = f"{task}: {metric.title} against {axis}" + (
        f", one panel per {', '.join(others)}" if others else ""
    )
    return finished(
        figure,
        f"{file_stem(task)}-by-{file_stem(name)}",
        f"{task}: {metric.title} against {name}",
        caption + shading(seeds, points[0].solved),
    )


def _at(others: Iterable[str], where: Iterable[float]) -> str:
    return ", ".join(
        f"{key.rsplit('.', 1)[-1]} {short(value)}" for key, value in zip(others, where, strict=True)
    )
