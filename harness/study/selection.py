"""Stage 1: which learning rate each architecture is given, from a sweep on validation, and sweep.json."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..record import DamagedRecord, Record, read_json, write_json
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
    """sweep.json: the rates, every trial and what was chosen.

    What an earlier command chose stays until it is chosen anew: this one may be about other architectures.
    Raises DamagedRecord where an earlier one cannot be read.
    """
    now = json.loads(json.dumps({"trials": list(map(asdict, trials)), "chosen": list(map(asdict, chosen))}))
    before = read(folder)
    kept = [old for old in before["chosen"] if not any(_replaces(new, old) for new in now["chosen"])]
    tried = [trial for trial in before["trials"] if any(_of(trial, choice) for choice in kept)]
    content: Mapping[str, Any] = {
        "grid": sorted({*grid, *(before["grid"] if kept else ())}),
        "trials": [*tried, *now["trials"]],
        "chosen": [*kept, *now["chosen"]],
    }
    write_json(folder / NAME, content)


def read(folder: Path) -> Mapping[str, list[Any]]:
    """The content of a study's sweep.json, as it is written; of empty lists where there is none."""
    path = folder / NAME
    found = read_json(path) if path.exists() else {"grid": [], "trials": [], "chosen": []}
    if not isinstance(found, Mapping) or not all(
        isinstance(found.get(key), list) for key in ("grid", "trials", "chosen")
    ):
        raise DamagedRecord(f"{path}: not the record of a sweep, it has no grid, trials and chosen")
    return found


def _replaces(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Whether one choice takes the place of another: it is the same, or made along other axes."""
    same = (new["label"], new["task"]) == (old["label"], old["task"])
    return same and (new["axes"] == old["axes"] or new["axes"].keys() != old["axes"].keys())


def _of(trial: Mapping[str, Any], choice: Mapping[str, Any]) -> bool:
    """Whether a trial is one of those that a choice was made among."""
    same = (trial["label"], trial["task"]) == (choice["label"], choice["task"])
    return same and choice["axes"].items() <= trial["axes"].items()


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
