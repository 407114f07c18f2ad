"""A table as the user laid it out: any keys of the runs down, any keys, tasks, parts or costs across.

    archs-report rows=label columns=task.pairs metric=accuracy where='{seed: [1,2]}'

A cell holds one configuration with its seeds and folds; where it would hold several, the key that tells
them apart is named, and has to become a row, a column or a filter (aggregate=best takes the best run).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..metrics import Metric
from .grouping import COMPARABLE, check_allowed, unequal_data
from .judging import judge, mark, shown_what
from .labelling import shown
from .layout import Key, Slot, cells_of, key_of, lay_out, ordered
from .quantities import COST, Quantity
from .records import Record, is_number, with_axes
from .selection import COSTS, Selection, full_key
from .summary import Row
from .tables import (
    BEYOND,
    EMPTY,
    LIMITS,
    SHARED,
    Cell,
    Column,
    Grid,
    between,
    cannot,
    half,
    is_shared,
    measure,
    solved_cell,
)


@dataclass(frozen=True)
class Pivot:
    """grid and its footer; rows[i] are the runs behind grid.rows[i]."""

    title: str
    grid: Grid
    footer: Sequence[str]
    rows: Sequence[Sequence[Record]]


def pivot(runs: Sequence[Record], selection: Selection) -> Pivot:
    """The table that a selection asks for, of runs that were filtered already.

    Raises ValueError, in one line, for a key, metric or layout that cannot be, and for runs that must not
    share a column.
    """
    check_allowed(selection.allow)
    down = tuple(full_key(key, runs) for key in selection.rows or ("label",))
    across = selection.columns or ("task",)
    own: dict[Key, None] = {}
    costs = across == (COSTS,)
    split = (
        "test" if all(run.get("test") for run in runs if run.get("status") == "completed") else "validation"
    )
    runs = [with_axes(run, split) for run in runs]
    if costs:
        own = dict.fromkeys(key_of(run, down) for run in runs)
        columns = [Slot(quantity.title, quantity) for quantity in COST]
        for column in columns:
            column.cells = cells_of(runs, down, split, selection)
        columns = [c for c in columns if any(_mean(cell, c.metric) is not None for cell in c.cells.values())]
    else:
        columns = lay_out(runs, down, across, split, selection)
    keys = ordered({**own, **{key: None for column in columns for key in column.cells}})
    judged = any(isinstance(column.metric, Metric) for column in columns)
    lines = [f"Every number is from the {split} split."] if judged else []
    lines += _judged(columns, down, selection)
    behind = [_runs_of(key, runs, down) for key in keys]
    grid = Grid(
        (
            *(_heading(key, keys, place) for place, key in enumerate(down)),
            *(_column_head(each, selection) for each in columns),
            RUNS,
        ),
        tuple(_line(key, down, columns, selection, rows) for key, rows in zip(keys, behind, strict=True)),
    )
    lines += _unequal(columns) if judged else []
    lines += _explained(columns, selection)
    lines += [LIMITS] if any(BEYOND in cells for cells in grid.rows) else []
    what = "what it took" if costs else _metric_title(columns)
    by = " and ".join(key.rsplit(".", 1)[-1] for key in down)
    title = f"{what[:1].upper()}{what[1:]} by {by}" + ("" if costs else f" and {' and '.join(across)}")
    return Pivot(title, grid, lines, behind)


RUNS = Column("runs", number=False)


def _runs_of(key: Key, runs: Sequence[Record], down: Sequence[str]) -> list[Record]:
    return [run for run in runs if key_of(run, down) == key]


# ------------------------------------------------------------------------------------------------ cells


def _judged(columns: Sequence[Slot], down: Sequence[str], selection: Selection) -> list[str]:
    """Names each column's winner where it may have one, and says why it has none elsewhere."""
    if selection.aggregate != "mean":
        return []
    mixed = sorted({*selection.allow, *(key for key in down if key.split(".")[0] in COMPARABLE)})
    if mixed:
        return [f"No winners named: runs of different {', '.join(mixed)} share columns."]
    reasons: dict[str, list[str]] = {}
    for column in columns:
        if isinstance(column.metric, Metric):
            reasons.setdefault(_judge(column, column.metric, down), []).append(column.title)
    return [f"{', '.join(titles)}: {reason}." for reason, titles in reasons.items()]


def _judge(column: Slot, metric: Metric, down: Sequence[str]) -> str:
    """Sets the winners of a column, whose cells hold one configuration each; returns the reason."""
    found = judge({_name(key, down): cell[0] for key, cell in column.cells.items()}, metric)
    column.winners = found.winners
    return found.reason


def _unequal(columns: Sequence[Slot]) -> list[str]:
    """What is not the same for the rows of a column, and what some of them were given."""
    lines: dict[str, None] = {}
    for column in columns:
        rows = [row for cell in column.cells.values() for row in cell]
        told = [*unequal_data(rows).items()] if rows else []
        lines |= dict.fromkeys(f"Not the same for all: {key} ({values})." for key, values in told)
        if isinstance(column.metric, Metric):
            lines |= dict.fromkeys(shown_what(rows, column.metric))
    return list(lines)


def _name(key: Key, down: Sequence[str]) -> str:
    """ "attention (dim 16)": a row as reasons call it."""
    first, *others = map(_told, key, down)
    told = [f"{name.rsplit('.', 1)[-1]} {value}" for name, value in zip(down[1:], others, strict=True)]
    return f"{first} ({', '.join(told)})" if told else first


def _line(
    key: Key, down: Sequence[str], columns: Sequence[Slot], selection: Selection, runs: Sequence[Record]
) -> tuple[Cell, ...]:
    names = [
        Cell(_told(value, name), float(value) if is_number(value) else None)
        for value, name in zip(key, down, strict=True)
    ]
    cells = [
        _cell(column.cells.get(key, []), column, selection, _name(key, down) in column.winners)
        for column in columns
    ]
    return (*names, *cells, Cell(Row("", "", "", tuple(runs)).count))


def _told(value: Any, key: str) -> str:
    return "-" if value is None else shown(value, key)


def _cell(rows: Sequence[Row], column: Slot, selection: Selection, best: bool) -> Cell:
    metric = column.metric
    if not rows:
        return EMPTY
    if isinstance(metric, Quantity):
        mean = _mean(rows, metric)
        note = SHARED if metric.timing and any(map(is_shared, rows)) else ""
        return EMPTY if mean is None else Cell(metric.show(mean), mean, note=note)
    values = [value for row in rows for value in row.values(metric.key).values()]
    if not values:
        return BEYOND if any(cannot(row, metric.key) for row in rows) else EMPTY
    easier = mark(rows[0], metric)
    if selection.aggregate == "solved":
        if column.threshold is None:
            raise ValueError(f"aggregate=solved: {column.title} is no task that is solved or not; try mean")
        return solved_cell(rows[0].solved(metric.key, column.threshold))
    if selection.aggregate == "best":
        top = min(values) if metric.lower_is_better else max(values)
        return Cell(measure(metric, top), top, note=", ".join(filter(None, (f"of {len(values)}", easier))))
    if selection.aggregate == "median":
        middle = float(np.median(values))
        return Cell(measure(metric, middle), middle, note=easier, interval=between(metric, values))
    estimate = rows[0].estimate(metric.key)
    assert estimate is not None
    return Cell(measure(metric, estimate[0]), estimate[0], best, easier, half(metric, estimate[1]))


def _mean(rows: Sequence[Row], metric: Metric | Quantity) -> float | None:
    if not isinstance(metric, Quantity):
        return None
    means = [mean for row in rows if (mean := row.mean(*metric.path)) is not None]
    return float(np.mean(means)) if means else None


# ------------------------------------------------------------------------------------------------ words


def _heading(key: str, keys: Sequence[Key], place: int) -> Column:
    title = {"label": "architecture"}.get(key, key.rsplit(".", 1)[-1])
    return Column(title, number=all(is_number(own[place]) for own in keys))


def _column_head(column: Slot, selection: Selection) -> Column:
    metric = column.metric
    if isinstance(metric, Quantity):
        return Column(column.title, metric.unit)
    if selection.aggregate == "solved":
        return Column(column.title, "runs that solved it ↑")
    return Column(column.title, f"{metric.unit} {'↓' if metric.lower_is_better else '↑'}")


def _metric_title(columns: Sequence[Slot]) -> str:
    titles = dict.fromkeys(column.metric.title.split(" at ")[0] for column in columns)
    return " and ".join(titles)


def _explained(columns: Sequence[Slot], selection: Selection) -> list[str]:
    """How cells were made of runs, and which rows may not be taken at their word."""
    say = {
        "mean": "Means over seeds, ± half of their 95% interval (Student's t).",
        "median": "Medians over seeds, with their range.",
        "best": "The best run of each cell, of as many as stand beside it: the more, the better it looks.",
        "solved": "Runs that solved the task, with 95% Clopper-Pearson intervals.",
    }
    lines = [say[selection.aggregate]] if not all(isinstance(c.metric, Quantity) for c in columns) else []
    if selection.allow:
        lines.append(f"Asked for: runs of different {', '.join(selection.allow)} share columns.")
    return lines
