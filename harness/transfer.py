"""archs-eval run=RUN task=...: a finished run asked what it was not trained on, as it is.

With shots=K the labels of a task=classification are named by their text, behind a prompt of K examples
(tasks.fewshot); without, the task is asked in its own layout, which a model answers that was trained in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from archs.contract import Family
from tasks.classification import TextTask
from tasks.fewshot import few_shot
from tasks.objectives import Objective
from tasks.task import Task

from .building import TOKENIZER, built, make_task
from .errors import ConfigError
from .loading import Loaded
from .strict import as_dict

Metrics = Mapping[str, Any]


def other_task(loaded: Loaded, config: DictConfig) -> Task:
    """The task that archs-eval is given, with the run's own tokenizer. Raises ConfigError where the run
    cannot be asked it."""
    name, folder = config.choices.task, loaded.folder
    given = {**loaded.config, "task": as_dict(config.task, resolve=True), "init_from": None}
    own = folder / TOKENIZER
    task = make_task(OmegaConf.create(given), loaded.arch, own if own.exists() else None)
    vocabulary = loaded.backbone.vocab_size
    if task.vocab_size != vocabulary:
        raise ConfigError(f"task={name} needs {task.vocab_size} tokens, and run={folder} has {vocabulary}")
    return task


def evaluated(loaded: Loaded, config: DictConfig) -> tuple[Metrics, Mapping[str, Metrics]]:
    """Metrics of the run on config.task, and its baselines by name."""
    task = other_task(loaded, config)
    baselines = task.baselines(config.split)
    if config.shots is None:
        # Asked only where it matters: the run's own task is made from its data, which may be elsewhere.
        if loaded.backbone.max_len is not None and task.max_len > room(loaded):
            raise ConfigError(
                f"task={config.choices.task} needs {task.max_len} positions, "
                f"and the table of run={loaded.folder} was trained to {room(loaded)}"
            )
        return task.evaluate(loaded.backbone, config.split), baselines
    if not isinstance(task, TextTask):
        raise ConfigError(
            f"shots={config.shots} is for tasks with labels, and task={config.choices.task} has none"
        )
    found = few_shot(loaded.backbone, objective(loaded), task, config.split, config.shots, room(loaded))
    return found, {name: row for name, row in baselines.items() if name == "majority"}


def objective(loaded: Loaded) -> Objective:
    """The objective in whose prompts the run is asked."""
    made: Objective = built(loaded.config["objective"])(
        family=Family(loaded.arch.family), start=loaded.arch.start
    )
    return made


def room(loaded: Loaded) -> int:
    """Tokens that a prompt may have: those of a training row, since nothing is learned of places beyond."""
    reach = loaded.task.reach(loaded.backbone)
    return loaded.task.trained_len if reach is None else reach
