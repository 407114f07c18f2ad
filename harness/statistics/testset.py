"""How much a number owes to the test set: a bootstrap of its clusters (documents, or single examples).

The seeds say how much a result varies when a model is trained again; all of them are judged on one test set,
and another one would have moved them all together. Seeds are averaged first, then clusters are resampled
with replacement, the same ones for every row of a table, so that the error of a difference is that of
pairs. Intervals are percentiles, widened as Hesterberg proposes for few clusters (What teachers should know
about the bootstrap, The American Statistician 69, 2015): plain percentiles are too short by the factor
sqrt((K - 1) / K) and by that of t over z. Beside it, BCa gained nothing in the published simulation
(python -m harness.statistics.simulate), and it is not defined for a difference that most resamples do
not move.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from scipy import special

RESAMPLES = 2000
CLUSTERS_NEEDED = 10  # with fewer, nothing can be said of a test set that is not in it
SEED = 20150402  # resampling is part of the definition of a table: the same clusters give the same numbers


@dataclass(frozen=True)
class Clusters:
    """A metric on a test set: sum(total) / sum(count), both (K,) float64 by cluster; names: who they are."""

    names: Sequence[Any]
    total: np.ndarray
    count: np.ndarray

    @property
    def value(self) -> float:
        return float(self.total.sum() / self.count.sum())

    @cached_property
    def resampled(self) -> np.ndarray:
        """(RESAMPLES,) values; resample i holds the same clusters for all who have as many of them."""
        off = self.total - self.value * self.count  # so that single precision is enough
        sums = draws(len(self)) @ np.stack([off, self.count], axis=1).astype(np.float32)
        moved = np.divide(sums[:, 0], sums[:, 1], out=np.zeros(len(sums), np.float32), where=sums[:, 1] > 0)
        return self.value + moved.astype(float)

    def __len__(self) -> int:
        return len(self.total)


def clusters_of(test: Mapping[str, Any] | None, metric: str) -> Clusters | None:
    """The clusters of a metric in the content of a test.json; None where it has none."""
    kept = (test or {}).get("clusters")
    if not isinstance(kept, Mapping) or not isinstance(kept.get(metric), Mapping):
        return None
    total, count = (np.asarray(kept[metric][key], dtype=float) for key in ("total", "count"))
    if not len(total) == len(count) == len(kept["names"]) or not count.sum() > 0:
        return None
    return Clusters(kept["names"], total, count)


def mean_of(parts: Sequence[Clusters]) -> Clusters | None:
    """Runs judged on the same clusters, averaged cluster by cluster; None where they are not the same."""
    if not parts or any(list(part.names) != list(parts[0].names) for part in parts[1:]):
        return None
    total, count = (np.mean([getattr(p, key) for p in parts], axis=0) for key in ("total", "count"))
    return Clusters(parts[0].names, total, count)


def joined(parts: Sequence[Clusters]) -> Clusters:
    """The test sets of several folds as one."""
    names = [name for part in parts for name in part.names]
    total, count = (np.concatenate([getattr(p, key) for p in parts]) for key in ("total", "count"))
    return Clusters(names, total, count)


def interval(clusters: Clusters, confidence: float = 0.95) -> tuple[float, float] | None:
    """Of the metric over test sets drawn as this one was; None for fewer than CLUSTERS_NEEDED clusters."""
    if len(clusters) < CLUSTERS_NEEDED:
        return None
    return percentiles(clusters.resampled, len(clusters), confidence)


def percentiles(values: np.ndarray, clusters: int, confidence: float) -> tuple[float, float]:
    """Hesterberg's expanded percentiles of `values`: as wide as a t interval of so many clusters."""
    t = -float(special.stdtrit(clusters - 1, (1 + confidence) / 2))
    tail = float(special.ndtr(t * math.sqrt(clusters / (clusters - 1))))
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def paired_error(a: Clusters, b: Clusters) -> float | None:
    """Standard error of value(a) - value(b) over test sets; None where they were not judged on the same."""
    if len(a) < CLUSTERS_NEEDED or list(a.names) != list(b.names):
        return None
    difference = a.resampled - b.resampled
    return float(np.std(difference, ddof=1)) * math.sqrt(len(a) / (len(a) - 1))


@lru_cache(maxsize=2)
def draws(clusters: int) -> np.ndarray:
    """(RESAMPLES, clusters) float32: how often each cluster is in each resample."""
    rng = np.random.default_rng([SEED, clusters])
    counts = np.empty((RESAMPLES, clusters), dtype=np.float32)
    for row in counts:
        row[:] = np.bincount(rng.integers(clusters, size=clusters), minlength=clusters)
    return counts
