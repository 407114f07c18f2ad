"""What a table holds: rows of runs that differ in their seed alone, and what may be said of each column."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..metrics import METRICS as METRICS
from ..metrics import Metric as Metric
from ..metrics import along_axes, scattered
from ..metrics import metric as metric_named
from ..statistics.inference import clopper_pearson, t_interval
from ..statistics.testset import Clusters, clusters_of, interval, joined, mean_of, resample
from ..statistics.verdict import Verdict
from .judging import NO_RATE, WHOLE_ANSWERS, judge
from .judging import SAW as SAW
from .records import Record as Record
from .records import baselines_of as baselines_of
from .records import fold_of as fold_of
from .records import is_number as is_number
from .records import lookup as lookup
from .records import own_numbers, solved_from


@dataclass(frozen=True)
class Row:
    """One configuration with all its seeds and folds; `split` says whose metrics are read.

    folds: those that any run of the table was for; a seed's value is pooled over them. Empty without folds.
    at: where along the axes of its study it stands, as its label says ("dim=16").
    """

    label: str
    arch: str
    split: str
    runs: tuple[Record, ...]
    folds: frozenset[int] = frozenset()
    at: str = ""

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

    @cached_property
    def gold_prefix(self) -> bool | None:
        """Whether each token of an answer is named given the right ones before it, as only an encoder is not;
        None where answers are one token, or read in place."""
        several = any(run.get("primary") in WHOLE_ANSWERS for run in self.runs)
        return self.runs[0].get("family") != "encoder" if several else None

    @cached_property
    def sized(self) -> bool:
        """Whether its widths were solved for, to meet a size or to match another architecture."""
        return any(run.get("match") or lookup(run, "config", "size") is not None for run in self.runs)

    @cached_property
    def unrated(self) -> bool:
        """Whether nothing of it was trained, since no rate of its sweep was eligible."""
        return all(run.get("status") == NO_RATE for run in self.runs)

    @property
    def seeds(self) -> list[int]:
        return sorted({int(run.get("seed", 0)) for run in self.runs})

    @cached_property
    def _by_seed(self) -> dict[int, list[Record]]:
        """{seed: its completed runs}: one, or one per fold in their order; no seed that lacks a fold."""
        found: dict[int, list[Record]] = {}
        for run in sorted(self.completed, key=lambda run: fold_of(run) or 0):
            found.setdefault(int(run.get("seed", 0)), []).append(run)
        return {seed: runs for seed, runs in found.items() if self.folds <= {fold_of(run) for run in runs}}

    def values(self, metric: str) -> dict[int, float]:
        """{seed: value} of the runs that were completed and have a finite one.

        With folds, a seed's value is that of all its test sets as one: by clusters where these are known
        (see `pooled`), else the mean over folds. A seed that lacks a fold has none.
        """
        if metric not in self._values:
            self._values[metric] = self._values_of(metric)
        return self._values[metric]

    @cached_property
    def _values(self) -> dict[str, dict[int, float]]:
        return {}

    def _values_of(self, metric: str) -> dict[int, float]:
        found = {}
        for seed, runs in self._by_seed.items():
            values = [lookup(run, self.split, metric) for run in runs]
            if all(is_number(value) for value in values):
                parts = self._clusters(runs, metric) if len(runs) > 1 else None
                found[seed] = joined(parts).value if parts else sum(map(float, values)) / len(values)
        return found

    def _clusters(self, runs: Iterable[Record], metric: str) -> list[Clusters] | None:
        """Of every run, or None where one of them has none, as on validation."""
        found = [clusters_of(run.get("test"), metric) for run in runs if self.split == "test"]
        return [each for each in found if each] if found and all(found) else None

    def pooled(self, metric: str) -> bool:
        """Whether its folds count as one test set, rather than as values that are averaged: so where every
        run of a seed with a value tells the metric by clusters."""
        return all(self._clusters(self._by_seed[seed], metric) for seed in self.values(metric))

    def clusters(self, metric: str) -> Clusters | None:
        """The test set's clusters, seeds averaged and folds joined; None where they are not all known."""
        if metric not in self._test_sets:
            self._test_sets[metric] = self._test_set(metric)
        return self._test_sets[metric]

    @cached_property
    def _test_sets(self) -> dict[str, Clusters | None]:
        return {}

    def _test_set(self, metric: str) -> Clusters | None:
        seeds = [self._by_seed[seed] for seed in self.values(metric)]
        parts = [self._clusters(runs, metric) for runs in seeds]
        if not parts or not all(parts):
            return None
        return mean_of([joined(of) for of in parts if of])

    def test_interval(self, metric: str) -> tuple[float, float] | None:
        """95% interval of the mean over seeds for other test sets like this one (see testset.py).

        None where the clusters of the test set are not known, or too few.
        """
        clusters = self.clusters(metric)
        return interval(clusters) if clusters else None

    def mean(self, *path: str) -> float | None:
        """Mean of a number over the completed runs, or over all that have it where none was completed."""
        for runs in (self.completed, self.runs):
            numbers = [float(value) for run in runs if is_number(value := lookup(run, *path))]
            if numbers:
                return float(np.mean(numbers))
        return None

    @property
    def starts(self) -> bool:
        """Whether it starts from the weights of other runs."""
        return any(lookup(run, "config", "init_from") for run in self.runs)

    def in_all(self, *path: str) -> float | None:
        """`mean` with what the runs that it starts from had taken of it, where that is recorded."""
        own, before = self.mean(*path), self.mean("before", *path)
        return own if own is None or before is None else own + before

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
        if self.unrated:
            return NO_RATE
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
    def _keys(self) -> dict[str, None]:
        """What a run or a baseline of this table has a value of, in the order met."""
        found = dict.fromkeys(key for run in self._runs for key in (run.get(self.split) or {}))
        return found | dict.fromkeys(key for values in self.baselines.values() for key in values)

    @cached_property
    def metrics(self) -> list[Metric]:
        """Those that a run or a baseline of this table has, in their usual order."""
        return [metric for metric in METRICS if metric.key in self._keys]

    @cached_property
    def parts(self) -> dict[tuple[str, str], dict[float, Metric]]:
        """{(metric, axis): {number: metric}}: what is reported apart, such as accuracy by length. Where that
        is only beyond the one number that a task was trained at, the metric itself is of that number."""
        own = own_numbers(self.rows[0].runs[0])
        found = along_axes(self._keys, own)
        for (of, axis), along in found.items():
            if of in self._keys and own.get(axis, math.inf) < min(along):
                along[own[axis]] = of
        return {
            axis: {number: metric for number, key in sorted(along.items()) if (metric := metric_named(key))}
            for axis, along in found.items()
        }

    @cached_property
    def points(self) -> dict[tuple[str, tuple[str, ...]], dict[tuple[float, ...], Metric]]:
        """{(metric, axes): {numbers: metric}}: what is reported apart and differs in several numbers, such as
        accuracy by length and pairs."""
        return {
            axes: {at: metric for at, key in sorted(points.items()) if (metric := metric_named(key))}
            for axes, points in scattered(self._keys).items()
        }

    @cached_property
    def judged(self) -> list[Metric]:
        """The metrics of which the test set's error is shown: of the mean over seeds, and so not where a task
        is solved or not and medians stand in the table."""
        if self.solved_from is not None:
            return []
        resample(found for row in self.rows for m in self.metrics if (found := row.clusters(m.key)))
        return [m for m in self.metrics if any(row.test_interval(m.key) for row in self.rows)]

    @property
    def _runs(self) -> Iterable[Record]:
        return (run for row in self.rows for run in row.runs)

    @cached_property
    def solved_from(self) -> float | None:
        """Value of `primary` from which a run has solved the task; None where that is no question."""
        told = [found for run in self._runs if (found := solved_from(run)) is not None]
        return max(told, default=None)

    @cached_property
    def primary(self) -> str:
        """The metric that a task of answers is solved by: what its records say, or accuracy."""
        return str(next((run["primary"] for run in self._runs if run.get("primary")), "accuracy"))

    @cached_property
    def verdicts(self) -> dict[str, Verdict]:
        """Per metric, who won or why nobody did. A row that failed has no values, and says so there."""
        return {metric.key: self.verdict(metric) for metric in self.metrics}

    def verdict(self, metric: Metric) -> Verdict:
        """Who won the column of a metric, which may be a part's, or why nobody did."""
        return judge({row.label: row for row in self.rows}, metric)

    def plateau(self, row: Row, metric: Metric) -> str | None:
        """The mark of a row that has not learned yet what this metric asks, or None."""
        values = list(row.values(metric.key).values())
        if not values:
            return None
        floor = self.baselines.get(metric.baseline or "", {}).get(metric.key)
        if floor is not None and float(np.mean(values)) > floor - metric.margin:
            return f"no better than {metric.baseline} at this budget"
        if self.solved_from is not None and metric.key == self.primary:
            median = float(np.median(values))
            if median < self.solved_from:
                chance = self.baselines.get("chance", {}).get(metric.key, math.nan)
                stuck = abs(median - chance) <= 0.05  # it knows the answers given, not which goes with which
                return "not solved" + (" (plateau of chance)" if stuck else "")
        return None
