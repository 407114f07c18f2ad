"""How a study's runs are executed: by whichever Hydra launcher is configured, each in a supervised child."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from ..compose import compose
from ..errors import ConfigError
from ..supervise import Ended, supervise
from .expand import lines

ALONE = ("BasicLauncher", "JoblibLauncher")  # where at_once() tells how many runs share the machine


def at_once() -> int:
    """How many runs the configured launcher executes at a time on this machine."""
    node = HydraConfig.get().launcher
    jobs = int(OmegaConf.select(node, "n_jobs", default=1) or 1)
    return jobs if jobs > 0 else max(1, cores() + 1 + jobs)  # joblib counts from the end: -1 is all cores


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads(config: DictConfig) -> int | None:
    """CPU threads of one run: the machine divided, unless the user says otherwise. Null: PyTorch's choice."""
    typed: int | None = config.trainer.threads
    return max(1, cores() // at_once()) if typed is None and at_once() > 1 else typed


def check_seconds(kind: str, task: str) -> None:
    """Raise ConfigError where a budget of seconds would be spent beside other runs."""
    target = str(HydraConfig.get().launcher.get("_target_"))
    if kind == "seconds" and (at_once() > 1 or not target.endswith(ALONE)):
        raise ConfigError(
            f"budget=seconds (of {task}) counts this machine's time, which runs side by side would share: "
            "leave hydra/launcher out, or pick another budget"
        )


def launch(config: DictConfig, jobs: Sequence[Sequence[str]]) -> list[Ended]:
    """Execute runs, given as overrides; returns how each ended, in their order."""
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    whole = OmegaConf.merge({"hydra": HydraConfig.get()}, config)
    assert isinstance(whole, DictConfig)
    context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks(whole))
    launcher: Any = Plugins.instance().instantiate_launcher(
        hydra_context=context, task_function=partial(supervised, hang_after=config.hang_after), config=whole
    )
    with ended_by_term():
        returned = launcher.launch([list(job) for job in jobs], initial_job_idx=0)
    return [job.return_value for job in returned]  # which raises what was raised there: a bug of ours


def supervised(config: DictConfig, hang_after: float) -> Ended:
    """What a launcher executes: one run, in a child process, watched. config: not used, but for Hydra's sake;
    it is that of archs-compare, and the run's own is composed from the same overrides."""
    return supervise(compose("train", job_overrides()), HydraConfig.get().job.name, hang_after)


def job_overrides() -> list[str]:
    """This job's overrides as they were written, interpolations unresolved."""
    overrides = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    assert isinstance(overrides, list)
    return [str(override) for override in overrides]


@contextmanager
def ended_by_term() -> Iterator[None]:
    """What ends this process ends it like Ctrl-C. Signals are the main thread's: elsewhere, nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def job_lines(overrides: Sequence[str], title: str, count: int | None, init_from: str | None) -> list[str]:
    """A job's overrides as a launcher gets them: with its threads, its name, and what it starts from."""
    extra: dict[str, object] = {} if count is None else {"trainer.threads": count}
    extra |= {} if init_from is None else {"init_from": init_from}
    name = title.replace("'", " ")
    return [*overrides, *lines(extra), f"hydra.job.name='{name}'"]
