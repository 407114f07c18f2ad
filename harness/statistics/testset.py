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
from collections.abc import Iterable, Mapping, Sequence
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
        (values,) = _resampled([self])
        return values

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
    if not parts or not all(_same(part.names, parts[0].names) for part in parts[1:]):
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


def paired_errors(sets: Sequence[Clusters | None]) -> np.ndarray:
    """(n, n) standard errors of value(a) - value(b) over test sets; NaN where a and b were not judged on the
    same clusters, or on too few."""
    errors = np.full((len(sets), len(sets)), np.nan)
    judged: list[tuple[Sequence[Any], list[int]]] = []  # those who were judged on the same
    for place, each in enumerate(sets):
        if each is None or len(each) < CLUSTERS_NEEDED:
            continue
        own = next((places for names, places in judged if _same(names, each.names)), None)
        if own is None:
            judged.append((each.names, own := []))
        own.append(place)
    for names, places in judged:
        resample(own_sets := [each for place in places if (each := sets[place])])
        covariance = np.atleast_2d(np.cov([each.resampled for each in own_sets]))
        variance = np.diag(covariance)
        squares = variance[:, None] + variance[None, :] - 2 * covariance
        errors[np.ix_(places, places)] = np.sqrt(np.maximum(squares, 0) * len(names) / (len(names) - 1))
    return errors


def _same(names: Sequence[Any], others: Sequence[Any]) -> bool:
    return names is others or list(names) == list(others)


def resample(sets: Iterable[Clusters]) -> None:
    """Make `resampled` of many at once: what takes the time is to read the draws, once for all of a size."""
    sizes: dict[int, list[Clusters]] = {}
    for each in sets:
        if "resampled" not in vars(each):
            sizes.setdefault(len(each), []).append(each)
    for own in sizes.values():
        for each, values in zip(own, _resampled(own), strict=True):
            vars(each)["resampled"] = values  # where the cached property keeps it


def _resampled(sets: Sequence[Clusters]) -> np.ndarray:
    """(len(sets), RESAMPLES) values of sets with equally many clusters."""
    value = np.array([each.value for each in sets])
    count = np.stack([each.count for each in sets])
    total = np.stack([each.total for each in sets])
    off = total - value[:, None] * count  # so that single precision is enough
    sums = draws(count.shape[1]) @ np.concatenate([off, count]).T.astype(np.float32)
    moved, counted = np.split(sums.T.astype(float), 2)
    return value[:, None] + np.divide(moved, counted, out=np.zeros_like(moved), where=counted > 0)


@lru_cache(maxsize=2)
def draws(clusters: int) -> np.ndarray:
    """(RESAMPLES, clusters) float32: how often each cluster is in each resample."""
    rng = np.random.default_rng([SEED, clusters])
    counts = np.empty((RESAMPLES, clusters), dtype=np.float32)
    for row in counts:
        row[:] = np.bincount(rng.integers(clusters, size=clusters), minlength=clusters)
    return counts
