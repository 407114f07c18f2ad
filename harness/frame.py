"""A comparison as numbers, unrounded: what report.csv holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from .statistics import plural
from .summary import Comparison, Record, Row, lookup
from .tables import COST


def frame(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """Unrounded numbers: one line per run, per row of a table (kind "mean") and per baseline.

    Metrics are as in the records (accuracy as a fraction); `_low` and `_high` bound the 95% interval.
    """
    lines: list[dict[str, Any]] = []
    for comparison in comparisons:
        where = {"task": comparison.task, "table": comparison.title, "split": comparison.split}
        for row in comparison.rows:
            lines += [where | _run_line(comparison, row, run) for run in row.runs]
            lines.append(where | _mean_line(comparison, row))
        for name, values in comparison.baselines.items():
            lines.append(where | {"kind": "baseline", "row": name} | dict(values))
    return pd.DataFrame(lines)


def _run_line(comparison: Comparison, row: Row, run: Record) -> dict[str, Any]:
    line = {"kind": "run", "row": row.label, "arch": row.arch, "seed": run.get("seed")}
    line |= {key: run.get(key) for key in ("status", "identity", "name", "study", "error", "asked")}
    line |= {key: v for key, v in (run.get(row.split) or {}).items() if isinstance(v, int | float | str)}
    return line | {"_".join(path): lookup(run, *path) for _, _, path, _ in COST}


def _mean_line(comparison: Comparison, row: Row) -> dict[str, Any]:
    line: dict[str, Any] = {"kind": "mean", "row": row.label, "arch": row.arch, "asked": row.asked}
    line |= {"status": plural(len(row.completed), "run") + " completed", "n": len(row.completed)}
    line |= {"started": len(row.runs)}
    for metric in comparison.metrics:
        if estimate := row.estimate(metric.key):
            line[metric.key], interval = estimate
            if interval:
                line[f"{metric.key}_low"], line[f"{metric.key}_high"] = interval
    if comparison.solved_from is not None and (counted := row.solved("accuracy", comparison.solved_from)):
        line["solved"], _, (line["solved_low"], line["solved_high"]) = counted
        line["accuracy_median"] = row.median("accuracy")
    return line | {"_".join(path): row.mean(*path) for _, _, path, _ in COST}
