"""A sweep: every point once, length by length.

    points ─> one by one ─┬─ finished before: kept
              (one sweep  ├─ ended by a limit at a shorter one: skipped
              in a folder)└─ measured by two processes, within its limits ─> a file
                   │
                   └─> those where the machine's own speed drifted from that of all points in the folder,
                       earlier sweeps' among them: again, twice at most

Work that runs out of memory or time is a result: it is skipped in the rest of its curve, other kinds of work
and the sweep go on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..environment import environment
from ..errors import note, one_line_errors
from ..lock import holder, run_lock
from ..record import now
from ..statistics.lengths import UNSTEADY
from . import measure, records
from .device import choose_device
from .points import Point, points
from .records import Result

AGAIN = 2  # times that a point is repeated at most


class Sweep:
    """Measures points into their files in a folder. results: by path, as they stand, of those points and of
    all `others` there. free: see records.holds."""

    def __init__(
        self,
        folder: Path,
        todo: Sequence[Point],
        limits: Mapping[str, Any],
        free: Callable[[], int | None],
        *,
        progress: bool = True,
    ) -> None:
        self.todo, self.limits, self.free = todo, dict(limits), free
        self.results = records.others(folder, todo)
        self.about = environment()
        self.bar = Progress(
            TextColumn("[bold]lengths[/bold] {task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[done]}"),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            speed_estimate_period=900,  # seconds: points are few, and some are long
            expand=True,
            disable=not progress,
        )
        self.line = self.bar.add_task("", total=sum(point.weight for point in todo), done="")

    def run(self) -> list[Result]:
        """All results, in the order of the points. Ctrl-C keeps what is finished, and says so."""
        try:
            with self.bar:
                self.first()
                for _ in range(AGAIN):
                    self.again()
        except KeyboardInterrupt:
            kept = sum(records.known(point) is not None for point in self.todo)
            note(f"stopped: {kept} of {len(self.todo)} points are kept, and the same command goes on")
            raise
        return [self.results[point.path] for point in self.todo]

    def first(self) -> None:
        """Every point that has no result yet."""
        ended: dict[Any, dict[str, str]] = {}
        for number, point in enumerate(self.todo, start=1):
            self.bar.update(self.line, description=point.title, done=f"{number}/{len(self.todo)}")
            before = ended.setdefault(point.curve, {})
            result = records.known(point)
            if result is not None and self.stands(result, before):
                self.results[point.path] = result
            else:
                result = self.new(point, before)
                self.keep(point.path, result)
            for work, status in result["ended"].items():
                if status in records.ENDED:
                    before.setdefault(work, f"{status} at {point.length:,}")
            self.bar.advance(self.line, point.weight)

    def stands(self, result: Result, before: Mapping[str, str]) -> bool:
        """Whether a result need not be measured again, and what it skipped has still ended before it."""
        skipped = {work for work, status in result["ended"].items() if status == "skipped"}
        return skipped <= before.keys() and records.holds(result, self.limits, self.free)

    def new(self, point: Point, before: Mapping[str, str]) -> Result:
        """A point's result. before: the kinds of work that ended at a shorter one of its curve, and how."""
        found: Result
        skipped = dict.fromkeys(before, "skipped")
        if point.beyond is not None:
            found = {"status": "beyond-positions", "error": point.beyond}
        elif before.keys() >= set(point.works):
            found = {"status": "skipped", "error": before[point.works[0]]}
        else:
            found = {"attempts": 1, **measure.measured({**point.spec, "ended": skipped}, self.limits)}
        ended = {**skipped, **found.get("ended", {})}
        if found["status"] != "ok":
            ended = {**dict.fromkeys(point.works, found["status"]), **ended}
        return {
            **records.about(point),
            **records.empty(),
            **found,
            "ended": ended,
            "measured": now(),
            "environment": {**self.about, **found.get("environment", {})},
            "limits": self.limits,
        }

    def again(self) -> None:
        """Measure those again during which the machine was faster or slower than in the rest."""
        drifts = records.drifts(self.results)
        for point in self.todo:
            old, drift = self.results[point.path], drifts.get(point.path, 0.0)
            if abs(drift) > UNSTEADY and old["attempts"] <= AGAIN:
                total = (self.bar.tasks[self.line].total or 0) + point.weight
                title = f"{point.title}, again: the machine drifted"
                self.bar.update(self.line, description=title, total=total, done="")
                skipped = {work: "" for work, status in old["ended"].items() if status == "skipped"}
                kept = steadier(old, self.new(point, skipped), drift)
                self.keep(point.path, {**kept, "attempts": old["attempts"] + 1})
                self.bar.advance(self.line, point.weight)
        for path, drift in records.drifts(self.results).items():
            self.keep(path, {**self.results[path], "drift": round(drift, 4)})

    def keep(self, path: Path, result: Result) -> None:
        """Write a result where it is another than the one that is there."""
        if self.results.get(path) != result:
            records.write(path, result)
        self.results[path] = result


def steadier(old: Result, new: Result, drift: float) -> Result:
    """The result during which the machine was nearer to its speed in the rest of the sweep.

    drift: the old one's. A new one that lacks what the old one has is none.
    """
    if not old["seconds"].keys() <= new["seconds"].keys():
        return old
    middle = old["matmul_peak"] / (1 + drift)
    return new if abs(new["matmul_peak"] / middle - 1) < abs(drift) else old


def sweep(config: DictConfig, folder: Path) -> list[Result]:
    """Measure what the sweep lacks, in the folder; returns all of its results.

    Of two sweeps in one folder the second waits: they would slow each other down, and then find done what
    both were asked for.
    """
    with one_line_errors():
        todo = points(config, folder, note)
        limits = records.limits(config)
        device, threads = choose_device(config.device), todo[0].spec["threads"]
        free = cache(partial(measure.free, device, threads))
        if any(not records.holds(records.known(point), limits, free) for point in todo):
            measure.check_memory(limits["memory"], device, threads)
        folder.mkdir(parents=True, exist_ok=True)
        owner = holder(folder)
    if owner is not None:
        note(
            f"{folder} is being measured by process {owner['pid']} on {owner['host']}: waiting for it to end"
        )
    with run_lock(folder, wait=math.inf):
        return Sweep(folder, todo, limits, free, progress=config.progress).run()
