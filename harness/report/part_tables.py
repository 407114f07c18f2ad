"""Quality by length, by number of pairs or by depth: what tasks report apart, a column per part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..metrics import metric as metric_named
from .drawing import file_stem
from .judging import shown_what
from .summary import Comparison, Metric, Row
from .tables import BEYOND, EMPTY, LIMITS, Cell, Column, Grid, cannot, measure, value_cell
from .trained import CONTEXT, trained

OTHER_WINDOWS = "the same scored bytes behind each context; other windows than the table's"


@dataclass(frozen=True)
class PartTable:
    """One metric along one axis, with the lines below it."""

    title: str
    name: str
    grid: Grid
    lines: Sequence[str]

    @property
    def heading(self) -> str:
        """The title where it stands alone."""
        return self.title[:1].upper() + self.title[1:]


def part_tables(comparison: Comparison, stem: str) -> list[PartTable]:
    """A table per metric and axis along which it is reported apart; and one of points that differ in several
    numbers, in their order."""
    tables = [
        _table(comparison, of, axis, {_heading([at]): part for at, part in along.items()}, stem, along)
        for (of, axis), along in comparison.parts.items()
        if len(along) > 1
    ]
    tables += [
        _table(comparison, of, "/".join(axes), {_heading(at): part for at, part in points.items()}, stem)
        for (of, axes), points in comparison.points.items()
    ]
    return tables


def _table(
    comparison: Comparison,
    of: str,
    axis: str,
    parts: Mapping[str, Metric],
    stem: str,
    numbers: Iterable[float] = (),
) -> PartTable:
    """parts: by the heading of their column. numbers: of the axis, where columns are along one."""
    metric = metric_named(of)
    assert metric is not None
    columns = (Column("architecture", number=False), *map(Column, parts))
    rows = tuple(
        (Cell(row.label), *(_cell(comparison, row, part) for part in parts.values()))
        for row in comparison.rows
    )
    baselines = tuple(
        (Cell(name), *(_baseline_cell(values, part) for part in parts.values()))
        for name, values in comparison.baselines.items()
        if any(part.key in values for part in parts.values())
    )
    lines = [f"{OTHER_WINDOWS[:1].upper()}{OTHER_WINDOWS[1:]}."] if axis == CONTEXT else []
    if reach := trained(comparison, axis, numbers):
        lines.append(f"Trained on {reach.words}.")
    lines += [LIMITS] if any(BEYOND in cells for cells in rows) else []
    lines += shown_what(comparison.rows, metric)
    arrow = "↓" if metric.lower_is_better else "↑"
    title = f"{metric.title} by {axis}, {metric.unit} {arrow}"
    return PartTable(title, f"{stem}-{of}-by-{file_stem(axis)}", Grid(columns, rows, baselines), lines)


def _cell(comparison: Comparison, row: Row, part: Metric) -> Cell:
    return value_cell(comparison, row, part) or (BEYOND if cannot(row, part.key) else EMPTY)


def _baseline_cell(values: Mapping[str, float], part: Metric) -> Cell:
    value = values.get(part.key)
    return EMPTY if value is None else Cell(measure(part, value), value)


def _heading(numbers: Iterable[float]) -> str:
    """ "1,024", or "128/8" of a point."""
    return "/".join(f"{number:,.0f}" if number == int(number) else f"{number:g}" for number in numbers)
