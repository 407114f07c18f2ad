"""Simulated studies whose answer is known, as the records that a real study leaves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..report.summary import Comparison, Row
from ..study.selection import Trial, choose

LABEL, TASK = "architecture", "language"
METRICS = ("continuation_bpb", "infill_bpb")
LEVEL = 1.7  # bits per byte that everyone is at
DOCUMENT = 0.2  # by how much documents differ in difficulty, for all alike
BYTES = 500.0  # of a document


@dataclass(frozen=True)
class World:
    """How results of a study come about; all but `spread` in units of it.

    spread     standard deviation of a run's result over seeds, in bits per byte
    shared     share of that variance which all architectures of a seed have in common (data order)
    rates      what each rate of the grid costs, the same for every architecture
    suits      how much better or worse a test set suits an architecture than other test sets do (std)
    ahead      by how much the first architecture is better than the others
    tuning     seeds of the sweep; documents: clusters of the test set
    """

    name: str
    spread: float = 0.02
    shared: float = 0.5
    rates: Sequence[float] = (1.0, 0.0, 1.0)
    suits: float = 0.0
    ahead: float = 0.0
    archs: int = 4
    tuning: int = 1
    documents: int = 50


def study(world: World, seeds: int, rng: np.random.Generator) -> Comparison:
    """The table of a study in that world: rates swept on validation, then fresh seeds, then the test set."""
    ahead = world.spread * world.ahead * (np.arange(world.archs) == 0)
    rates = [_chosen_rate(values) for values in _sweep(world, rng) - ahead[:, None, None]]
    cost = world.spread * np.array([world.rates[rate] for rate in rates]) - ahead
    runs = _noise(world, seeds, rng)
    infill = 0.8 * runs + 0.6 * _noise(world, seeds, rng)  # two columns of one run are alike
    level = LEVEL + cost[:, None] + np.stack([runs, infill])  # (metrics, archs, seeds)
    shape = (len(METRICS), world.archs, 1, world.documents)
    suits = world.suits * world.spread * math.sqrt(world.documents) * rng.normal(size=shape)
    documents = DOCUMENT * rng.normal(size=(len(METRICS), 1, 1, world.documents))
    bits = BYTES * (level[..., None] + documents + suits)  # (metrics, archs, seeds, documents)
    rows = [
        Row(f"{LABEL} {a + 1}", LABEL, "test", tuple(_record(bits[:, a, s], s) for s in range(seeds)))
        for a in range(world.archs)
    ]
    return Comparison(TASK, "", "test", tuple(rows), {})


def _noise(world: World, seeds: int, rng: np.random.Generator) -> np.ndarray:
    """(archs, seeds) by which runs miss their mean; part of it is the seed's, whatever the architecture."""
    own, common = rng.normal(size=(world.archs, seeds)), rng.normal(size=seeds)
    return world.spread * (math.sqrt(1 - world.shared) * own + math.sqrt(world.shared) * common)


def _sweep(world: World, rng: np.random.Generator) -> np.ndarray:
    """(archs, rates, tuning seeds) on validation."""
    own, common = (
        rng.normal(size=(world.archs, len(world.rates), world.tuning)),
        rng.normal(size=world.tuning),
    )
    noise = math.sqrt(1 - world.shared) * own + math.sqrt(world.shared) * common
    return LEVEL + world.spread * (np.array(world.rates)[:, None] + noise)


def _chosen_rate(values: np.ndarray) -> int:
    """Place of the rate that the study engine chooses, given validation results (rates, seeds)."""
    trials = [
        Trial(LABEL, TASK, {}, float(rate), seed, "completed", METRICS[0], float(value), "")
        for rate, of_rate in enumerate(values)
        for seed, value in enumerate(of_rate)
    ]
    chosen = choose(trials, (LABEL, TASK, ()), [float(rate) for rate in range(len(values))], False)
    assert chosen.lr is not None
    return int(chosen.lr)


def _record(bits: np.ndarray, seed: int) -> dict[str, Any]:
    """A run with bits (metrics, documents) on the test set."""
    count = np.full(bits.shape[1], BYTES)
    clusters: dict[str, Any] = {"names": range(bits.shape[1])}
    clusters |= {name: {"total": total, "count": count} for name, total in zip(METRICS, bits, strict=True)}
    values = {name: float(total.sum() / count.sum()) for name, total in zip(METRICS, bits, strict=True)}
    return {"status": "completed", "seed": seed, "test": {**values, "clusters": clusters}}


def recall(archs: int, seeds: int, chance: float, rng: np.random.Generator) -> Comparison:
    """The table of a task that a run solves with probability `chance`, or else stays on its plateau.

    On validation, where seeds alone speak, so that nothing but they keeps a winner from being named.
    """
    solved = rng.random((archs, seeds)) < chance
    off = np.abs(rng.normal(scale=0.003, size=(archs, seeds)))
    accuracy = np.where(solved, 1 - off, 0.25 + off)
    rows = []
    for a, values in enumerate(accuracy):
        runs = [
            {"status": "completed", "seed": s, "solved_from": 0.99, "validation": {"accuracy": float(value)}}
            for s, value in enumerate(values)
        ]
        rows.append(Row(f"{LABEL} {a + 1}", LABEL, "validation", tuple(runs)))
    return Comparison("recall", "", "validation", tuple(rows), {})


def classification(
    suits: float, seeds: int, rng: np.random.Generator, *, archs: int = 4, documents: int = 50
) -> Comparison:
    """The table of equal architectures that tell two classes apart, of a test set of so many documents.

    The log odds of a right answer are 1 on average; documents, runs, and each run's luck with each document
    move them by 1, 0.2 and 0.5 (std), and by `suits` what a document has that suits an architecture.
    """
    odds = 1 + rng.normal(size=documents) + 0.2 * rng.normal(size=(archs, seeds, 1))
    odds = odds + suits * rng.normal(size=(archs, 1, documents))
    odds = odds + 0.5 * rng.normal(size=(archs, seeds, documents))
    right = odds > 0
    truth = np.arange(documents) % 2
    rows = []
    for a in range(archs):
        runs = tuple(_classified(right[a, s], truth, s) for s in range(seeds))
        rows.append(Row(f"{LABEL} {a + 1}", LABEL, "test", runs))
    return Comparison("classification", "", "test", tuple(rows), {})


def _classified(right: np.ndarray, truth: np.ndarray, seed: int) -> dict[str, Any]:
    """A run that was right where `right`, as a task records it: macro F1 is known of the whole alone."""
    said = np.where(right, truth, 1 - truth)
    f1 = [2 * np.sum((said == c) & (truth == c)) / (np.sum(said == c) + np.sum(truth == c)) for c in (0, 1)]
    clusters = {"names": range(len(truth)), "accuracy": {"total": right * 1.0, "count": np.ones(len(truth))}}
    test = {"accuracy": float(right.mean()), "macro_f1": float(np.mean(f1)), "clusters": clusters}
    return {"status": "completed", "seed": seed, "test": test}
