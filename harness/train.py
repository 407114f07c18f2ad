"""archs-train: one run, from a composed configuration to a finished run folder.

plan ──> lock ──> running ──> fit (resumes last.ckpt) ──> full validation ──> completed
                               └─ diverged / interrupted / out-of-memory / failed: recorded as what happened
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeGuard

import torch
from omegaconf import DictConfig
from rich.console import Console

from . import record
from .errors import one_line, one_line_errors
from .fit import Run
from .lock import run_lock
from .neighbours import present
from .plan import plan

DONE = ("completed", "diverged")  # results that running again would only repeat

# Exit statuses besides 2, which is bad input, and BUSY: another process holds the run.
BUSY = 75
EXIT = {"completed": 0, "failed": 1, "diverged": 3, "out-of-memory": 4, "interrupted": 130}


def run(
    config: DictConfig,
    *,
    title: str | None = None,
    heartbeat: Path | None = None,
    announce: Callable[[Path], object] = lambda folder: None,
) -> int:
    """Train, or continue, or skip what is completed; returns the exit status.

    title: of the progress bar. heartbeat: touched while the run makes progress (see supervise.py).
    announce(folder) is called as soon as the folder is this process's to run, or holds a result.
    """
    console = Console(stderr=True)
    with one_line_errors():
        planned = plan(config)
        before = known(planned.folder)
    if is_done(before):
        return skip(before, planned.folder, announce, console)
    with run_lock(planned.folder) as held:
        if not held:
            console.print(f"another process is running this: {planned.folder}")
            return BUSY
        before = known(planned.folder)  # again: another process may have ended it just now
        if is_done(before):
            return skip(before, planned.folder, announce, console)
        announce(planned.folder)
        if planned.match is not None:
            line = planned.match.line(planned.arch.name)
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        ran = Run(planned, before, title or planned.folder.name, heartbeat)
        status = execute(ran)
    console.print(f"{status}{summary(ran.record)}", markup=False, highlight=False)
    console.print(f"  {planned.folder}", markup=False, highlight=False, soft_wrap=True)
    return EXIT[status]


def known(folder: Path) -> record.Record | None:
    """The record in a run folder; None where there is none yet."""
    return record.read_record(folder) if record.has_record(folder) else None


def is_done(before: record.Record | None) -> TypeGuard[record.Record]:
    return before is not None and before["status"] in DONE


def skip(before: record.Record, folder: Path, announce: Callable[[Path], object], console: Console) -> int:
    """Say that there is nothing left to do; returns the exit status that the run ended with."""
    announce(folder)
    console.print(f"{before['status']} already: {folder}", markup=False, highlight=False, soft_wrap=True)
    return EXIT[before["status"]]


def summary(record: Mapping[str, Any]) -> str:
    """ ": continuation_bpb 2.013 (bigram 1.720, unigram 2.610)" of a finished run, else its error or ""."""
    if record["status"] != "completed":
        return f": {record['error']}" if record["error"] else ""
    parts = []
    for name, value in record["validation"].items():
        if isinstance(value, float):
            known = sorted((row[name], label) for label, row in record["baselines"].items() if name in row)
            beside = ", ".join(f"{label} {baseline:.3f}" for baseline, label in known)
            parts.append(f"{name} {value:.3f}" + (f" ({beside})" if beside else ""))
    return ": " + " · ".join(parts)


def execute(run: Run) -> str:
    """Run it and write down how it ended, whatever that is, and whether it had the machine to itself."""
    earlier = run.record["shared"]
    error: BaseException | None = None
    with present() as watch:
        run.write(status="running", error=None, shared=earlier or watch.shared)
        try:
            status = run.fit()
        except (MemoryError, torch.OutOfMemoryError) as shortage:
            status, error = "out-of-memory", shortage
        except KeyboardInterrupt:
            status = "interrupted"
        except Exception as failure:  # a bug, ours or a plugin's: recorded, and shown in full
            traceback.print_exc()
            status, error = "failed", failure
    run.write(
        status=status,
        error=None if error is None else f"{type(error).__name__}: {one_line(error)}",
        shared=earlier or watch.shared,
        failures=run.record["failures"] + (status == "failed"),
        finished=record.now(),
    )
    return status
