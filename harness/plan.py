"""A run, planned: everything that can be refused is refused here, before anything is written."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from archs.contract import Backbone
from tasks.task import Task

from .budget import Budget, Cost, CostModel, Steps
from .building import PARTS, Architecture, make_task, unsized
from .errors import note
from .freezing import check_freezing
from .identity import identity, run_name, sources
from .loading import origin
from .matching import Match, matched
from .savers import check_savers
from .starting import announce, check_positions, taken_over, with_tokenizer
from .strict import as_dict


@dataclass(frozen=True)
class Plan:
    """What a run will do and where.

    outline   the backbone on the meta device: shapes and costs without memory
    match     what was made equal to other architectures; None where widths are as written
    per_step  mean cost of an optimiser step; steps: how many the budget pays for (None: seconds)
    folder    results_dir/study_name/name-identity
    """

    config: dict[str, Any]
    arch: Architecture
    task: Task
    outline: Backbone
    budget: Budget
    match: Match | None
    per_step: Cost
    steps: int | None
    identity: str
    folder: Path


def plan(config: DictConfig) -> Plan:
    """Resolve `config` into a Plan. Raises ValueError, in one line, for whatever cannot be run."""
    check_device(config.trainer.accelerator)
    config = with_tokenizer(config)
    task = make_task(config, unsized(config))
    taken = taken_over(config, task.vocab_size)
    arch, match = matched(config, task) if taken is None else (taken, None)
    outline = task.wrap(arch.build(task.vocab_size, "meta"))
    check_positions(config, task.max_len, outline.max_len)
    check_savers(config, task, outline)
    frozen = config.freeze is not None
    if frozen:
        check_freezing(config, task, outline)
    announce(config)
    for text in task.notes:
        note(text)
    kind = config.budget.kind
    budget = Budget(kind, float(config.budget[kind]))
    trainer = config.trainer
    batches = int(trainer.accumulate_grad_batches) * int(trainer.devices) * int(trainer.num_nodes)
    steps = Steps(task, CostModel(outline, frozen), config.seed, config.batch_size, batches)
    resolved = as_dict(config, resolve=True)
    resolved["arch"] = arch.node
    extras = {"digests": dict(task.digests), "solved": arch.solved, "sources": sources(resolved)}
    if config.init_from is not None:
        extras["init_from"] = origin(config.init_from, arch, task.vocab_size)
    key = identity({name: value for name, value in resolved.items() if name not in unused(task)}, extras)
    folder = Path(config.results_dir) / config.study_name / f"{run_name(resolved)}-{key}"
    paid = steps.paid_by(budget)
    return Plan(resolved, arch, task, outline, budget, match, steps.mean, paid, key, folder.resolve())


def check_device(accelerator: str) -> None:
    """Raise ValueError where PyTorch does not find what trainer= asks for."""
    found = {
        "gpu": torch.cuda.is_available() or torch.backends.mps.is_available(),
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not found.get(accelerator, True):
        raise ValueError(
            f"trainer.accelerator={accelerator}: PyTorch finds none here; use trainer=cpu or trainer=auto"
        )


def unused(task: Task) -> set[str]:
    """The groups that make no difference to a run of this task: a generator reads no corpus."""
    return set(PARTS) - set(inspect.signature(type(task)).parameters)
