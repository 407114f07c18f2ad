"""What a table holds: rows of runs that differ in their seed alone, and what may be said of each column."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .statistics import Verdict, clopper_pearson, t_interval, verdict

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Metric:
    """A number that means the same for every family.

    minimum   smallest difference that matters
    solved    value from which the task counts as solved, for tasks that are solved or not
    baseline  row of the baselines that a model has to beat, by `margin`, to have left the plateau
    """

    key: str
    title: str
    unit: str
    lower_is_better: bool
    minimum: float
    solved: float | None = None
    baseline: str | None = None
    margin: float = 0.0


METRICS = (
    Metric("continuation_bpb", "continuation", "bits/byte", True, 0.01, baseline="unigram", margin=0.02),
    Metric("infill_bpb", "infill", "bits/byte", True, 0.01, baseline="unigram", margin=0.02),
    Metric("accuracy", "accuracy", "%", False, 0.01),
    Metric("exact_match", "exact match", "%", False, 0.01),
)
SOLVED_OR_NOT = {"mqar": 0.99}  # accuracy from which a run has solved the task
SAW = {"left": "the left only", "both": "both sides"}


def lookup(record: Record, *path: str) -> Any:
    """`record[path[0]][path[1]]...`, or None where that ends early."""
    value: Any = record
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


@dataclass(frozen=True)
class Row:
    """One configuration with all its seeds; `split` says whose metrics are read."""

    label: str
    arch: str
    split: str
    runs: tuple[Record, ...]

    @cached_property
    def completed(self) -> list[Record]:
        return [run for run in self.runs if run.get("status") == "completed"]

    @cached_property
    def asked(self) -> str:
        return str(next((run["asked"] for run in self.runs if run.get("asked")), "-"))

    @cached_property
    def infill_context(self) -> str:
        """ "left" or "both": what an infilled span was predicted from."""
        for run in self.runs:
            for place in (run.get(self.split), run.get("validation"), run):
                if context := lookup(place or {}, "infill_context"):
                    return str(context)
        family, objective = (str(self.runs[0].get(key, "")) for key in ("family", "objective"))
        return "left" if family == "decoder" and objective not in ("fim", "fill-in-the-middle") else "both"

    @property
    def seeds(self) -> list[int]:
        return sorted({int(run.get("seed", 0)) for run in self.runs})

    def values(self, metric: str) -> dict[int, float]:
        """{seed: value} of the runs that were completed and have a finite one."""
        found = {}
        for run in self.completed:
            value = lookup(run, self.split, metric)
            if isinstance(value, int | float) and math.isfinite(value):
                found[int(run.get("seed", 0))] = float(value)
        return found

    def mean(self, *path: str) -> float | None:
        """Mean of a number over the completed runs, or over all that have it where none was completed."""
        for runs in (self.completed, self.runs):
            values = [lookup(run, *path) for run in runs]
            numbers = [float(v) for v in values if isinstance(v, int | float) and math.isfinite(v)]
            if numbers:
                return float(np.mean(numbers))
        return None

    def estimate(self, metric: str) -> tuple[float, tuple[float, float] | None] | None:
        """Mean over seeds and its 95% interval (None for one seed); None without any value."""
        values = list(self.values(metric).values())
        return (float(np.mean(values)), t_interval(values)) if values else None

    def median(self, metric: str) -> float:
        """Median over seeds; not a number without any value."""
        return float(np.median(list(self.values(metric).values()) or [math.nan]))

    def solved(self, metric: str, threshold: float) -> tuple[int, int, tuple[float, float]] | None:
        """(solved, runs, Clopper-Pearson interval of the share solved); None without any value."""
        values = self.values(metric).values()
        if not values:
            return None
        solved = sum(value >= threshold for value in values)
        return solved, len(values), clopper_pearson(solved, len(values))

    @property
    def count(self) -> str:
        """ "3", or what became of the others: "2 of 3, 1 diverged"."""
        statuses = Counter(str(run.get("status", "unknown")) for run in self.runs)
        completed = statuses.pop("completed", 0)
        others = ", ".join(f"{number} {status}" for status, number in sorted(statuses.items()))
        return f"{completed} of {len(self.runs)}, {others}" if others else str(completed)


@dataclass(frozen=True)
class Comparison:
    """Runs of one task that may share columns.

    differs    what sets this table apart from the other tables of its task; empty where there is only one
    split      "test" or "validation": where every number comes from
    baselines  {row: {metric: value}}
    """

    task: str
    differs: str
    split: str
    rows: tuple[Row, ...]
    baselines: Mapping[str, Mapping[str, float]]
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"{self.task} ({self.differs})" if self.differs else self.task

    @cached_property
    def metrics(self) -> list[Metric]:
        """Those that a run or a baseline of this table has, in their usual order."""
        found = {key for run in self._runs for key in (run.get(self.split) or {})}
        found |= {key for values in self.baselines.values() for key in values}
        return [metric for metric in METRICS if metric.key in found]

    @property
    def _runs(self) -> Iterable[Record]:
        return (run for row in self.rows for run in row.runs)

    @property
    def solved_from(self) -> float | None:
        return SOLVED_OR_NOT.get(self.task)

    @cached_property
    def verdicts(self) -> dict[str, Verdict]:
        """Per metric, who won or why nobody did. A row that failed has no values, and says so there."""
        return {metric.key: self._verdict(metric) for metric in self.metrics}

    def _verdict(self, metric: Metric) -> Verdict:
        may_compare = None
        if metric.key == "infill_bpb":
            may_compare = {row.label: SAW.get(row.infill_context, row.infill_context) for row in self.rows}
        results = {}
        for row in self.rows:
            results[row.label] = dict.fromkeys(row.seeds, math.nan) | row.values(metric.key)
        unit = " points" if metric.unit == "%" else f" {metric.unit}"
        scale = 100 if metric.unit == "%" else 1
        scaled = {row: {seed: scale * value for seed, value in of.items()} for row, of in results.items()}
        return verdict(
            scaled,
            lower_is_better=metric.lower_is_better,
            minimum=scale * metric.minimum,
            unit=unit,
            may_compare=may_compare,
        )

    def plateau(self, row: Row, metric: Metric) -> str | None:
        """The mark of a row that has not learned yet what this metric asks, or None."""
        values = list(row.values(metric.key).values())
        if not values:
            return None
        floor = self.baselines.get(metric.baseline or "", {}).get(metric.key)
        if floor is not None and float(np.mean(values)) > floor - metric.margin:
            return f"no better than {metric.baseline} at this budget"
        if self.solved_from is not None and metric.key == "accuracy":
            median = float(np.median(values))
            if median < self.solved_from:
                chance = self.baselines.get("chance", {}).get(metric.key, math.nan)
                stuck = abs(median - chance) <= 0.05  # it knows the answers given, not which goes with which
                return "recall not solved" + (" (plateau of chance)" if stuck else "")
        return None
