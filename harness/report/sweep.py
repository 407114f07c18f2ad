"""The first stage of a study, as its sweep.json tells it: which rates were tried, and which was chosen."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import record
from ..statistics.inference import plural

SWEEP = "sweep.json"  # in a study's folder
FOLDER = "sweep"  # of the runs of stage 1, in a study's folder


@dataclass(frozen=True)
class Entry:
    """One choice: what was tried for an architecture on a task at some axes, and what was chosen.

    values  {rate: one number per trial that was completed}; lost: {status: how many others}
    lr      the chosen rate; None where none was eligible or the sweep goes on
    edge    whether the chosen rate is the grid's first or last
    runs    identities of its trials; free: the axes that choices were made along
    unrated whether the sweep has ended, and no rate was eligible
    """

    label: str
    task: str
    axes: Mapping[str, Any]
    primary: str
    values: Mapping[float, Sequence[float]]
    lost: Mapping[str, int]
    trials: int
    lr: float | None = None
    edge: bool = False
    runs: tuple[str, ...] = ()
    free: Mapping[str, Any] = field(default_factory=dict)
    unrated: bool = False

    def names(self, row: str) -> bool:
        """Whether a row of final runs, as "gpt" or "gpt from pretrain", is of this architecture."""
        return row == self.label or row.startswith(f"{self.label} from ")

    @property
    def ended_well(self) -> str:
        """ "0 of 2 trials ended well"."""
        completed = sum(map(len, self.values.values()))
        return f"{completed} of {plural(self.trials, 'trial')} ended well"

    @property
    def at(self) -> str:
        """ "dim 16": where along axes the choice was made; "" where there are none."""
        return ", ".join(f"{axis.rsplit('.', 1)[-1]} {value}" for axis, value in self.axes.items())


@dataclass(frozen=True)
class Sweep:
    """The rates tried, ascending, and an entry per choice."""

    study: str
    grid: tuple[float, ...]
    entries: tuple[Entry, ...]

    def trials_of(self, label: str, task: str) -> list[int]:
        """How many trials each choice for an architecture had: on `task`, or wherever it was swept."""
        own = [entry for entry in self.entries if entry.names(label)]
        return [entry.trials for entry in [e for e in own if e.task == task] or own]


def read_sweep(folder: Path) -> Sweep | None:
    """The sweep of a study's folder, or None. Raises DamagedRecord where its file cannot be read."""
    path = folder / SWEEP
    if not path.is_file():
        return None
    content = record.read_json(path)
    try:
        entries = tuple(_entries(content))
        return Sweep(folder.name, tuple(sorted(float(rate) for rate in content["grid"])), entries)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise record.DamagedRecord(f"{path}: not the record of a sweep ({error!r})") from error


def _entries(content: Mapping[str, Any]) -> Iterator[Entry]:
    tried: dict[str, list[Mapping[str, Any]]] = {}
    for trial in content["trials"]:
        tried.setdefault(_key(trial), []).append(trial)
    for trials in tried.values():
        choice = _choice(trials[0], content["chosen"])
        values: dict[float, list[float]] = {}
        lost: Counter[str] = Counter()
        for trial in trials:
            value = trial.get("value")
            if trial["status"] == "completed" and value is not None and math.isfinite(value):
                values.setdefault(float(trial["lr"]), []).append(float(value))
            else:
                lost[str(trial["status"])] += 1
        first = trials[0]
        yield Entry(
            label=str(first["label"]),
            task=str(first["task"]),
            axes=dict(first.get("axes") or {}),
            primary=str(next((t["primary"] for t in trials if t.get("primary")), "")),
            values=values,
            lost=dict(lost),
            trials=int(choice.get("trials", len(trials))),
            lr=None if choice.get("lr") is None else float(choice["lr"]),
            edge=bool(choice.get("edge", False)),
            runs=tuple(str(trial.get("identity")) for trial in trials),
            free=dict(choice.get("axes") or {}),
            unrated=bool(choice) and choice.get("lr") is None,
        )


def _choice(trial: Mapping[str, Any], chosen: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """What was chosen for a trial's architecture and task, at those of its axes that were swept."""
    axes = trial.get("axes") or {}
    for choice in chosen:
        same = all(choice[key] == trial[key] for key in ("label", "task"))
        if same and all(axes.get(axis) == value for axis, value in (choice.get("axes") or {}).items()):
            return choice
    return {}


def _key(entry: Mapping[str, Any]) -> str:
    axes = sorted((entry.get("axes") or {}).items())
    return f"{entry['label']}\n{entry['task']}\n{axes}"
