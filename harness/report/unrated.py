"""What a study could not train: architectures for which no rate of the sweep was eligible.

They have no final runs, and would be missing from every table, where somebody else would then be best. So
each stands where the others of its sweep stand: as a run of theirs with its own architecture in it, a status
that says why it has no result, and no numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from .. import record
from ..identity import canonical
from .judging import NO_RATE
from .labelling import leaves, name_of
from .records import Record, lookup
from .sweep import FOLDER, Entry, Sweep

OWN = ("arch", "objective", "init_from")  # parts of a configuration that are an architecture's own
KNOWN = ("arch", "family", "objective", "asked", "parameters", "state_bytes", "match")  # of it, untrained
ALIKE = ("version", "study", "task", "seed", "primary", "solved_from", "digests")  # as in the others' runs


def unrated(runs: Sequence[Record], folder: Path, sweep: Sweep) -> Iterator[dict[str, Any]]:
    """Records of what the study in `folder` would have trained, had a rate been eligible.

    runs: the final runs that were read; those of this study say what there would have been.
    """
    own = [run for run in runs if "folder" in run and Path(run["folder"]).parent == folder]
    trial_of = cache(lambda identities: _trial(folder, identities))
    lost = [entry for entry in sweep.entries if entry.unrated]
    for entry in [*lost, *_never_begun(lost, sweep)]:
        if (trial := trial_of(entry.runs)) is None:
            continue
        for other in sweep.entries:
            if other.lr is None or (other.task, other.axes) != (entry.task, entry.axes):
                continue
            swept_once = all(each.task == other.task for each in sweep.entries if each.label == other.label)
            theirs = None if swept_once else trial_of(other.runs)
            if found := _finals(own, other, theirs):
                for run in found:
                    label = entry.label + name_of(run).removeprefix(other.label)
                    why = entry.ended_well if entry.trials else "nothing to start from"
                    yield _in_place_of(run, label, trial, why)
                break


def _never_begun(lost: Sequence[Entry], sweep: Sweep) -> Iterator[Entry]:
    """Of architectures that had no rate somewhere: where others were swept and they were not, since what they
    would have started from was never trained."""
    for label, entry in {entry.label: entry for entry in lost}.items():
        own = [(each.task, each.axes) for each in sweep.entries if each.label == label]
        for each in sweep.entries:
            if (each.task, each.axes) not in own:
                own.append((each.task, each.axes))
                yield replace(entry, task=each.task, axes=each.axes, values={}, trials=0)


def _trial(folder: Path, identities: Sequence[str]) -> Record | None:
    """The first of these runs of a sweep that there is a record of."""
    for identity in identities:
        for path in (folder / FOLDER).glob(f"*{identity}/run.json"):
            try:
                return record.read_record(path.parent)
            except record.DamagedRecord:  # another trial tells as much
                continue
    return None


def _finals(runs: Sequence[Record], entry: Entry, trial: Record | None) -> list[Record]:
    """The final runs at the rate of an entry; trial: a run of its sweep where each task was swept."""
    found = [run for run in runs if _is_of(run, entry)]
    if trial is None:
        return found
    same = [run for run in found if _task(run, entry) == _task(trial, entry)]
    return same or [run for run in found if _chosen(run) == _chosen(trial)]


def _is_of(run: Record, entry: Entry) -> bool:
    """Whether a run is of that label, also as "gpt from pretrain", at that rate and place on the axes."""
    config = leaves(run.get("config") or {})
    here = all(canonical(config.get(axis, at)) == canonical(at) for axis, at in entry.free.items())
    return here and entry.names(name_of(run)) and run.get("lr") == entry.lr


def _task(run: Record, entry: Entry) -> tuple[dict[str, Any], bool]:
    """What a run is asked, whatever its fold and its place along the study's axes."""
    keys = leaves(lookup(run, "config", "task") or {}, "task")
    told = {key: canonical(v) for key, v in keys.items() if key != "task.fold" and key not in entry.axes}
    return told, bool(lookup(run, "config", "init_from"))


def _chosen(run: Record) -> tuple[Any, bool]:
    return lookup(run, "config", "choices", "task"), bool(lookup(run, "config", "init_from"))


def _in_place_of(run: Record, label: str, trial: Record, why: str) -> dict[str, Any]:
    """The record of a run that was never started: another's, with the architecture of `trial` in it."""
    config, theirs = dict(run["config"]), trial["config"]
    config |= {key: theirs[key] for key in OWN if key in theirs}
    own = {k: v for k, v in (theirs.get("choices") or {}).items() if k.split("/")[0] in OWN}
    config["choices"] = {**(config.get("choices") or {}), **own}
    config |= {"label": label, "optim": {**(config.get("optim") or {}), "lr": None}}
    known = {key: trial[key] for key in KNOWN if key in trial}
    if canonical(config.get("size")) != canonical(theirs.get("size")):  # rates were chosen at another size
        known = {key: v for key, v in known.items() if key not in ("parameters", "state_bytes", "match")}
    return {
        **{key: run[key] for key in ALIKE if key in run},
        **known,
        "identity": f"{label} in place of {run.get('identity')}",
        "label": label,
        "name": f"{label}, seed {run.get('seed')}",
        "status": NO_RATE,
        "error": why,
        "config": config,
        "validation": {},
    }
