"""Everything that a report is made from, read from a results folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import record
from .lock import holder

COMMAND = "command.txt"  # in a study's folder: the command that made it


@dataclass(frozen=True)
class Collected:
    """records: run.json of every run, with its `folder` and, where there is a test.json, its `test` metrics.
    points: of the length sweeps. problems: one line per file that could not be read, and was left alone."""

    records: Sequence[dict[str, Any]]
    points: Sequence[dict[str, Any]]
    problems: Sequence[str]
    command: str | None


def collect(root: Path) -> Collected:
    """Read a study's folder, or a folder of studies. Raises ValueError where there is nothing to report."""
    records, points, problems = [], [], []
    for folder in record.run_dirs(root):
        try:
            records.append(_read_run(folder))
        except record.DamagedRecord as damage:
            problems.append(str(damage))
    for path in sorted([*root.glob("bench/*.json"), *root.glob("*/bench/*.json")]):
        try:
            point = record.read_json(path)
        except record.DamagedRecord as damage:
            problems.append(str(damage))
            continue
        if isinstance(point, dict) and {"arch", "length", "batch", "status"} <= point.keys():
            points.append(point)
    if not records and not points:
        why = f" ({'; '.join(problems)})" if problems else ""
        raise ValueError(f"no run records in {root}{why}: make some with archs-compare or archs-train")
    command = root / COMMAND
    points.sort(key=lambda point: (str(point["arch"]), point["length"]))
    return Collected(records, points, problems, command.read_text().strip() if command.is_file() else None)


def _read_run(folder: Path) -> dict[str, Any]:
    run: dict[str, Any] = {**record.read_record(folder), "folder": str(folder)}
    if run["status"] == "running" and holder(folder) is None:  # killed before it could say so
        run["status"] = "interrupted"
    if (folder / "test.json").is_file():
        test = record.read_json(folder / "test.json")
        run["test"] = {key: value for key, value in test.items() if key != "documents"}
    return run
