"""A comparison as tables: cells for the terminal, Markdown, CSV, LaTeX and HTML alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..metrics import metric as metric_named
from ..metrics import part_of
from .judging import mark
from .labelling import name_of
from .quantities import COST, Quantity
from .summary import Comparison, Metric, Row, lookup
from .sweep import Entry, Sweep


@dataclass(frozen=True)
class Column:
    """title and unit as read by people; `number` columns are set flush right and sort by value.

    optional: left out of a terminal that is too narrow for it.
    """

    title: str
    unit: str = ""
    number: bool = True
    optional: bool = False

    @property
    def heading(self) -> str:
        return f"{self.title}, {self.unit}" if self.unit else self.title


@dataclass(frozen=True)
class Cell:
    """text and interval are shown, value sorts; best: the named winner; note: a mark beside the number."""

    text: str
    value: float | None = None
    best: bool = False
    note: str = ""
    interval: str = ""

    def __str__(self) -> str:
        note = f"({self.note})" if self.note else ""
        return " ".join(part for part in (self.text, self.interval, note) if part)


@dataclass(frozen=True)
class Grid:
    """rows[i][j] stands under columns[j]; the baselines stand apart, below."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    baselines: tuple[tuple[Cell, ...], ...] = ()


EMPTY = Cell("-")
BEYOND = Cell("beyond")  # of a part, as of a length, that a row has no positions for
LIMITS = "Beyond: past a row's positions, whose table ends before or was not trained so far."
REMARK = "remark"
SHARED = "shared"  # the mark of a time that was taken while other runs used the machine


def headline(comparison: Comparison) -> Metric | None:
    """The metric that a task is about: its primary one, else the first that its runs have."""
    metrics = comparison.metrics
    return next(
        (metric for metric in metrics if metric.key == comparison.primary), metrics[0] if metrics else None
    )


def quality(comparison: Comparison) -> Grid:
    """How well each architecture does: seeds' intervals, the test set's apart, winners, marks, baselines."""
    columns = [Column("architecture", number=False), Column("asked", number=False)]
    judged = comparison.judged
    for metric in comparison.metrics:
        columns.append(Column(metric.title, f"{metric.unit} {'↓' if metric.lower_is_better else '↑'}"))
        if metric in judged:
            columns.append(Column(f"{metric.title}: test set", "95% interval", optional=True))
    if comparison.solved_from is not None:
        columns.append(Column("solved", f"≥ {comparison.solved_from:g}"))
    columns += [Column("runs", number=False), Column(REMARK, number=False, optional=True)]
    rows = tuple(_quality_row(comparison, row, judged) for row in comparison.rows)
    baselines = tuple(_baseline_row(comparison, name, judged, len(columns)) for name in comparison.baselines)
    return Grid(tuple(columns), rows, baselines)


def _quality_row(comparison: Comparison, row: Row, judged: Sequence[Metric]) -> tuple[Cell, ...]:
    cells = [Cell(row.label), Cell(row.asked)]
    remarks: list[str | None] = [str(row.runs[0].get("error"))] if row.unrated else []
    for metric in comparison.metrics:
        cells.append(_metric_cell(comparison, row, metric))
        remarks.append(comparison.plateau(row, metric))
        if metric in judged:
            cells.append(_test_cell(metric, row.test_interval(metric.key)))
    if comparison.solved_from is not None:
        cells.append(solved_cell(row.solved(comparison.primary, comparison.solved_from)))
    remark = "; ".join(dict.fromkeys(remark for remark in remarks if remark))
    return (*cells, Cell(row.count), Cell(remark or ""))


def _metric_cell(comparison: Comparison, row: Row, metric: Metric) -> Cell:
    best = row.label in comparison.verdicts[metric.key].winners
    cell = value_cell(comparison, row, metric)
    return replace(cell, best=best, note=mark(row, metric)) if cell else EMPTY


def value_cell(comparison: Comparison, row: Row, metric: Metric) -> Cell | None:
    """A row's mean over seeds with half of its interval; None without any value."""
    estimate = row.estimate(metric.key)
    if estimate is None:
        return None
    value, interval = estimate
    if comparison.solved_from is not None:  # a t interval means little where runs are solved or not
        value, interval = row.median(metric.key), None
    return Cell(measure(metric, value), value, interval=half(metric, interval))


def cannot(row: Row, part: str) -> bool:
    """Whether runs were judged and have None for a part of a metric, rather than nothing at all: they have no
    positions for it."""
    judged = (lookup(run, row.split) for run in row.completed)
    return part_of(part) is not None and any(
        isinstance(of, Mapping) and part in of and of[part] is None for of in judged
    )


def _test_cell(metric: Metric, interval: tuple[float, float] | None) -> Cell:
    if interval is None:
        return EMPTY
    low, high = interval
    return Cell(f"{measure(metric, low)} to {measure(metric, high)}", high - low)


def half(metric: Metric, interval: tuple[float, float] | None) -> str:
    """ "± 0.4", half of a symmetric interval; "" for none."""
    return f"± {measure(metric, (interval[1] - interval[0]) / 2)}" if interval else ""


def between(metric: Metric, values: Sequence[float]) -> str:
    """ "[92.5–92.7]", the range of values; "" for one."""
    return f"[{measure(metric, min(values))}–{measure(metric, max(values))}]" if len(values) > 1 else ""


def solved_cell(counted: tuple[int, int, tuple[float, float]] | None) -> Cell:
    """ "2 of 3 [9-99%]"."""
    if counted is None:
        return EMPTY
    solved, runs, (low, high) = counted
    return Cell(f"{solved} of {runs}", solved / runs, interval=f"[{100 * low:.0f}–{high:.0%}]")


def _baseline_row(
    comparison: Comparison, name: str, judged: Sequence[Metric], width: int
) -> tuple[Cell, ...]:
    values = comparison.baselines[name]
    cells = [Cell(name), EMPTY]
    for metric in comparison.metrics:
        value = values.get(metric.key)
        cells.append(EMPTY if value is None else Cell(measure(metric, value), value))
        cells += [Cell("")] if metric in judged else []
    return (*cells, *[Cell("")] * (width - len(cells)))


def measure(metric: Metric, value: float) -> str:
    """A metric's value as tables print it: percent with one digit, all else with three."""
    return f"{100 * value:.1f}" if metric.unit == "%" else f"{value:.3f}"


def cost(comparison: Comparison, sweep: Sweep | None = None) -> Grid:
    """What each architecture took: means over its completed runs; with a sweep, its trials."""
    shown = [quantity for quantity in COST if _is_shown(comparison, quantity)]
    columns = [Column("architecture", number=False)]
    columns += [Column(quantity.title, quantity.unit) for quantity in shown]
    columns += [Column("trials", "of the sweep")] if sweep else []
    rows = []
    for row in comparison.rows:
        cells = [_cost_cell(row, quantity) for quantity in shown]
        if sweep:
            cells.append(trials_cell(sweep.trials_of(name_of(row.runs[0]), comparison.task)))
        rows.append((Cell(row.label), *cells))
    return Grid(tuple(columns), tuple(rows))


def _is_shown(comparison: Comparison, quantity: Quantity) -> bool:
    """Whether it says something: with experts, a token computes with fewer parameters than there are."""
    if quantity.path == ("parameters", "active"):
        return any(row.mean(*quantity.path) != row.mean("parameters", "total") for row in comparison.rows)
    always = quantity.path != ("waiting_share",)
    return always or any(row.mean(*quantity.path) is not None for row in comparison.rows)


def _cost_cell(row: Row, quantity: Quantity) -> Cell:
    value = row.mean(*quantity.path)
    if value is None:
        return EMPTY
    note = SHARED if quantity.timing and is_shared(row) else ""
    return Cell(quantity.show(value), value, note=note)


def is_shared(row: Row) -> bool:
    """Whether any of the row's completed runs shared the machine while its times were taken."""
    return any(run.get("shared") for run in row.completed)


def trials_cell(trials: Sequence[int]) -> Cell:
    """ "4", or "3–4" where the configurations of an architecture had different numbers."""
    if not trials:
        return EMPTY
    low, high = min(trials), max(trials)
    return Cell(str(low) if low == high else f"{low}–{high}", low)


def trials(sweep: Sweep) -> Grid:
    """What the sweep tried, on validation alone: a row per choice, a column per rate."""
    axes = list(dict.fromkeys(axis for entry in sweep.entries for axis in entry.axes))
    columns = [Column("architecture", number=False), Column("task", number=False)]
    columns += [Column(axis.rsplit(".", 1)[-1]) for axis in axes]
    columns += [Column(f"lr {rate:g}") for rate in sweep.grid]
    columns += [Column("chosen"), Column("trials"), Column(REMARK, number=False, optional=True)]
    rows = []
    for entry in sweep.entries:
        cells = [Cell(entry.label), Cell(entry.task)]
        cells += [_setting(entry.axes.get(axis)) for axis in axes]
        cells += [_trial_cell(entry, rate) for rate in sweep.grid]
        chosen = EMPTY if entry.lr is None else Cell(f"{entry.lr:g}", entry.lr)
        remarks = ["the best is at the grid's edge"] if entry.edge else []
        remarks += [f"{number} {status}" for status, number in entry.lost.items()]
        rows.append((*cells, chosen, Cell(str(entry.trials), entry.trials), Cell("; ".join(remarks))))
    return Grid(tuple(columns), tuple(rows))


def _setting(value: object) -> Cell:
    return Cell(str(value), float(value)) if isinstance(value, int | float) else Cell(str(value or "-"))


def _trial_cell(entry: Entry, rate: float) -> Cell:
    values = entry.values.get(rate, ())
    if not values:
        return EMPTY
    mean, known = sum(values) / len(values), metric_named(entry.primary)
    return Cell(measure(known, mean) if known else f"{mean:.3f}", mean, best=rate == entry.lr)


def trials_title(sweep: Sweep) -> str:
    """ "Trials of recall's sweep: accuracy (%) on validation"."""
    known = dict.fromkeys(metric_named(entry.primary) for entry in sweep.entries)
    judged = " or ".join(f"{metric.title} ({metric.unit})" for metric in known if metric)
    return f"Trials of {sweep.study}'s sweep" + (f": {judged} on validation" if judged else ", on validation")
