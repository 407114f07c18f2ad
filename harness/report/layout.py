"""How a chosen table is laid out: which runs stand in which column and row, read by which metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from ..errors import nearest
from ..metrics import METRICS, Metric, part_of
from ..metrics import metric as metric_named
from ..statistics.inference import plural
from .grouping import COMPARABLE, together
from .labelling import shown, telling
from .quantities import COST, Quantity
from .records import Record, lookup, solved_from
from .selection import COSTS, Selection, facet, full_key
from .summary import Row

Key = tuple[Any, ...]


@dataclass
class Slot:
    """What stands in a column before it is judged: {row: its configurations}, read by `metric`."""

    title: str
    metric: Metric | Quantity
    cells: dict[Key, list[Row]] = field(default_factory=dict)
    tasks: set[str] = field(default_factory=set)
    threshold: float | None = None
    winners: tuple[str, ...] = ()


def key_of(run: Record, down: Sequence[str]) -> Key:
    return tuple(_plain(facet(run, key)) for key in down)


def _plain(value: Any) -> Any:
    """Hashable, and numbers as they stand."""
    return value if isinstance(value, int | float | str) or value is None else str(value)


def ordered(keys: Mapping[Key, Any]) -> list[Key]:
    """Numbers ascending, then words by the alphabet."""
    return sorted(
        keys,
        key=lambda key: [
            (isinstance(v, str), 0.0 if isinstance(v, str) else _number(v), str(v)) for v in key
        ],
    )


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else -math.inf


def lay_out(
    runs: Sequence[Record], down: Sequence[str], across: Sequence[str], split: str, selection: Selection
) -> list[Slot]:
    """One per value of the column keys, its cells filled; numbers ascend."""
    members: dict[tuple[Key, str | None], list[Record]] = {}
    axes = [_axis(key, runs, split) for key in across]
    if sum(bool(numbers) for _, numbers in axes) > 1:
        raise ValueError(f"columns={list(across)}: the parts of a task lie along one axis at a time")
    for run in runs:
        own = _headline(run, split, selection.metric)
        options: list[list[tuple[Any, str | None]]] = [
            [*((number, f"{own}_{axis}_{number:g}") for number in numbers)]
            or [(_plain(facet(run, axis)), None)]
            for axis, numbers in axes
        ]
        for point in product(*options):
            part = next((key for _, key in point if key), None)
            members.setdefault((tuple(value for value, _ in point), part or own), []).append(run)
    columns: dict[Key, Slot] = {}
    order = {place: at for at, place in enumerate(ordered({place: None for place, _ in members}))}
    for (place, key), own_runs in sorted(members.items(), key=lambda item: order[item[0][0]]):
        if place in columns:
            raise ValueError(
                f"columns={','.join(across)}: {_title(place, axes)} would hold different metrics "
                f"({columns[place].metric.title} and {key}); choose one with metric=, or add task to columns"
            )
        column = Slot(_title(place, axes), _measured(str(key), own_runs))
        column.cells = cells_of(own_runs, down, split, selection)
        column.tasks = {str(run.get("task")) for run in own_runs}
        column.threshold = max(filter(None, map(solved_from, own_runs)), default=None)
        columns[place] = column
    return list(columns.values())


def _axis(key: str, runs: Sequence[Record], split: str) -> tuple[str, list[float]]:
    """(axis, numbers) where `key` names parts that tasks report apart (pairs of accuracy_pairs_8), else
    (full key, [])."""
    last = key.rsplit(".", 1)[-1]
    found = {name for run in runs for name in (run.get(split) or {})}
    parts = [part for name in found if (part := part_of(name))]
    numbers = sorted({number for _, axis, number in parts if axis.replace(" ", "_") == last})
    return (last, numbers) if numbers else (full_key(key, runs), [])


def _headline(run: Record, split: str, asked: str | None) -> str:
    """The metric asked for, or the one that the run's task is about."""
    if asked is not None:
        return asked
    found = run.get(split) or run.get("validation") or {}
    solves = str(run.get("primary") or "accuracy")
    first = next((metric.key for metric in METRICS if metric.key in found), solves)
    return solves if solved_from(run) is not None else str(run.get("primary") or first)


def _measured(key: str, runs: Sequence[Record]) -> Metric | Quantity:
    """The metric, or the number that runs took, of that name."""
    if known := metric_named(key):
        return known
    took = {quantity.key: quantity for quantity in COST} | {".".join(q.path): q for q in COST}
    if key in took:
        return took[key]
    if any(isinstance(lookup(run, *key.split(".")), int | float) for run in runs):
        return Quantity(key, "", tuple(key.split(".")), "{:.4g}")
    near = nearest(key, [*(metric.key for metric in METRICS), *took])
    raise ValueError(f"metric={key}: no run has it" + (f"; nearest: {near}" if near else ""))


def _title(place: Key, axes: Sequence[tuple[str, Sequence[float]]]) -> str:
    """ "8" along pairs is "pairs 8"; names stand for themselves."""
    words = []
    for value, (axis, _) in zip(place, axes, strict=True):
        told = shown(value, axis)
        words.append(told if isinstance(value, str) else f"{axis.rsplit('.', 1)[-1]} {told}")
    return ", ".join(words)


def cells_of(
    runs: Sequence[Record], down: Sequence[str], split: str, selection: Selection
) -> dict[Key, list[Row]]:
    """{row: its configurations, each with its runs}. Raises ValueError for runs that share no column."""
    named = {name for key in (*down, *selection.allow) for name in COMPARABLE if key.split(".")[0] == name}
    named |= {"task"} if selection.columns == (COSTS,) else set()
    table = together(runs, sorted(named))
    cells: dict[Key, list[Row]] = {}
    for row in table.rows:
        apart: dict[Key, list[Record]] = {}
        for run in row.runs:
            apart.setdefault(key_of(run, down), []).append(run)
        for key, members in apart.items():
            cells.setdefault(key, []).append(replace(row, split=split, runs=tuple(members)))
    if selection.aggregate != "best":
        for key, rows in cells.items():
            if len(rows) > 1:
                differing = telling([row.runs[0] for row in rows])
                held = plural(len(rows), "configuration")
                held += f" that differ in {', '.join(differing)}" if differing else ""
                raise ValueError(
                    f"{', '.join(map(str, key))}: a cell would hold {held}: name that in rows or columns, as "
                    f"in rows=[{','.join([*down, *differing])}], filter with where, or aggregate=best"
                )
    return cells
