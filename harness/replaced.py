"""Final runs that the study no longer stands for: those at a rate that a later sweep has not chosen again.

Nothing is deleted; study.json names them, and reports leave them out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import record
from .identity import told

if TYPE_CHECKING:
    from .plan import Plan

NAME = "study.json"  # in the study's folder


def write(folder: Path, current: Sequence[Plan]) -> None:
    """study.json: {"replaced": {folder of a run: its rate}}, where there is any or was one.

    current: the final runs as they are planned now. A run of `folder` is replaced where it is one of them but
    for the rate, or for the run that it starts from. What an earlier command replaced stays so until it is
    current again: this one may be about other architectures.
    """
    before: dict[str, Any] = read(folder)
    kinds = {kind(planned.config) for planned in current}
    now = {planned.folder.name for planned in current}
    for path in folder.glob("*/run.json"):
        try:
            run = record.read_record(path.parent)
            if kind(run["config"]) in kinds:
                before[path.parent.name] = run["config"]["optim"]["lr"]
        except (record.DamagedRecord, KeyError):
            continue  # a report names it
    replaced = {name: rate for name, rate in sorted(before.items()) if name not in now}
    if replaced or (folder / NAME).exists():
        record.write_json(folder / NAME, {"replaced": replaced})


def read(folder: Path) -> dict[str, Any]:
    """{folder of a replaced run: its rate} of a study's folder. Raises DamagedRecord."""
    path = folder / NAME
    found = record.read_json(path) if path.exists() else {"replaced": {}}
    replaced = found.get("replaced") if isinstance(found, Mapping) else None
    if not isinstance(replaced, Mapping):
        raise record.DamagedRecord(f"{path}: not the record of a study, it has no 'replaced'")
    return dict(replaced)


def kind(config: Mapping[str, Any]) -> str:
    """What a run has in common with those at other rates."""
    return json.dumps({**told(config), "optim.lr": None}, sort_keys=True)
