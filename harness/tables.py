"""A comparison as tables: cells for the terminal, Markdown, CSV and HTML alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table
from tabulate import tabulate

from .summary import SAW, Comparison, Metric, Row


@dataclass(frozen=True)
class Column:
    """title and unit as read by people; `number` columns are set flush right and sort by value."""

    title: str
    unit: str = ""
    number: bool = True

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
REMARK = "remark"

FRAME: dict[str, Any] = {
    "box": SIMPLE_HEAD,
    "padding": (0, 1, 0, 0),
    "title_justify": "left",
    "title_style": "bold",
    "header_style": "bold",
}

# What a run took: title, unit, place in the record, how to print it.
COST = (
    ("learning rate", "", ("lr",), "{:.3g}"),
    ("parameters", "non-embedding", ("parameters", "non_embedding"), "count"),
    ("parameters", "total", ("parameters", "total"), "count"),
    ("parameters", "active", ("parameters", "active"), "count"),
    ("tokens", "", ("tokens",), "count"),
    ("epochs", "", ("epochs",), "{:.2f}"),
    ("training FLOPs", "", ("flops",), "{:.2g}"),
    ("training", "s", ("seconds",), "{:.1f}"),
    ("speed", "tokens/s", ("tokens_per_second",), "count"),
    ("peak memory", "", ("peak_memory",), "bytes"),
    ("state", "", ("state_bytes",), "bytes"),
)


def quality(comparison: Comparison) -> Grid:
    """How well each architecture does, with intervals, marks, winners and the baselines."""
    columns = [Column("architecture", number=False), Column("asked", number=False)]
    for metric in comparison.metrics:
        columns.append(Column(metric.title, f"{metric.unit} {'↓' if metric.lower_is_better else '↑'}"))
    if comparison.solved_from is not None:
        columns.append(Column("solved", f"accuracy ≥ {comparison.solved_from:g}"))
    columns += [Column("runs", number=False), Column(REMARK, number=False)]
    rows = tuple(_quality_row(comparison, row) for row in comparison.rows)
    baselines = tuple(_baseline_row(comparison, name, len(columns)) for name in comparison.baselines)
    return Grid(tuple(columns), rows, baselines)


def _quality_row(comparison: Comparison, row: Row) -> tuple[Cell, ...]:
    cells = [Cell(row.label), Cell(row.asked)]
    remarks = []
    for metric in comparison.metrics:
        cells.append(_metric_cell(comparison, row, metric))
        remarks.append(comparison.plateau(row, metric))
    if comparison.solved_from is not None:
        cells.append(_solved_cell(row, comparison.solved_from))
    remark = "; ".join(dict.fromkeys(remark for remark in remarks if remark))
    return (*cells, Cell(row.count), Cell(remark or ""))


def _metric_cell(comparison: Comparison, row: Row, metric: Metric) -> Cell:
    estimate = row.estimate(metric.key)
    if estimate is None:
        return EMPTY
    value, interval = estimate
    if comparison.solved_from is not None:  # a t interval means little where runs are solved or not
        value, interval = row.median(metric.key), None
    note = "left only" if metric.key == "infill_bpb" and row.infill_context == "left" else ""
    best = row.label in comparison.verdicts[metric.key].winners
    half = f"± {_measure(metric, (interval[1] - interval[0]) / 2)}" if interval else ""
    return Cell(_measure(metric, value), value, best, note, half)


def _solved_cell(row: Row, threshold: float) -> Cell:
    counted = row.solved("accuracy", threshold)
    if counted is None:
        return EMPTY
    solved, runs, (low, high) = counted
    return Cell(f"{solved} of {runs}", solved / runs, interval=f"[{100 * low:.0f}–{high:.0%}]")


def _baseline_row(comparison: Comparison, name: str, width: int) -> tuple[Cell, ...]:
    values = comparison.baselines[name]
    cells = [Cell(name), EMPTY]
    for metric in comparison.metrics:
        value = values.get(metric.key)
        cells.append(EMPTY if value is None else Cell(_measure(metric, value), value))
    return (*cells, *[Cell("")] * (width - len(cells)))


def _measure(metric: Metric, value: float) -> str:
    return f"{100 * value:.1f}" if metric.unit == "%" else f"{value:.3f}"


def cost(comparison: Comparison) -> Grid:
    """What each architecture took: means over its completed runs."""
    # With experts, a token computes with fewer parameters than there are; elsewhere that says nothing new.
    idle = any(row.mean("parameters", "active") != row.mean("parameters", "total") for row in comparison.rows)
    shown = [entry for entry in COST if entry[1] != "active" or idle]
    columns = [Column("architecture", number=False)]
    columns += [Column(title, unit) for title, unit, _, _ in shown]
    rows = []
    for row in comparison.rows:
        values = [(row.mean(*path), style) for _, _, path, style in shown]
        rows.append((Cell(row.label), *[_quantity(value, style) for value, style in values]))
    return Grid(tuple(columns), tuple(rows))


def _quantity(value: float | None, style: str) -> Cell:
    if value is None:
        return EMPTY
    text = {"count": count, "bytes": size}.get(style, style.format)(value)
    return Cell(text, value)


def count(value: float) -> str:
    """1234567 -> "1.23M"."""
    return _scaled(value, 1000, ("", "k", "M", "G", "T"))


def size(value: float) -> str:
    """Bytes in powers of 1024: 1572864 -> "1.50 MiB"."""
    return _scaled(value, 1024, (" B", " KiB", " MiB", " GiB", " TiB"))


def _scaled(value: float, base: int, units: Sequence[str]) -> str:
    power = 0
    while abs(value) >= base - 0.5 and power < len(units) - 1:
        value, power = value / base, power + 1
    digits = f"{value:.0f}" if power == 0 or value >= 100 else f"{value:#.3g}".rstrip(".")
    return digits + units[power]


def footer(comparison: Comparison) -> list[str]:
    """What a reader must know before believing the table, one line each."""
    lines = [f"Every number is from the {comparison.split} split."]
    if any(len(row.values(metric.key)) > 1 for row in comparison.rows for metric in comparison.metrics):
        lines.append(
            "Numbers are medians; shares solved have 95% Clopper-Pearson intervals."
            if comparison.solved_from is not None
            else "Means over seeds, ± half of their 95% interval (Student's t)."
        )
    reasons: dict[str, list[str]] = {}
    for metric in comparison.metrics:
        reasons.setdefault(comparison.verdicts[metric.key].reason, []).append(metric.title)
    lines += [f"{' and '.join(titles).capitalize()}: {reason}." for reason, titles in reasons.items()]
    if any(metric.key == "infill_bpb" for metric in comparison.metrics):
        lines.append(f"To infill, {_who_saw_what(comparison)}.")
    lines += _rules(comparison)
    lines += [f"Not the same for all: {key} ({values})." for key, values in comparison.settings.items()]
    for row in comparison.rows:
        for run in row.runs:
            if run.get("status") != "completed":
                error = f": {run['error']}" if run.get("error") else ""
                lines.append(f"{row.label}, seed {run.get('seed', '?')}: {run.get('status')}{error}.")
    return lines


def _who_saw_what(comparison: Comparison) -> str:
    saw: dict[str, list[str]] = {}
    for row in comparison.rows:
        saw.setdefault(SAW.get(row.infill_context, row.infill_context), []).append(row.label)
    return "; ".join(f"{', '.join(labels)} saw {context}" for context, labels in saw.items())


def _rules(comparison: Comparison) -> list[str]:
    """Each remark with the rule behind it and the rows it stands in."""
    remarked: dict[str, tuple[Metric, list[str]]] = {}
    for row in comparison.rows:
        for metric in comparison.metrics:
            if remark := comparison.plateau(row, metric):
                rows = remarked.setdefault(remark, (metric, []))[1]
                rows += [row.label] if row.label not in rows else []
    lines = []
    for remark, (metric, rows) in remarked.items():
        rule = f"median accuracy below {comparison.solved_from}"
        if metric.baseline:
            rule = f"less than {metric.margin:g} {metric.unit} below {metric.baseline}"
        lines.append(f"{remark.capitalize()}: {', '.join(rows)} ({rule}).")
    return lines


def terminal(grid: Grid, title: str) -> Table:
    """A rich table; the winner stands out, baselines follow below a rule, remarks are left to the footer."""
    table = Table(title=escape(title), **FRAME)
    shown = [place for place, column in enumerate(grid.columns) if column.title != REMARK]
    for place in shown:
        column = grid.columns[place]
        heading = f"{column.title}\n{column.unit}" if column.unit else column.title
        table.add_column(escape(heading), justify="right" if column.number else "left")
    for index, row in enumerate(grid.rows):
        last = index == len(grid.rows) - 1
        table.add_row(*[_styled(row[place]) for place in shown], end_section=last and bool(grid.baselines))
    for row in grid.baselines:
        table.add_row(*[_styled(row[place]) for place in shown], style="dim")
    return table


def sideways(grid: Grid, title: str) -> Table:
    """The same with rows for columns: many quantities of few architectures, in a narrow terminal."""
    table = Table(title=escape(title), **FRAME)
    table.add_column(escape(grid.columns[0].title))
    for row in grid.rows:
        table.add_column(escape(row[0].text), justify="right")
    for place, column in enumerate(grid.columns[1:], 1):
        table.add_row(escape(column.heading), *[_styled(row[place]) for row in grid.rows])
    return table


def _styled(cell: Cell) -> str:
    text = escape(str(cell))
    return f"[bold green]{text}[/]" if cell.best else text


def markdown(grid: Grid) -> str:
    """A table that GitHub renders; winners in bold, baselines in italics."""
    rows = [[_marked(cell) for cell in row] for row in grid.rows]
    rows += [
        [_marked(replace(row[0], text=f"*{row[0].text}*")), *map(_marked, row[1:])] for row in grid.baselines
    ]
    return tabulate(
        rows,
        headers=[_plain(column.heading) for column in grid.columns],
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["right" if column.number else "left" for column in grid.columns],
    )


def _marked(cell: Cell) -> str:
    text = _plain(str(cell))
    return f"**{text}**" if cell.best else text


def _plain(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split()).replace("<", "&lt;")
