"""Scaling laws of what may be fitted together: runs that differ in size and budget, and in nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..metrics import Metric
from ..statistics import scaling
from .grouping import COMPARABLE, canonical, comparable, differences
from .summary import Comparison
from .tables import headline

FIXED = [name for name in COMPARABLE if name not in ("size", "budget")]


@dataclass(frozen=True)
class Law:
    """title: the task, and what sets these runs apart from others of it. fits: per architecture."""

    title: str
    metric: Metric
    fits: Mapping[str, scaling.Fit]


def laws(comparisons: Sequence[Comparison]) -> list[Law]:
    """One per task, tokenizer, windows and whatever else a loss depends on, where there are points enough."""
    found = []
    for task in dict.fromkeys(each.task for each in comparisons):
        groups: dict[str, list[Comparison]] = {}
        keys = {}
        for each in comparisons:
            if each.task == task:
                run = next((run for row in each.rows for run in row.completed), each.rows[0].runs[0])
                key = {name: value for name, value in comparable(run).items() if name in FIXED}
                groups.setdefault(canonical(key), []).append(each)
                keys[canonical(key)] = key
        for name, own in groups.items():
            apart = ", ".join(differences(keys[name], list(keys.values()), FIXED))
            found += [law] if (law := _law(f"{task} ({apart})" if apart else task, own)) else []
    return found


def _law(title: str, tables: Sequence[Comparison]) -> Law | None:
    """The law of tables that differ in size and budget alone; None where it is not of a loss on one split, or
    no architecture has points enough to be worth a line."""
    metric = headline(tables[0])
    if metric is None or not metric.lower_is_better or len({each.split for each in tables}) > 1:
        return None
    runs = [run for each in tables for row in each.rows for run in row.runs]
    points = scaling.points_of(runs, metric.key, tables[0].split)
    sizes = [len({(point.parameters, point.tokens) for point in of}) for of in points.values()]
    if max(sizes, default=0) < scaling.POINTS_NEEDED:
        return None
    return Law(title, metric, {name: scaling.fit(of) for name, of in points.items()})
