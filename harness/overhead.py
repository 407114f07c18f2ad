"""What the harness costs over a bare training loop: `python -m harness.overhead [OVERRIDES]`.

The same model on the same batches, taking turns: a plain PyTorch loop (forward, loss, backward, clipping,
AdamW, schedule), and `archs-train` with everything it does between steps (journal, bar, accounts, clock,
checkpoints). Prints seconds per step of both and the median of the ratios. Evaluation is left out: it is
work asked for, and off the clock in both.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from torch.nn.utils import clip_grad_norm_

from archs import decay_groups

from . import record
from .compose import compose
from .fit import Run
from .module import derived_seed, scored_loss
from .plan import Plan, plan
from .train import execute

PAIRS = 7
STEPS = 200


def bare(planned: Plan) -> float:
    """Seconds per step of a plain loop."""
    config, task = planned.config, planned.task
    torch.manual_seed(derived_seed(config["seed"], "init"))
    model = planned.arch.build(task.vocab_size)
    assert isinstance(model, torch.nn.Module)
    optim = config["optim"]
    groups = decay_groups(model, optim["weight_decay"])
    optimizer = torch.optim.AdamW(groups, lr=optim["lr"], betas=tuple(optim["betas"]), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, optim["lr"], total_steps=STEPS)
    begin = time.perf_counter()
    for index in range(STEPS):
        batch = task.batch(config["seed"], index, config["batch_size"])
        loss, _ = scored_loss(model, batch)
        loss.backward()
        clip_grad_norm_(model.parameters(), optim["clip"])
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return (time.perf_counter() - begin) / STEPS


def harnessed(planned: Plan) -> float:
    """Seconds per step of archs-train, by its own training clock."""
    if execute(Run(planned, None, "harness", None)) != "completed":
        raise SystemExit("the run did not complete")
    return record.read_record(planned.folder)["seconds"] / STEPS


def planned_for(seed: int, overrides: list[str], folder: Path) -> Plan:
    own = [f"seed={seed}", "budget=steps", f"budget.steps={STEPS}", "evaluations=0", f"results_dir={folder}"]
    config: DictConfig = compose("train", [*overrides, *own])
    return plan(config)


def main() -> None:
    table = Table("pair", "bare ms/step", "harness ms/step", "ratio")
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(PAIRS + 1):
            planned = planned_for(pair, sys.argv[1:], Path(folder))
            first, second = bare(planned), harnessed(planned)
            if pair:  # the first pair warms up
                ratios.append(second / first)
                table.add_row(str(pair), f"{first * 1e3:.1f}", f"{second * 1e3:.1f}", f"{ratios[-1]:.3f}")
    console = Console()
    console.print(table)
    console.print(f"median ratio {statistics.median(ratios):.3f} over {PAIRS} pairs of {STEPS} steps")


if __name__ == "__main__":
    main()
