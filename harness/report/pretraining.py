"""What the runs that others start from had cost: it is in no column of theirs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import Any

from .. import record
from .records import Record, is_number, lookup

SPENT = ("tokens", "flops", "seconds")  # what adds up from one run to the next


def with_pretraining(runs: Sequence[dict[str, Any]]) -> None:
    """Set `before` of every run that starts from another: {"tokens": ..., "flops": ..., "seconds": ...} of
    that one and of all before it; {} where there is no record of it."""
    known: dict[str, Record | None] = {PurePath(run["folder"]).name: run for run in runs if "folder" in run}
    for run in runs:
        if lookup(run, "config", "init_from"):
            run["before"] = _before(run, known) or {}


def _before(run: Record, known: dict[str, Record | None]) -> dict[str, float] | None:
    """What was spent on what a run starts from; None where that is not known."""
    start = lookup(run, "config", "init_from")
    if not start:
        return dict.fromkeys(SPENT, 0.0)
    name = PurePath(str(start)).name
    if name not in known:
        known[name] = _read([Path(str(start)), Path(run.get("folder", "")).parent / name])
    found = known[name]
    earlier = None if found is None or found is run else _before(found, known)
    if found is None or earlier is None:
        return None
    known_of = [key for key in SPENT if key in earlier and is_number(found.get(key))]
    return {key: earlier[key] + float(found[key]) for key in known_of}


def _read(folders: Iterable[Path]) -> Record | None:
    """The record in the first of these folders that holds one."""
    for folder in folders:
        try:
            return record.read_record(folder)
        except record.DamagedRecord:  # or none at all: an exported folder, or one that was moved
            continue
    return None
