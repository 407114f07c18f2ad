"""How fast runs are on this machine: a few real training steps of each, timed in a child process."""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import lightning as L
from omegaconf import DictConfig, OmegaConf

from tasks.language import LanguageTask
from tasks.supervised import SupervisedTask

from .. import record
from ..environment import processor
from ..fit import Run
from ..identity import canonical, relevant
from ..module import Training
from ..plan import Plan, plan
from ..supervise import environment

VERSION = 2  # of what is remembered
SECONDS = 1.0  # of timed steps, after the first one
LONGEST = 10.0  # seconds that are spent on slow steps
STARTUP = 6.0  # seconds from a child's start to its first step, where no child was timed
STEP = (
    "seed",
    "optim.",
    "budget.",
    "evaluations",
    "checkpoint",
    "task.fold",
    "init_from",
)  # no part of a shape


@dataclass(frozen=True)
class Speed:
    """tokens_per_second: in training. around: seconds of a run that are not training: starting, validations,
    the full one at the end. full: seconds of that one."""

    tokens_per_second: float
    around: float
    full: float


def shape(config: Mapping[str, Any], threads: int | None, machine: str) -> str:
    """What runs share that are equally fast."""
    told = {key: value for key, value in relevant(config) if not key.startswith(STEP)}
    text = json.dumps([VERSION, canonical(told), threads, machine], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Known:
    """Speeds by shape: of completed runs, then of earlier measurements, kept in the cache folder."""

    def __init__(self, cache_dir: Path, threads: int | None) -> None:
        self.path = cache_dir.expanduser() / "speed.json"
        self.threads, self.machine = threads, processor()
        self.measured: dict[str, list[float]] = record.read_json(self.path) if self.path.exists() else {}
        self.recorded: dict[str, list[Speed]] = {}

    def key(self, planned: Plan) -> str:
        return shape(planned.config, self.threads, self.machine)

    def learn(self, folder: Path) -> None:
        """Take the speeds of completed runs below `folder`."""
        for run_dir in record.run_dirs(folder):
            try:
                run = record.read_record(run_dir)
            except record.DamagedRecord:
                continue
            if run["status"] == "completed" and run.get("tokens_per_second"):
                there = run["environment"]
                key = shape(run["config"], self.threads, self.machine)
                if there.get("processor") == self.machine and self.threads in (None, there.get("threads")):
                    self.recorded.setdefault(key, []).append(of_record(run))

    def __getitem__(self, planned: Plan) -> Speed:
        speed = self.get(self.key(planned))
        assert speed is not None, "measured before it is asked for"
        return speed

    def get(self, key: str) -> Speed | None:
        if key in self.recorded:
            each = self.recorded[key]
            return Speed(*map(statistics.median, zip(*map(astuple, each), strict=True)))
        return Speed(*self.measured[key]) if key in self.measured else None

    def measure(self, configs: Mapping[str, DictConfig]) -> None:
        """Time what is not known yet, given by key, and remember it."""
        missing = {key: config for key, config in configs.items() if self.get(key) is None}
        if not missing:
            return
        found = measured_in_child(list(missing.values()), self.threads)
        self.measured |= {key: list(astuple(speed)) for key, speed in zip(missing, found, strict=True)}
        record.write_json(self.path, self.measured)


def of_record(run: record.Record) -> Speed:
    """The speed of a completed run; what was not training, as far as its record tells."""
    beside = 0.0
    if run["attempts"] == 1 and run.get("finished"):
        start, end = (datetime.fromisoformat(str(when)) for when in (run["started"], run["finished"]))
        beside = max(0.0, (end - start).total_seconds() - run["seconds"])
    # Half for the validations on the way, half for the one at the end.
    return Speed(run["tokens_per_second"], STARTUP + beside, beside / 2)


def measured_in_child(configs: Sequence[DictConfig], threads: int | None) -> list[Speed]:
    """The speed of each configuration, all measured in one child. Raises ValueError where it fails."""
    with tempfile.TemporaryDirectory(prefix="archs-") as name:
        scratch = Path(name)
        for number, config in enumerate(configs):
            OmegaConf.save(config, scratch / f"{number}.yaml")
        started = time.time()
        done = subprocess.run(
            [sys.executable, "-m", "harness.worker", "time", name, str(len(configs))],
            env=environment(threads),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise ValueError(f"a few trial steps failed: {done.stderr.strip().splitlines()[-1]}")
        told = record.read_json(scratch / "speeds.json")
        startup = max(0.0, told["ready"] - started)
        return [Speed(pace, startup + rest, full) for pace, rest, full in told["speeds"]]


def measure_all(scratch: Path, count: int) -> None:
    """The child: time SCRATCH/0.yaml and so on, into SCRATCH/speeds.json."""
    ready = time.time()
    configs = [OmegaConf.load(scratch / f"{number}.yaml") for number in range(count)]
    speeds = [measure(config, scratch / str(i)) for i, config in enumerate(configs)]
    record.write_json(scratch / "speeds.json", {"ready": ready, "speeds": [*map(astuple, speeds)]})


def measure(config: Any, scratch: Path) -> Speed:
    """Run a few steps and one quick validation of `config` for real, in a folder that is thrown away."""
    planned = plan(config)
    trial = Sample(planned, scratch)
    trial.fit()
    full = trial.quick * asked(planned, "validation") / asked(planned, "validation", quick=True)
    along = trial.quick * int(planned.config["evaluations"])
    pace = planned.per_step.tokens / fast(trial.laps.seconds())
    return Speed(pace, along + full, full)


def fast(seconds: Sequence[float]) -> float:
    """The first quartile: steps cost alike, and what makes one slower is what else the machine was doing."""
    return statistics.quantiles(seconds, n=4, method="inclusive")[0] if len(seconds) > 1 else seconds[0]


def asked(planned: Plan, split: str, *, quick: bool = False) -> float:
    """How much a model reads in an evaluation on a split, beside another evaluation of the same run: tokens
    of examples, or windows of text; of a task of another kind, always as much."""
    task, end = planned.task, planned.outline.max_len
    if isinstance(task, LanguageTask):
        return windows(task, planned.config["task"], quick=quick)
    if not isinstance(task, SupervisedTask):
        return 1.0
    examples = task.examples(split)
    if quick:
        return float(task.quick(examples).tokens)
    further = [part for part in task.further(split).values() if end is None or task.positions(part) <= end]
    return float(sum(part.tokens for part in (examples, *further)))


def windows(task: LanguageTask, config: Mapping[str, Any], *, quick: bool) -> float:
    """Windows of an evaluation, the longer ones by their length."""
    if quick:
        return float(task.quick_windows)
    first, *longer = task.contexts
    times = sum(task.contexts) / first if longer else 0.0
    # Half: the others are both continued and filled in, these are continued alone.
    return float(config.get("windows", task.quick_windows)) + task.beyond_windows * times / 2


class Laps(L.Callback):
    """When each step ended; asks for no more of them when enough have been timed."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, *_: Any) -> None:
        self.ends.append(time.perf_counter())
        steps, spent = len(self.ends) - 1, self.ends[-1] - self.ends[0]
        if (steps >= 5 and spent > SECONDS) or (steps >= 1 and spent > LONGEST):
            trainer.should_stop = True

    def seconds(self) -> list[float]:
        """Of each step after the first, which is slow: buffers are made, kernels compiled."""
        return [after - before for before, after in zip(self.ends, self.ends[1:], strict=False)] or [LONGEST]


class Sample(Run):
    """The first steps of a run, with its data, optimiser and device, and nothing kept."""

    def __init__(self, planned: Plan, scratch: Path) -> None:
        scratch.mkdir()
        config = {**planned.config, "evaluations": 0, "progress": False, "init_from": None}
        super().__init__(replace(planned, config=config, folder=scratch), None, "", None)
        self.laps, self.quick = Laps(), 0.0

    def trainer(self, callbacks: list[L.Callback]) -> L.Trainer:
        return super().trainer([*callbacks, self.laps])

    def finish(self, module: Training) -> None:
        started = time.perf_counter()
        module.eval()
        self.plan.task.evaluate(module.backbone, "validation", quick=True)
        self.quick = time.perf_counter() - started
