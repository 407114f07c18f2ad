"""Stage 1: which learning rate each architecture is given, from a sweep on validation, and sweep.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..record import Record, write_json
from .expand import Axes, Job

NAME = "sweep.json"  # in the study's folder


@dataclass(frozen=True)
class Trial:
    """One run of a sweep, judged. primary: the metric's name; value: on validation, null unless completed."""

    label: str
    task: str
    axes: dict[str, Any]
    lr: float
    seed: int
    status: str
    primary: str
    value: float | None
    identity: str
    native_loss: float | None = (
        None  # parts what the primary metric cannot, as where several rates solve a task
    )


@dataclass(frozen=True)
class Choice:
    """What one architecture was given. lr: null where no rate was eligible. axes: those that the choice is
    made along. edge: the best was the smallest or the largest of the grid. trials: how many there were."""

    label: str
    task: str
    axes: dict[str, Any]
    lr: float | None
    edge: bool
    trials: int


def judged(job: Job, record: Record, primary: str) -> Trial:
    """The trial that a job's record tells of."""
    validation = record.get("validation") or {} if record["status"] == "completed" else {}
    return Trial(
        job.label,
        job.task,
        dict(job.axes),
        job.lr,
        job.seed,
        record["status"],
        primary,
        validation.get(primary),
        record["identity"],
        validation.get("native_loss"),
    )


def choose(
    trials: Sequence[Trial], key: tuple[str, str, Axes], grid: Sequence[float], higher_is_better: bool
) -> Choice:
    """The rate with the best mean of the primary metric over the tuning seeds.

    A rate is eligible if every one of its seeds completed with a number. Rates that are equally good, as
    where several solve a task, are parted by the objective's own loss, then by taking the smaller.
    """
    sign = 1 if higher_is_better else -1
    best: tuple[float, float, float] | None = None
    for lr in sorted(grid):
        runs = [trial for trial in trials if trial.lr == lr]
        values = [trial.value for trial in runs if trial.value is not None and math.isfinite(trial.value)]
        if not runs or len(values) < len(runs):
            continue
        losses = [math.inf if trial.native_loss is None else trial.native_loss for trial in runs]
        merit = (sign * sum(values) / len(values), -sum(losses) / len(losses), -lr)
        best = merit if best is None else max(best, merit)
    rate = None if best is None else -best[2]
    label, task, axes = key
    edge = len(grid) > 1 and rate in (min(grid), max(grid))
    return Choice(label, task, dict(axes), rate, edge, len(trials))


def write(folder: Path, grid: Sequence[float], trials: Sequence[Trial], chosen: Sequence[Choice]) -> None:
    """sweep.json: the grid, every trial and what was chosen."""
    content: Mapping[str, Any] = {
        "grid": list(grid),
        "trials": [asdict(trial) for trial in trials],
        "chosen": [asdict(choice) for choice in chosen],
    }
    write_json(folder / NAME, content)


def said(choice: Choice, grid: Sequence[float]) -> str:
    """One line about a choice that a reader should know about, or ""."""
    where = " · ".join([choice.label, choice.task, *(f"{key}={value}" for key, value in choice.axes.items())])
    if choice.lr is None:
        return f"{where}: no rate of {', '.join(f'{lr:g}' for lr in grid)} ended well; it has no final runs"
    if choice.edge:
        end = "smallest" if choice.lr == min(grid) else "largest"
        return (
            f"{where}: the best rate, {choice.lr:g}, is the {end} of the grid; the true best may lie beyond"
        )
    return ""
