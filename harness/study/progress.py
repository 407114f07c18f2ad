"""What a study shows while it runs: one display in the parent, read from what its children write down.

It works whatever launches the runs, since all it looks at are their folders: run.json, metrics.jsonl and the
lock. Where stderr is no terminal, it is a line per finished run.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .. import record
from ..lock import holder
from ..plan import Plan
from ..supervise import SAID
from .estimate import duration
from .expand import Job

POLL = 1.0  # seconds between looks
TAIL = 4096  # bytes of metrics.jsonl that hold its last lines


@dataclass
class Watched:
    """One run that is to be done. seconds: what it was estimated to take; attempts: it had before."""

    job: Job
    plan: Plan
    seconds: float
    attempts: int = field(init=False)
    status: str | None = None  # once it has ended
    share: float = 0.0
    metric: str = ""

    def __post_init__(self) -> None:
        self.attempts = record.read_record(self.plan.folder)["attempts"] if self._has_record() else 0

    def _has_record(self) -> bool:
        return record.has_record(self.plan.folder)

    @property
    def running(self) -> bool:
        return self.status is None and holder(self.plan.folder) is not None

    def look(self) -> bool:
        """Look at the folder; whether it has ended since the last look."""
        if self.status is not None or not self._has_record():
            return False
        known = record.read_record(self.plan.folder)
        if known["attempts"] > self.attempts and known["status"] != "running":
            self.status, self.share = known["status"], 1.0
            value = (known.get("validation") or {}).get(self.plan.task.primary)
            self.metric = f"{self.plan.task.primary} {value:.3f}" if value is not None else ""
            return True
        if known["attempts"] > self.attempts:
            for row in last_rows(self.plan.folder):
                self._take(row)
        return False

    def _take(self, row: dict[str, Any]) -> None:
        of = self.plan.budget.amount if self.plan.steps is None else self.plan.steps
        self.share = min(1.0, row["seconds" if self.plan.steps is None else "step"] / of)
        value = row.get(self.plan.task.primary)
        if value is not None:
            self.metric = f"{self.plan.task.primary} {value:.3f}"


def last_rows(folder: Path) -> list[dict[str, Any]]:
    """The last lines of metrics.jsonl, the first and perhaps the last of them torn and left out."""
    try:
        with open(folder / "metrics.jsonl", "rb") as file:
            file.seek(max(0, file.seek(0, 2) - TAIL))
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return []
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "step" in row:
            rows.append(row)
    return rows


class Progress:
    """The runs of one stage while they are executed."""

    def __init__(
        self, stage: str, runs: Sequence[Watched], skipped: int, at_once: int, console: Console
    ) -> None:
        self.stage, self.runs, self.skipped, self.at_once = stage, runs, skipped, at_once
        self.console = console
        self.started = time.monotonic()
        self.over = threading.Event()

    def look(self) -> None:
        """Look at every run; those that have ended get a line of their own where that is all there is."""
        for run in self.runs:
            if run.look() and (run.status != "completed" or not self.console.is_terminal):
                self._say(run)

    def _say(self, run: Watched) -> None:
        text = f"  {self.count(ended=True)}/{len(self.runs)} {run.job.title}: {run.status}"
        if run.status == "completed":
            text += f", {run.metric}" if run.metric else ""
            text += f" ({duration(self.left())} left)" if self.count(ended=False) else ""
        else:
            error = record.read_record(run.plan.folder)["error"]
            text += f": {error}" if error else ""
            text += f" (see {run.plan.folder / SAID})" if run.status == "failed" else ""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def count(self, *, ended: bool) -> int:
        return sum((run.status is not None) == ended for run in self.runs)

    def left(self) -> float:
        """Seconds until the last run ends: what was estimated, corrected by what has been seen so far."""
        whole = sum(run.seconds for run in self.runs)
        done = sum(run.seconds * run.share for run in self.runs)
        spent = time.monotonic() - self.started
        pace = done / spent if done > 0.05 * whole else self.at_once  # estimated seconds per second
        return (whole - done) / max(pace, 1e-9)

    def __rich__(self) -> Group:
        states = [run.status for run in self.runs if run.status is not None]
        counts = [f"{states.count('completed')} done", f"{sum(run.running for run in self.runs)} running"]
        bad = len(states) - states.count("completed")
        counts += [f"{bad} not well"] if bad else []
        counts += [f"{self.skipped} skipped"] if self.skipped else []
        share = sum(run.share * run.seconds for run in self.runs) / max(
            1e-9, sum(run.seconds for run in self.runs)
        )
        grid = Table.grid(padding=(0, 1))
        head = f"{self.stage} of {len(self.runs)}: {' · '.join(counts)} · {duration(self.left())} left"
        for run in self.runs:
            if run.running:
                grid.add_row(
                    Text(f"  {run.job.title}", overflow="ellipsis", no_wrap=True),
                    ProgressBar(total=1.0, completed=run.share, width=20),
                    Text(f"{run.share:4.0%} {run.metric}", no_wrap=True),
                )
        whole = Table.grid(expand=True)
        whole.add_row(ProgressBar(total=1.0, completed=share))
        return Group(Text(head, style="bold"), whole, grid)

    def _poll(self, live: Live | None) -> None:
        while not self.over.wait(POLL):
            self.look()
            if live is not None:
                live.update(self, refresh=True)


@contextmanager
def shown(progress: Progress, enabled: bool) -> Iterator[None]:
    """Keep the display up to date while the runs are executed, which happens elsewhere."""
    draw = enabled and progress.console.is_terminal
    live = Live(progress, console=progress.console, auto_refresh=False, transient=True) if draw else None
    thread = threading.Thread(target=progress._poll, args=(live,), daemon=True)
    if live is not None:
        live.start(refresh=True)
    if enabled:
        thread.start()
    try:
        yield
    finally:
        progress.over.set()
        if enabled:
            thread.join()
        if live is not None:
            live.stop()
        progress.look()
