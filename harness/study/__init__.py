"""archs-compare: a study from its YAML to its report.

    YAML ─> expand ─> plan (refuse before work) ─> estimate ─┬─ --dry-run ends here
                                                             │
    sweep   one grid of rates for all, on tuning seeds;      │  STUDY/sweep/*     judged on validation
            tasks that others start from come first          │  STUDY/sweep.json  every trial, what was chosen
      │                                                      │
    final   fresh seeds at the chosen rates, likewise        │  STUDY/*           validation, curves, weights
      │                                                      │  STUDY/study.json  runs at rates of before
    test    once, when the last run has ended                │  STUDY/*/test.json
      │                                                      │
    bench, report                                               STUDY/bench, STUDY/report.*

Every stage can be resumed: the same command skips what has a result, goes on with what was killed, and
computes nothing twice. Each run is composed by Hydra like one of archs-train, handed to whichever Hydra
launcher is configured, and executed in a supervised child process.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress

from .. import record, report
from ..compose import compose
from ..diagnose import parse
from ..efficiency.points import points
from ..efficiency.records import failed, holds, known, limits
from ..efficiency.sweep import sweep
from ..efficiency.table import remarks
from ..efficiency.variants import heeds
from ..errors import ConfigError, note, one_line_errors
from ..evaluate import TEST
from ..strict import as_dict
from ..studies import NAME
from ..supervise import POLL, environment
from . import estimate, expand, launch, spec
from .estimate import Line
from .spec import Study
from .stages import Stages

# Typed for the study alone.
NOT_FOR_RUNS = ("study", "hang_after", "scale", "dry_run", "study_name", "progress")


def run(config: DictConfig) -> int:
    """Run config.study and write its report; returns 0 if every run completed and no point failed, else 1."""
    console = Console(stderr=True)
    with one_line_errors():
        stages, study, folder, further = prepared(config, console)
        todo = stages.estimate(further)
    console.print(f"[bold]{study.title}[/bold] · {folder}", highlight=False)
    if todo:
        console.print(estimate.table(todo, stages.at_once))
    if config.dry_run:
        console.print("nothing was started" if todo else "nothing is left to do")
        return 0
    with one_line_errors():  # a run that starts from another is planned when that one has ended
        ended = stages.sweep() and stages.final()
    judged = True
    if study.test and ended:
        judged = test(stages.completed(), stages.at_once, stages.threads, progress=config.progress)
    elif study.test:
        console.print("the test split is left unread until the last run has ended; the same command goes on")
    measured = study.bench is None or bench(lengths(config, study), folder, console)
    if any(record.run_dirs(folder)):
        report.build(folder, command=command_line())
    return 0 if ended and judged and measured and stages.whole() else 1


def prepared(config: DictConfig, console: Console) -> tuple[Stages, Study, Path, list[Line]]:
    """The study, checked as far as it can be before any work, its folder, and what is left to do besides
    runs. Raises ValueError."""
    typed = launch.job_overrides()
    node = as_dict(config.study, resolve=True)
    study = spec.read(node, config.scale, typed)
    user = [line for line in typed if parse([line])[0].key_or_group.split(".")[0] not in NOT_FOR_RUNS]
    expand.refuse_own(user)
    name = study.name if config.study_name == node.get("name") else config.study_name
    if not NAME.holds(name):
        raise ConfigError(f"study_name={name}: study_name takes {NAME.wanted}")
    expansion = expand.Expansion(study, user, name, expand.folded(study, user))
    folder = Path(config.results_dir) / name
    further = [] if study.bench is None else unmeasured(lengths(config, study), folder)
    return Stages(expansion, folder, config, console), study, folder, further


def test(folders: Sequence[Path], at_once: int, threads: int | None, *, progress: bool) -> bool:
    """Read the test split, for all runs at once and only after the last of them has been trained; whether
    every run was judged."""
    left = [folder for folder in folders if not (folder / TEST).exists()]
    shares = [left[place::at_once] for place in range(at_once)]
    command = [sys.executable, "-m", "harness.worker", "test"]
    children = [
        subprocess.Popen([*command, *map(str, share)], env=environment(threads)) for share in shares if share
    ]
    try:
        with Progress(console=Console(stderr=True), transient=True, disable=not progress) as bar:
            line = bar.add_task("test split", total=len(left))
            while any(child.poll() is None for child in children):
                time.sleep(POLL)
                bar.update(line, completed=sum((folder / TEST).exists() for folder in left))
    finally:  # a study that is stopped leaves no child behind
        for child in children:
            child.terminate()
            child.wait()
    return all(child.returncode == 0 for child in children)


def bench(config: DictConfig, folder: Path, console: Console) -> bool:
    """Measure lengths and say what has to be said of them; whether no point failed."""
    results = sweep(config, folder / "bench")
    for line in remarks(results):
        console.print(line, markup=False, highlight=False)
    return not any(map(failed, results))


def unmeasured(config: DictConfig, folder: Path) -> list[Line]:
    """The line of the estimate about the points of a bench that have no result; [] where all have one.

    Nothing is measured for it: a point that ran out of memory counts as done, however much is free now.
    """
    asked = points(config, folder / "bench", note)
    left = [point for point in asked if not holds(known(point), limits(config), lambda: None)]
    seconds = sum(point.weight for point in left)
    return [Line("bench", "points", len(asked), len(left), 0, 0, seconds, rough=True)] if left else []


def lengths(config: DictConfig, study: Study) -> DictConfig:
    """The study's `bench` block as a configuration of archs-bench.

    Unless the block says what is measured, the study's architectures are; of a variant's overrides those
    count that change what a step costs.
    """
    block: Mapping[str, Any] = study.bench or {}
    costly = {label: list(filter(heeds, overrides)) for label, overrides in study.archs.items()}
    plain = [label for label, overrides in costly.items() if overrides == [f"arch={label}"]]
    varied = {label: overrides for label, overrides in costly.items() if label not in plain}
    named = {} if {"archs", "variants"} & block.keys() else {"archs": plain, "variants": varied or None}
    chosen: Mapping[str, Any] = {
        **named,
        "progress": config.progress,
        **block,
    }
    return compose("bench", expand.lines(chosen))


def command_line() -> str:
    """The command as the user typed it, for the report, without the places of this machine."""
    local = ("results_dir=", "cache_dir=")
    return " ".join([Path(sys.argv[0]).name, *(word for word in sys.argv[1:] if not word.startswith(local))])
