"""A comparison as numbers, unrounded: what report.csv holds."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..statistics.inference import plural
from .labelling import name_of
from .quantities import COST
from .summary import Comparison, Record, Row, fold_of, lookup
from .tables import Grid

if TYPE_CHECKING:
    import pandas as pd


def frame(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """`lines` as a data frame."""
    import pandas as pd  # here, since a report needs no more than its lines

    return pd.DataFrame(lines(comparisons))


def lines(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Unrounded numbers: one line per run, per row of a table (kind "mean") and per baseline.

    Metrics are as in the records (accuracy as a fraction); `_low` and `_high` bound the 95% interval over
    seeds, `_test_low` and `_test_high` that over test sets.
    """
    found: list[dict[str, Any]] = []
    for comparison in comparisons:
        where = {"task": comparison.task, "table": comparison.title, "split": comparison.split}
        for row in comparison.rows:
            found += [where | _run_line(row, run) for run in row.runs]
            found.append(where | _mean_line(comparison, row))
        for name, values in comparison.baselines.items():
            found.append(where | {"kind": "baseline", "row": name} | dict(values))
    return found


def to_csv(lines: Sequence[Mapping[str, Any]]) -> str:
    """Lines as CSV under all the keys that any of them has; what one has not stays empty."""
    keys = dict.fromkeys(key for line in lines for key in line)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(keys)
    writer.writerows([line.get(key) for key in keys] for line in lines)
    return text.getvalue()


def grid_lines(grid: Grid) -> list[dict[str, Any]]:
    """A chosen table as lines: the numbers that sort its cells, unrounded, and intervals as shown."""
    found = []
    for row in grid.rows:
        line: dict[str, Any] = {}
        for column, cell in zip(grid.columns, row, strict=True):
            line[column.title] = cell.text if cell.value is None else cell.value
            line |= {f"{column.title} interval": cell.interval} if cell.interval else {}
        found.append(line)
    return found


def _run_line(row: Row, run: Record) -> dict[str, Any]:
    line = {"kind": "run", "row": row.label, "label": name_of(run), "arch": row.arch, "seed": run.get("seed")}
    line |= {"fold": fold_of(run)} if row.folds else {}
    line |= {key: run.get(key) for key in ("status", "identity", "name", "study", "error", "asked", "shared")}
    line |= {key: v for key, v in (run.get(row.split) or {}).items() if isinstance(v, int | float | str)}
    return line | {quantity.key: lookup(run, *quantity.path) for quantity in COST}


def _mean_line(comparison: Comparison, row: Row) -> dict[str, Any]:
    line: dict[str, Any] = {"kind": "mean", "row": row.label, "arch": row.arch, "asked": row.asked}
    line |= {"status": plural(len(row.completed), "run") + " completed", "n": len(row.completed)}
    line |= {"started": len(row.runs)}
    for metric in comparison.metrics:
        if estimate := row.estimate(metric.key):
            line[metric.key], interval = estimate
            if interval:
                line[f"{metric.key}_low"], line[f"{metric.key}_high"] = interval
        if tested := row.test_interval(metric.key):
            line[f"{metric.key}_test_low"], line[f"{metric.key}_test_high"] = tested
    threshold = comparison.solved_from
    if threshold is not None and (counted := row.solved(comparison.primary, threshold)):
        line["solved"], _, (line["solved_low"], line["solved_high"]) = counted
        line[f"{comparison.primary}_median"] = row.median(comparison.primary)
    return line | {quantity.key: row.mean(*quantity.path) for quantity in COST}
