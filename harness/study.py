"""archs-compare: a study from its YAML to its report.

    expand ─> plan all (refuse before work) ─> launch the unfinished ─> test, once ─> lengths ─> report

A study's runs differ in architecture, task, seed and learning rate. Each is composed by Hydra like a run of
archs-train, handed to whichever Hydra launcher is configured, and executed in a supervised child process.
Running a study again skips what is completed and goes on with what was killed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track

from . import bench, record, report
from .compose import compose
from .errors import one_line_errors
from .plan import Plan, plan
from .searchpath import child_environment
from .strict import as_dict
from .supervise import KILLS_ALLOWED, supervise

RESULTS = ("completed", "diverged", "out-of-memory")  # what running again would only repeat
NEEDED = ("name", "title", "archs", "seeds", "tasks")  # of a study's YAML
NOTHING = {"shared": {}, "test": False, "bench": None}  # what the other keys are where it leaves them out


@dataclass(frozen=True)
class Job:
    """One run of a study: what it is called on the terminal, and the overrides that compose it."""

    title: str
    overrides: list[str]


def expand(study: Mapping[str, Any], user: Sequence[str] = ()) -> Iterator[Job]:
    """The runs of a study, seed by seed so that every architecture is seen early.

    study: `archs`, `seeds`, `shared` overrides, and `tasks` by name, each with its `overrides` and `lr`
    (see `rates`; a list is swept). user: overrides that win over all.
    """
    for seed in study["seeds"]:
        for name, block in study["tasks"].items():
            for arch in study["archs"]:
                for lr in rates(block["lr"], name, arch):
                    run = {"optim.lr": lr, "seed": seed, "study_name": study["name"]}
                    chosen = {**study["shared"], **block["overrides"], **run}
                    overrides = [f"arch={arch}", *(f"{key}={value}" for key, value in chosen.items())]
                    yield Job(f"{arch} · {name} · lr {lr:g} · seed {seed}", [*overrides, *user])


def complete(study: Mapping[str, Any]) -> dict[str, Any]:
    """A study with all of its keys. Raises ValueError naming one that it cannot do without."""
    missing = [f"study.{key}" for key in NEEDED if study.get(key) is None]
    for name, block in (study.get("tasks") or {}).items():
        missing += [] if isinstance(block, Mapping) and "lr" in block else [f"study.tasks.{name}.lr"]
    if missing:
        raise ValueError(f"the study's YAML lacks {', '.join(missing)} (see conf/study/quickstart.yaml)")
    tasks = {name: {"overrides": {}, **block} for name, block in study["tasks"].items()}
    return {**NOTHING, **study, "tasks": tasks}


def rates(given: Any, task: str, arch: str) -> list[float]:
    """The learning rates of one architecture: from one for all, or from {architecture: rate or rates}."""
    if isinstance(given, Mapping):
        if arch not in given:
            raise ValueError(
                f"study.tasks.{task}.lr has no rate for {arch}, only for {', '.join(given)}: add one to the "
                f"study's YAML, or give one to all with study.tasks.{task}.lr=1e-3"
            )
        given = given[arch]
    found = given if isinstance(given, list) else [given]
    for rate in found:
        if not isinstance(rate, int | float):
            raise ValueError(
                f"study.tasks.{task}.lr of {arch} is {rate}: it takes a number, or a list of them"
            )
    return found


def run(config: DictConfig) -> int:
    """Run config.study and write its report; returns 0 if every run completed, else 1."""
    console = Console(stderr=True)
    with one_line_errors():
        study = complete(as_dict(config.study, resolve=True))
        for arch in study["archs"]:  # a name that is wrong is said to be so before its rate is missed
            compose("train", [f"arch={arch}"])
        jobs = list(expand(study, user_overrides()))
        going = track(jobs, "planning", console=console, transient=True, disable=not config.progress)
        plans = [plan(compose("train", job.overrides)) for job in going]
        todo = unfinished(jobs, plans, console)
    console.print(
        f"[bold]{study['title']}[/bold] · {len(todo)} of {len(jobs)} runs to do · {folder_of(config)}"
    )
    if todo:
        launcher(config).launch(todo, initial_job_idx=0)
    completed = [p.folder for p in plans if status_of(p.folder) == "completed"]
    if study["test"]:
        evaluate_test(completed)
    if study["bench"] is not None:
        bench.sweep(lengths(config, study), folder_of(config) / "bench")
    report.build(folder_of(config), command=command_line())
    return 0 if len(completed) == len(jobs) else 1


def folder_of(config: DictConfig) -> Path:
    return Path(config.results_dir) / config.study_name


def user_overrides() -> list[str]:
    """What the user typed for the runs: all but what is the study's own."""
    own = re.compile(r"[+~]*(study|hang_after)\b")
    return [override for override in job_overrides() if not own.match(override)]


def job_overrides() -> list[str]:
    """This job's overrides as they were written, interpolations unresolved."""
    overrides = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    assert isinstance(overrides, list)
    return [str(override) for override in overrides]


def unfinished(jobs: Sequence[Job], plans: Sequence[Plan], console: Console) -> list[list[str]]:
    """Overrides of the runs that have no result yet; says of the others why they are skipped.

    Raises ValueError at a damaged record, which is left alone.
    """
    todo = []
    for number, (job, planned) in enumerate(zip(jobs, plans, strict=True), start=1):
        status = status_of(planned.folder)
        title = f"{number}/{len(jobs)} {job.title}"
        if status in RESULTS:
            console.print(f"  {title}: {status} already")
        elif status == "failed" and record.read_record(planned.folder)["attempts"] >= KILLS_ALLOWED:
            console.print(f"  {title}: failed {KILLS_ALLOWED} times; archs-train tries it again")
        else:
            todo.append([*job.overrides, f"hydra.job.name='{title}'"])
    return todo


def status_of(folder: Path) -> str | None:
    """The status in the folder's record; None where there is none yet."""
    return str(record.read_record(folder)["status"]) if record.has_record(folder) else None


def launcher(config: DictConfig) -> Any:
    """The configured Hydra launcher, set up to run jobs of this application."""
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    whole = OmegaConf.merge({"hydra": HydraConfig.get()}, config)
    assert isinstance(whole, DictConfig)
    context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks(whole))
    return Plugins.instance().instantiate_launcher(
        hydra_context=context, task_function=supervised, config=whole
    )


def supervised(config: DictConfig) -> str:
    """What a launcher executes: one run, in a child process, watched."""
    job = HydraConfig.get()
    status = supervise(compose("train", job_overrides()), job.job.name, config.hang_after)
    if status not in RESULTS:
        Console(stderr=True).print(f"  {job.job.name}: {status}")
    return status


def evaluate_test(folders: Sequence[Path]) -> None:
    """Read the test split, for all runs at once and only after the last of them has been trained."""
    command = [sys.executable, "-m", "harness.worker", "test", *map(str, folders)]
    subprocess.run(command, check=False, env=child_environment())


def lengths(config: DictConfig, study: Mapping[str, Any]) -> DictConfig:
    """The study's `bench` block as a configuration of archs-bench, on the study's architectures."""
    chosen = {"archs": study["archs"], "progress": config.progress, **study["bench"]}
    return compose("bench", [f"{key}={value}" for key, value in chosen.items()])


def command_line() -> str:
    """The command as the user typed it, for the report, without the places of this machine."""
    local = ("results_dir=", "cache_dir=")
    return " ".join([Path(sys.argv[0]).name, *(word for word in sys.argv[1:] if not word.startswith(local))])
