"""A sweep: every point once, length by length.

    points ─> one by one ─┬─ finished before: kept
              (one sweep  ├─ ended by a limit at a shorter one: skipped
              in a folder)├─ one sequence that was measured as a batch of one row: taken from there
                          └─ measured by two processes, within its limits ─> a file
                   │
                   └─> those where the machine's own speed drifted from that of all points in the folder,
                       earlier sweeps' among them: again, twice at most, and longer ones with them that
                       skipped what ended only because of the drift

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
                    if self.again():
                        self.first()
                self.mark()
        except KeyboardInterrupt:
            found = (records.known(point) for point in self.todo)
            kept = sum(records.holds(result, self.limits, lambda: None) for result in found)
            note(f"stopped: {kept} of {len(self.todo)} points are kept, and the same command goes on")
            raise
        return [self.results[point.path] for point in self.todo]

    def first(self) -> None:
        """Every point that has no result yet, or skipped what has not ended at a shorter one after all."""
        ended: dict[Any, dict[str, str]] = {}
        for number, point in enumerate(self.todo, start=1):
            before = ended.setdefault(point.curve, {})
            seen = self.results.get(point.path)
            if seen is None or not skipped(seen) <= before.keys():
                self.turn(point, f"{number}/{len(self.todo)}", further=seen is not None)
                self.settle(point, before)
                self.bar.advance(self.line, point.weight)
            for work, status in self.results[point.path]["ended"].items():
                if status in records.ENDED:
                    before.setdefault(work, f"{status} at {point.length:,}")

    def turn(self, point: Point, done: str, why: str = "", *, further: bool) -> None:
        """Show whose turn it is. further: besides those that the bar began with."""
        total = (self.bar.tasks[self.line].total or 0) + (point.weight if further else 0)
        self.bar.update(self.line, description=point.title + why, total=total, done=done)

    def settle(self, point: Point, before: Mapping[str, str]) -> None:
        """Keep what there is of a point where that stands, and measure it where not; before: as in `new`.

        A new result that lacks times which there were, under smaller limits or on a busier machine, is none.
        """
        old = self.results.get(point.path) or records.known(point)
        if old and skipped(old) <= before.keys() and records.holds(old, self.limits, self.free):
            self.results[point.path] = old
        else:
            new = self.new(point, before)
            if old and lacks(new, old):  # and need not be tried again under these limits
                new = {**old, "limits": self.limits, "free": new["free"] or old["free"]}
            self.keep(point.path, new)

    def new(self, point: Point, before: Mapping[str, str]) -> Result:
        """A point's result. before: the kinds of work that ended at a shorter one of its curve, and how."""
        found: Result
        over = {**dict.fromkeys(before, "skipped"), **dict.fromkeys(point.beyond, "beyond-positions")}
        why = {**before, **point.beyond}
        if over.keys() >= set(point.works):
            found = {"status": over[point.works[0]], "error": why[point.works[0]]}
        elif not over and (shared := self.shared(point)) is not None:
            found = {"attempts": 1, **shared}
        else:
            found = {"attempts": 1, **measure.measured({**point.spec, "ended": over}, self.limits)}
            found["error"] = found.get("error") or next(iter(point.beyond.values()), None)
        ended = {**over, **found.get("ended", {})}
        if found["status"] != "ok":
            ended = {**dict.fromkeys(point.works, found["status"]), **ended}
        return {
            **records.about(point),
            **records.empty(),
            "measured": now(),
            **found,
            "ended": ended,
            "environment": {**self.about, **found.get("environment", {})},
            "limits": self.limits,
        }

    def shared(self, point: Point) -> Result | None:
        """What the twin of a point found of its work, if all of that was timed on a steady machine."""
        if point.twin is None or point.twin not in self.results:
            return None
        if abs(records.drifts(self.results).get(point.twin, 0.0)) > UNSTEADY:
            return None
        return records.part(self.results[point.twin], point.works)

    def again(self) -> bool:
        """Measure those again during which the machine was faster or slower than in the rest.

        Returns whether that did work which had ended: longer points may have skipped it.
        """
        drifts, more = records.drifts(self.results), False
        for point in self.todo:
            old, drift = self.results[point.path], drifts.get(point.path, 0.0)
            if abs(drift) > UNSTEADY and old["attempts"] <= AGAIN:
                self.turn(point, "", ", again: the machine drifted", further=True)
                kept = steadier(old, self.new(point, dict.fromkeys(skipped(old), "")), drift)
                more = more or not old["ended"].keys() <= kept["ended"].keys()
                self.keep(point.path, {**kept, "attempts": old["attempts"] + 1})
                self.bar.advance(self.line, point.weight)
        return more

    def mark(self) -> None:
        """Write into every point how far the machine had drifted."""
        for path, drift in records.drifts(self.results).items():
            self.keep(path, {**self.results[path], "drift": round(drift, 4)})

    def keep(self, path: Path, result: Result) -> None:
        """Write a result where it is another than the one that is there."""
        if self.results.get(path) != result:
            records.write(path, result)
        self.results[path] = result


def skipped(result: Result) -> set[str]:
    """The kinds of work that were not tried since they had ended at a shorter point."""
    return {work for work, status in result["ended"].items() if status == "skipped"}


def lacks(new: Result, old: Result) -> bool:
    """Whether a new result has no times of work that the old one has times of."""
    return not old["seconds"].keys() <= new["seconds"].keys()


def steadier(old: Result, new: Result, drift: float) -> Result:
    """The result during which the machine was nearer to its speed in the rest of the sweep.

    drift: the old one's. A new one that lacks what the old one has is none.
    """
    if lacks(new, old):
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
        folder.mkdir(parents=True, exist_ok=True)
        owner = holder(folder)
    if owner is not None:
        note(
            f"{folder} is being measured by process {owner['pid']} on {owner['host']}: waiting for it to end"
        )
    with run_lock(folder, wait=math.inf):
        # Not before: the check starts a process, beside which another sweep's times would be longer.
        free = cache(partial(measure.free, device, threads))
        with one_line_errors():
            if any(not records.holds(records.known(point), limits, free) for point in todo):
                measure.check_memory(limits["memory"], device, threads)
        return Sweep(folder, todo, limits, free, progress=config.progress).run()
