"""The stages of a study that train: what is done already, what is left, and doing it level by level.

A level is the tasks that start from nothing, then those that start from these, and so on: a run's identity
holds that of the run it starts from, so it can be planned when that one has finished and no earlier.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track

from .. import record, replaced
from ..errors import ConfigError
from ..evaluate import TEST
from ..plan import Plan, plan
from ..starting import differences
from ..supervise import FAILURES_ALLOWED
from . import estimate, launch, progress, selection
from .estimate import Cost
from .expand import Axes, Expansion, Job, composed
from .selection import Choice, Trial
from .spec import order, swept, tried
from .speed import Known

RESULTS = ("completed", "diverged", "out-of-memory")  # what running again would only repeat
ENDED = (*RESULTS, "failed")  # what later stages may build on

Key = tuple[str, str, Axes]


class Stages:
    """One study in execution. folder: of its final runs and its reports."""

    def __init__(self, expansion: Expansion, folder: Path, config: DictConfig, console: Console) -> None:
        self.expansion, self.study = expansion, expansion.study
        self.folder, self.config, self.console = folder, config, console
        self.at_once, self.threads = launch.at_once(), launch.threads(config)
        self.plans: dict[Job, Plan] = {}
        self.configs: dict[Any, DictConfig] = {}  # see composed()
        self.rates: dict[Key, float | None] = {}  # what the sweep has chosen so far
        self.trials: list[Trial] = []
        self.choices: list[Choice] = []
        self.seconds: dict[object, float] = {}  # estimated, by shape of job
        self.standing = progress.Standing((), {})

    # ------------------------------------------------------------------------------- before the work

    def estimate(self, further: Sequence[estimate.Line]) -> list[estimate.Line]:
        """What is left to do and what it will take; [] where nothing is. further: what is left besides runs.

        Every run is composed and planned, so that whatever cannot be run is refused here. Where rates are
        still to be chosen, the first of the grid stands in: it makes no difference to the cost.
        """
        self.sweep(execute=False)
        rates = {**self.stand_ins(), **self.rates}
        jobs = [job for name in self.names("sweep") for job in self.expansion.trials(name, rates)]
        jobs += [job for name in self.names("final") for job in self.expansion.finals(name, rates)]
        todo: list[bool] = []
        untested: list[bool] = []
        shapes: dict[object, Job] = {}
        results: dict[tuple[str, str], Counter[str]] = {}
        for job in self.tracked(jobs):
            settled = self.startable(job)
            job = job if settled else self.alone(job)
            launch.check_seconds(self.plan(job).config["budget"]["kind"], job.task)
            shapes.setdefault(job.shape, job)
            status = self.status(job) if settled else None
            todo.append(status not in RESULTS)
            untested.append(self.is_judged(job) and (todo[-1] or self.is_unread(job)))
            if not todo[-1]:
                results.setdefault((job.stage, job.task), Counter()).update([str(status)])
        self.refuse_twins(job for job in jobs if self.startable(job))
        work = [any(left) for left in zip(todo, untested, strict=True)]
        if not any(work):
            return list(further)
        shapes = {job.shape: shapes[job.shape] for job, left in zip(jobs, work, strict=True) if left}
        costs = self.costs(shapes)
        self.seconds = {shape: cost.seconds for shape, cost in costs.items()}
        found = [*estimate.lines(jobs, todo, untested, costs, self.at_once), *further]
        self.standing = progress.Standing(found, results)
        return found

    def costs(self, shapes: Mapping[Any, Job]) -> dict[object, Cost]:
        """The cost of a run of each shape, given one of it; timed where nothing is known about it yet."""
        known = Known(Path(self.config.cache_dir), self.threads)
        known.learn(self.folder)
        with self.console.status("timing a few steps of each kind of run"):
            known.measure(
                {known.key(self.plan(job)): composed(job, known=self.configs) for job in shapes.values()}
            )
        plans = {shape: (self.plan(job), self.is_judged(job)) for shape, job in shapes.items()}
        return {shape: estimate.cost(own, known[own], test=judged) for shape, (own, judged) in plans.items()}

    def alone(self, job: Job) -> Job:
        """A job whose start is yet to be trained, as one that starts from nothing: it costs the same.

        Raises ConfigError where it will not fit what it is to start from.
        """
        assert job.start is not None
        alone = replace(job, start=None)
        start = self.plan(job.start if self.startable(job.start) else replace(job.start, start=None))
        own = self.plan(alone)
        wrong = list(differences(OmegaConf.create(own.config), start.config))
        there = start.outline.max_len
        if there is not None and own.task.max_len > there:
            wrong.append(f"it has a position table of {there}, and this task needs {own.task.max_len}")
        if wrong:
            place = f"study, {job.label} · {job.task}: init_from={job.start.task}"
            raise ConfigError(f"{place} does not fit: {'; '.join(wrong)}")
        return alone

    def stand_ins(self) -> dict[Key, float | None]:
        """A rate for every choice that the sweep is to make."""
        sweep = self.study.sweep
        if sweep is None:
            return {}
        points = product(self.study.archs, swept(self.study), self.expansion.axes("final"))
        return {self.expansion.choice(*point): sweep.lr[0] for point in points}

    def refuse_twins(self, jobs: Iterable[Job]) -> None:
        """Raise ConfigError where two runs of the study would be one: what sets them apart does nothing."""
        seen: dict[Path, Job] = {}
        for job in jobs:
            other = seen.setdefault(self.plan(job).folder, job)
            if other != job:
                raise ConfigError(
                    f"study: '{other.title}' and '{job.title}' are the same run: what sets them apart "
                    "makes no difference to it, leave one out"
                )

    def names(self, stage: str) -> list[str]:
        """The tasks of a stage, each after the one that it starts from."""
        return [name for level in self.levels(stage) for name in level]

    def levels(self, stage: str) -> list[list[str]]:
        only = tried(self.study) if stage == "sweep" else set(self.study.tasks)
        return [[name for name in level if name in only] for level in order(self.study)]

    def tracked(self, jobs: Sequence[Job]) -> Iterable[Job]:
        quiet = not self.config.progress
        return track(jobs, "planning", console=self.console, transient=True, disable=quiet)

    # -------------------------------------------------------------------------------------- the work

    def sweep(self, *, execute: bool = True) -> bool:
        """Stage 1: try the grid, choose, and write sweep.json; whether every trial has ended.

        execute=False: choose as far as the trials that are there already go, and write nothing.
        """
        if self.study.sweep is None:
            return True
        self.rates, self.trials, self.choices = {}, [], []
        for level in self.levels("sweep"):
            jobs = [job for name in level for job in self.expansion.trials(name, self.rates)]
            if execute:
                self.execute("sweep", level, jobs)
            if not all(self.has_ended(job) for job in jobs):
                return False
            self.choose(level, jobs)
        if execute:
            selection.write(self.folder, self.study.sweep.lr, self.trials, self.choices)
            for choice in self.choices:
                if note := selection.said(choice, self.study.sweep.lr):
                    self.console.print(f"  {note}", markup=False, highlight=False, soft_wrap=True)
        return True

    def choose(self, level: Sequence[str], jobs: Sequence[Job]) -> None:
        """Choose the rates of a level's tasks from its trials, all of which have ended."""
        sweep = self.study.sweep
        assert sweep is not None
        groups: dict[Key, list[Trial]] = {}
        better: dict[Key, bool] = {}
        for job in jobs:
            if job.task in swept(self.study) and self.startable(job):
                task = self.plan(job).task
                trial = selection.judged(job, record.read_record(self.plan(job).folder), task.primary)
                key = self.expansion.choice(job.label, job.task, job.axes)
                groups.setdefault(key, []).append(trial)
                better[key] = task.higher_is_better
        for key, trials in groups.items():
            choice = selection.choose(trials, key, sweep.lr, better[key])
            self.rates[key] = choice.lr
            self.choices.append(choice)
            self.trials += trials

    def final(self) -> bool:
        """Stage 2: the reported runs; whether every one has ended."""
        ended = True
        for level in self.levels("final"):
            jobs = [job for name in level for job in self.expansion.finals(name, self.rates)]
            self.execute("final", level, jobs)
            ended = all(self.has_ended(job) for job in jobs)
            if not ended:
                break
        if self.study.sweep is not None:
            replaced.write(self.folder, [self.plan(job) for job in self.finals() if self.startable(job)])
        return ended

    def execute(self, stage: str, level: Sequence[str], jobs: Sequence[Job]) -> None:
        """Run what has no result yet of one level."""
        able = [job for job in jobs if self.startable(job)]
        todo = [job for job in able if not self.is_settled(job)]
        left = set(todo)
        settled = [str(self.status(job)) for job in able if job not in left]
        rest = self.standing.reach(stage, level, settled)
        if todo:
            self.work(stage, todo, rest)
            seconds = sum(self.estimated(job) for job in todo) / self.at_once
            self.standing.past([self.status(job) or "not begun" for job in todo], seconds)

    def work(self, stage: str, jobs: Sequence[Job], rest: progress.Rest) -> None:
        """Run jobs that can start, showing how far they are and the study with them."""
        watched = [progress.Watched(job, self.plan(job), self.estimated(job)) for job in jobs]
        display = progress.Progress(stage, watched, rest, self.at_once, self.console)
        with progress.shown(display, self.config.progress):
            ended = launch.launch(self.config, [self.lines(run.job) for run in watched])
        for run, end in zip(watched, ended, strict=True):
            if end.said or end.status == "running elsewhere":
                self.console.print(f"  {run.job.title}: {end.status}", markup=False, highlight=False)
            if end.said:
                self.console.print(end.said, markup=False, highlight=False, soft_wrap=True)

    def estimated(self, job: Job) -> float:
        """Seconds that a run will take, about."""
        return self.seconds.get(job.shape, 1.0)

    def lines(self, job: Job) -> list[str]:
        return launch.job_lines(job.overrides, job.title, self.threads, self.start(job))

    # ------------------------------------------------------------------------------- how things stand

    def plan(self, job: Job) -> Plan:
        """The job's plan, made once. What it starts from has to be there."""
        if job not in self.plans:
            self.plans[job] = plan(composed(job, self.start(job), known=self.configs))
        return self.plans[job]

    def start(self, job: Job) -> str | None:
        return None if job.start is None else str(self.plan(job.start).folder)

    def startable(self, job: Job) -> bool:
        """Whether what it starts from, if anything, has finished."""
        return job.start is None or (self.startable(job.start) and self.status(job.start) == "completed")

    def status(self, job: Job) -> str | None:
        """The status in the job's record; None where there is none yet."""
        folder = self.plan(job).folder
        return str(record.read_record(folder)["status"]) if record.has_record(folder) else None

    def is_settled(self, job: Job) -> bool:
        """Whether running it again is left to the user: it has a result, or was killed too often."""
        status = self.status(job)
        if status == "failed" and (failures := self.failures(job)) >= FAILURES_ALLOWED:
            text = f"  {job.title}: failed {failures} times and is left alone; archs-train tries it again"
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)
            return True
        return status in RESULTS

    def is_judged(self, job: Job) -> bool:
        """Whether the study reads the test split for it, once it has completed."""
        return self.study.test and job.stage == "final"

    def is_unread(self, job: Job) -> bool:
        """Whether it has completed, and the test split was not read for it yet."""
        return self.status(job) == "completed" and not (self.plan(job).folder / TEST).exists()

    def failures(self, job: Job) -> int:
        """How often the job broke down or was killed."""
        return record.read_record(self.plan(job).folder).get("failures", 0)

    def has_ended(self, job: Job) -> bool:
        """Whether it came to an end; so has what cannot start since its start came to a bad one."""
        if job.start is not None and not self.startable(job):
            return self.has_ended(job.start)
        return self.status(job) in ENDED

    def finals(self) -> list[Job]:
        """The final runs at the rates that are chosen."""
        return [job for name in self.names("final") for job in self.expansion.finals(name, self.rates)]

    def completed(self) -> list[Path]:
        """The folders of the final runs that completed."""
        jobs = [job for job in self.finals() if self.startable(job)]
        return [self.plan(job).folder for job in jobs if self.status(job) == "completed"]

    def whole(self) -> bool:
        """Whether every architecture has every final run, completed."""
        rated = all(rate is not None for rate in self.rates.values())
        return rated and len(self.completed()) == len(self.finals())
