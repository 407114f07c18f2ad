"""Everything that a report is made from, read from a results folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import record
from ..lock import holder
from ..replaced import NAME, read
from .points import NoPoint, Point, read_point
from .pretraining import with_pretraining
from .sweep import FOLDER, SWEEP, Sweep, read_sweep
from .unrated import unrated

COMMAND = "command.txt"  # in a study's folder: the command that made it


@dataclass(frozen=True)
class Collected:
    """records: run.json of every run, with its `folder` and, where there is a test.json, its `test` metrics.
    Those of a study's first stage are left to `sweeps`, unless they are what was asked for.
    points: of the length sweeps. problems: one line per file that could not be read, and was left alone, and
    per study whose sweep has chosen other rates since, whose earlier runs were."""

    records: Sequence[dict[str, Any]]
    points: Sequence[Point]
    problems: Sequence[str]
    command: str | None
    sweeps: Sequence[Sweep] = ()


def collect(root: Path) -> Collected:
    """Read a study's folder, or a folder of studies. Raises ValueError where there is nothing to report."""
    records, points, sweeps = [], [], []
    problems: list[str] = []
    names: dict[Any, Any] = {}
    replaced: dict[Path, Any] = {}
    for folder in record.run_dirs(root):
        if is_trial(folder, root):
            continue
        if folder.parent not in replaced:
            replaced[folder.parent] = _replaced(folder.parent, problems)
        if folder.name in replaced[folder.parent]:
            continue
        try:
            records.append(_read_run(folder, names))
        except record.DamagedRecord as damage:
            problems.append(str(damage))
    for path in sorted([*root.glob(SWEEP), *root.glob(f"*/{SWEEP}")]):
        try:
            if found := read_sweep(path.parent):
                sweeps.append(found)
                records += unrated(records, path.parent, found)
        except record.DamagedRecord as damage:
            problems.append(str(damage))
    for path in sorted([*root.glob("bench/*.json"), *root.glob("*/bench/*.json")]):
        try:
            points.append(read_point(record.read_json(path)))
        except record.DamagedRecord as damage:
            problems.append(str(damage))
        except NoPoint as problem:
            problems.append(f"{path.relative_to(root)}: {problem}")
    if not (records or points or any(sweep.entries for sweep in sweeps)):
        why = f" ({'; '.join(problems)})" if problems else ""
        raise ValueError(f"no run records in {root}{why}: make some with archs-compare or archs-train")
    with_pretraining(records)
    command = root / COMMAND
    told = command.read_text().strip() if command.is_file() else None
    return Collected(records, points, problems, told, sweeps)


def is_trial(folder: Path, root: Path) -> bool:
    """Whether a run below `root` is one of a study's first stage: STUDY/sweep/RUN, with STUDY/sweep.json or
    the study's final runs beside it; not where `root` is that folder itself."""
    if folder.parent.name != FOLDER or folder.parent == root:
        return False
    study = folder.parent.parent
    return study != root or (study / SWEEP).exists() or any(study.glob("*/run.json"))


def _replaced(study: Path, problems: list[str]) -> set[str]:
    """Names of the runs in a study's folder that runs at other rates have taken the place of."""
    try:
        names = {name for name in read(study) if (study / name).is_dir()}
    except record.DamagedRecord as damage:
        problems.append(str(damage))
        return set()
    if names:
        runs = "1 run at a rate" if len(names) == 1 else f"{len(names)} runs at rates"
        them = "it" if len(names) == 1 else "them"
        problems.append(f"{study.name}: {runs} that its sweep has left since ({NAME} names {them})")
    return names


def _read_run(folder: Path, names: dict[Any, Any]) -> dict[str, Any]:
    run: dict[str, Any] = {**record.read_record(folder), "folder": str(folder)}
    if run["status"] == "running" and holder(folder) is None:  # killed before it could say so
        run["status"] = "interrupted"
    if (folder / "test.json").is_file():
        test = record.read_json(folder / "test.json")
        run["test"] = {key: value for key, value in test.items() if key not in ("documents", "clusters")}
        if isinstance(clusters := test.get("clusters"), Mapping):
            run["test"]["clusters"] = _compact(clusters, names)
    return run


def _compact(clusters: Mapping[str, Any], names: dict[Any, Any]) -> dict[str, Any]:
    """The same with arrays for lists, and one list of names for all runs that were judged on the same."""
    own = clusters.get("names") or []
    compact: dict[str, Any] = {"names": names.setdefault(tuple(own), own)}
    for metric, kept in clusters.items():
        if isinstance(kept, Mapping):
            compact[metric] = {key: np.asarray(values, dtype=np.float64) for key, values in kept.items()}
    return compact
