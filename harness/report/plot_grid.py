"""A metric against the axes of a study's grid: width, number of pairs, size, budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count as from_zero
from typing import Any, NamedTuple

import numpy as np

from ..metrics import Metric, part_of
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
from .labelling import base_of, canonical, leaves
from .palette import styles
from .records import is_number
from .summary import Comparison, Row
from .tables import headline

PANELS = 6  # of one plot; with more combinations of the other axes, the plot would be a wall
FEW = 3  # tasks up to which their parts are drawn against the grid too
IGNORED = ("optim.lr", "seed")  # the rate is chosen per configuration: it follows the axes


class Point(NamedTuple):
    """A metric of a row of a table, and where it stands in the grid."""

    row: Row
    config: Mapping[str, Any]
    solved: bool
    metric: Metric


def against_grid(comparisons: Sequence[Comparison]) -> list[Plot]:
    """Per task and axis one plot: lines are architectures, panels the values of the other axes."""
    drawn: list[Plot | None] = []
    tasks = dict.fromkeys(each.task for each in comparisons)
    for task in tasks:
        own = [each for each in comparisons if each.task == task]
        metric = headline(own[0])
        if metric is None or len({each.split for each in own}) > 1:
            continue
        points = [
            Point(row, leaves(row.runs[0].get("config") or {}), each.solved_from is not None, metric)
            for each in own
            for row in each.rows
            if row.values(metric.key)
        ]
        axes = grid_axes(points)
        drawn += [_against(task, axis, [a for a in axes if a != axis], points) for axis in axes]
        if len(axes) == 1 and len(tasks) <= FEW:
            drawn += [_against(task, axes[0], [part], of) for part, of in _by_part(own, points)]
    return [plot for plot in drawn if plot]


def _by_part(comparisons: Sequence[Comparison], points: Sequence[Point]) -> list[tuple[str, list[Point]]]:
    """(axis, points) of the parts that tasks report apart, as accuracy at so many pairs: at most PANELS."""
    found: dict[str, dict[float, Metric]] = {}
    for (of, axis), along in ((key, along) for each in comparisons for key, along in each.parts.items()):
        if points and of == points[0].metric.key:
            found.setdefault(axis, {}).update(along)
    parts = []
    for axis, along in found.items():
        shown = sorted(along.items())[:: -(-len(along) // PANELS)]
        own = [
            point._replace(config={**point.config, axis: number}, metric=metric)
            for number, metric in shown
            for point in points
            if point.row.values(metric.key)
        ]
        parts += [(axis, own)] if own else []
    return parts


def grid_axes(points: Sequence[Point]) -> list[str]:
    """Keys of the configuration that are numbers and vary between rows of one name, in the same way for all.

    Of keys that vary together within each name, as size and the widths that are solved for it do, the one
    with the shortest name.
    """
    by_name: dict[str, list[Point]] = {}
    for point in points:
        by_name.setdefault(base_of(point.row.runs[0]), []).append(point)
    varying = [_varying(own) for own in by_name.values() if len(own) > 1]
    if not varying:
        return []
    common = [key for key in varying[0] if all(key in keys for keys in varying)]
    kept: dict[str, str] = {}
    for key in sorted(common, key=lambda key: (key.count("."), len(key), key)):
        order = canonical([_ranks([point.config[key] for point in own]) for own in by_name.values()])
        kept.setdefault(order, key)
    return list(kept.values())


def _varying(points: Sequence[Point]) -> list[str]:
    keys = dict.fromkeys(key for point in points for key in point.config)
    return [
        key
        for key in keys
        if key not in IGNORED
        and all(is_number(point.config.get(key)) for point in points)
        and len({point.config[key] for point in points}) > 1
    ]


def _ranks(values: Sequence[float]) -> list[int]:
    order = sorted(set(values))
    return [order.index(value) for value in values]


def _against(task: str, axis: str, others: Sequence[str], points: Sequence[Point]) -> Plot | None:
    groups: dict[tuple[float, ...], list[Point]] = {}
    for point in points:
        groups.setdefault(tuple(point.config[other] for other in others), []).append(point)
    if len(groups) > PANELS or len({point.config[axis] for point in points}) < 2:
        return None
    metric = points[0].metric
    title = metric.title.split(" at ")[0]
    along = axis.rsplit(".", 1)[-1]
    figure, panels = new_figure(len(groups))
    looks = styles({base_of(point.row.runs[0]): point.row.arch for point in points})
    for place, axes, (where, own) in zip(
        from_zero(), np.atleast_1d(panels), sorted(groups.items()), strict=False
    ):
        for name, style in looks.items():
            seen = {
                p.config[axis]: [metric.scale * value for value in p.row.values(p.metric.key).values()]
                for p in own
                if base_of(p.row.runs[0]) == name
            }
            draw_line(axes, name, seen, style, percent=metric.unit == "%", solved=own[0].solved)
        if metric.unit == "%":
            axes.set_ylim(-4, 104)
        last = place == len(groups) - 1
        label_axes(axes, along if last else "", f"{title} ({metric.unit})", place == 0)
        number_axis(axes, sorted({point.config[axis] for point in points}))
        if others:
            name_panel(axes, _at(others, where))
    seeds = (len(point.row.seeds) for point in points)
    by = [other.rsplit(".", 1)[-1] for other in others]
    return finished(
        figure,
        "-by-".join(map(file_stem, (task, along, *(by if part_of(metric.key) else ())))),
        f"{task}: {title} against {along}" + (f", by {' and '.join(by)}" if by else ""),
        f"{task}: {title} against {along}"
        + (f", one panel per {', '.join(by)}" if by else "")
        + shading(seeds, points[0].solved),
    )


def _at(others: Iterable[str], where: Iterable[float]) -> str:
    return ", ".join(
        f"{key.rsplit('.', 1)[-1]} {short(value)}" for key, value in zip(others, where, strict=True)
    )
