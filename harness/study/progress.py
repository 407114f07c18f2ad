"""What a study shows while it runs: one display in the parent, read from what its children write down.

It works whatever launches the runs, since all it looks at are their folders: run.json, metrics.jsonl and the
lock. Where stderr is no terminal, it is a line per finished run.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from .estimate import TRAINING, Line, duration
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


@dataclass(frozen=True)
class Rest:
    """A study beside the runs that are watched. ended: of its runs, by status; waiting: those of later
    levels. before, after: estimated seconds of what is done, and of what comes later, tests and bench
    included."""

    ended: Counter[str]
    waiting: int
    before: float
    after: float


class Standing:
    """A study on its way, level by level: how what is behind has ended, and what is ahead.

    lines: the estimate. results: how runs that are there already ended, by (stage, task).
    """

    def __init__(self, lines: Sequence[Line], results: Mapping[tuple[str, str], Counter[str]]) -> None:
        self.ahead = {(line.stage, line.task): line for line in lines}
        self.results = dict(results)
        self.behind: Counter[str] = Counter()
        self.spent = 0.0

    def reach(self, stage: str, tasks: Iterable[str], settled: Iterable[str]) -> Rest:
        """What is beside the work of a level. settled: statuses of its runs that are left as they are."""
        for task in tasks:
            self.ahead.pop((stage, task), None)
            self.results.pop((stage, task), None)
        self.behind.update(settled)
        later = self.ahead.values()
        return Rest(
            sum(self.results.values(), Counter(self.behind)),
            sum(line.todo for line in later if line.stage in TRAINING),
            self.spent,
            sum(line.seconds for line in later),
        )

    def past(self, statuses: Iterable[str], seconds: float) -> None:
        """The work of a level is over: how its runs ended, and what they were estimated to take."""
        self.behind.update(statuses)
        self.spent += seconds


class Progress:
    """The runs of one level of a study while they are executed, and where the whole of it stands."""

    def __init__(
        self, stage: str, runs: Sequence[Watched], rest: Rest, at_once: int, console: Console
    ) -> None:
        self.stage, self.runs, self.rest, self.at_once = stage, runs, rest, at_once
        self.console = console
        self.started = time.monotonic()
        self.over = threading.Event()

    def look(self) -> None:
        """Look at every run; those that have ended get a line of their own where that is all there is."""
        for run in self.runs:
            if run.look() and (run.status != "completed" or not self.console.is_terminal):
                self._say(run)

    def _say(self, run: Watched) -> None:
        text = f"  {self.ended().total()}/{self.total()} {run.job.title}: {run.status}"
        if run.status == "completed":
            text += f", {run.metric}" if run.metric else ""
            text += f" ({duration(self.left())} left)" if self.left() else ""
        else:
            error = record.read_record(run.plan.folder)["error"]
            text += f": {error}" if error else ""
            text += f" (see {run.plan.folder / SAID})" if run.status == "failed" else ""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def ended(self) -> Counter[str]:
        """How many runs of the study came to which end."""
        return self.rest.ended + Counter(run.status for run in self.runs if run.status is not None)

    def total(self) -> int:
        """Runs of the study."""
        return self.rest.ended.total() + len(self.runs) + self.rest.waiting

    def seconds(self) -> tuple[float, float]:
        """What the watched runs were estimated to take, one after another: of what is done, and in all."""
        return sum(run.seconds * run.share for run in self.runs), sum(run.seconds for run in self.runs)

    def left(self) -> float:
        """Seconds until the study ends: what was estimated, corrected by what has been seen so far."""
        done, whole = self.seconds()
        spent = time.monotonic() - self.started
        pace = done / spent if done > 0.05 * whole else self.at_once  # estimated seconds per second
        return (whole - done + self.rest.after * self.at_once) / max(pace, 1e-9)

    def share(self) -> float:
        """How much of what this command does is done, by estimated time."""
        done, whole = (seconds / self.at_once for seconds in self.seconds())
        before, after = self.rest.before, self.rest.after
        return (before + done) / max(before + whole + after, 1e-9)

    def __rich__(self) -> Group:
        ended = self.ended()
        where = f"{self.stage}, {ended.total()} of all {self.total()} runs"
        counts = [f"{ended.pop('completed', 0)} done", f"{sum(run.running for run in self.runs)} running"]
        counts += [f"{count} {status}" for status, count in sorted(ended.items())]
        head = f"{where}: {' · '.join(counts)} · {duration(self.left())} left"
        grid = Table.grid(padding=(0, 1))
        for run in self.runs:
            if run.running:
                grid.add_row(
                    Text(f"  {run.job.title}", overflow="ellipsis", no_wrap=True),
                    ProgressBar(total=1.0, completed=run.share, width=20),
                    Text(f"{run.share:4.0%} {run.metric}", no_wrap=True),
                )
        whole = Table.grid(expand=True)
        whole.add_row(ProgressBar(total=1.0, completed=self.share()))
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
