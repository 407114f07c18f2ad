"""Budgets: the same allowance for every architecture, and how much of it a run has used.

One of four currencies. Tokens are corpus tokens consumed, before the objective touches them, so that
masking or splitting a window costs the same as reading it; FLOPs are analytic; seconds count training
alone, without evaluation and checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass
from functools import lru_cache
from typing import Any

from archs.contract import Backbone
from tasks.rows import IGNORE, Batch
from tasks.task import Task

BACKWARD = 2  # the backward pass costs two forwards: one for the inputs, one for the weights


@dataclass(frozen=True)
class Cost:
    """What one training batch costs.

    tokens: corpus tokens; positions: token positions the model processed (source included);
    targets: positions that were scored; flops: forward and backward.
    """

    tokens: float
    positions: float
    targets: float
    flops: float


class CostModel:
    """Analytic training cost of batches for one backbone, memoised by shape.

    frozen: the gradient goes no further than the head.
    """

    def __init__(self, backbone: Backbone, frozen: bool = False) -> None:
        self._forward = lru_cache(maxsize=4096)(backbone.flops)
        self._frozen = frozen

    def __call__(self, batch: Batch) -> Cost:
        rows, T = batch.tokens.shape
        source = 0 if batch.source is None else batch.source.shape[1]
        S = source or batch.seen
        targets = int((batch.targets != IGNORE).sum())
        # The head reads scored positions only; their mean over rows is exact since its cost is linear.
        body = self._forward(T, S, 0) * rows
        head = (self._forward(T, S, 1) - self._forward(T, S, 0)) * targets
        trained = head if self._frozen else body + head
        return Cost(batch.consumed, rows * (T + source), targets, body + head + BACKWARD * trained)


@dataclass
class Spent:
    """What a run has used so far; saved with its checkpoints. waiting: of its seconds, those for data."""

    batches: int = 0
    steps: int = 0
    tokens: float = 0
    positions: float = 0
    targets: float = 0
    flops: float = 0
    seconds: float = 0
    waiting: float = 0

    def add(self, cost: Cost, world: int = 1) -> None:
        self.batches += 1
        self.tokens += cost.tokens * world
        self.positions += cost.positions * world
        self.targets += cost.targets * world
        self.flops += cost.flops * world

    def state(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Budget:
    """kind: steps | tokens | flops | seconds; amount: how much of it."""

    kind: str
    amount: float

    def steps(self, per_step: Cost) -> int | None:
        """Optimiser steps this budget pays for at `per_step` (None: seconds, known only by running).

        Rounded down, so that nobody spends more than the budget. Raises ValueError if not one step fits.
        """
        if self.kind == "seconds":
            return None
        unit = {"steps": 1.0, "tokens": per_step.tokens, "flops": per_step.flops}[self.kind]
        steps = int(self.amount // unit)
        if steps < 1:
            raise ValueError(
                f"budget.{self.kind}={self.amount:g} is less than one step, which takes {unit:,.0f}: "
                f"raise it, or lower batch_size"
            )
        return steps

    def fraction(self, spent: Spent, steps: int | None) -> float:
        """Share of the budget that is used up, in [0, 1]; it drives schedules and evaluations."""
        used = spent.seconds / self.amount if steps is None else spent.steps / steps
        return min(1.0, used)


SAMPLE = 16  # batches whose mean cost stands for a step where shapes vary (span corruption)
WALK = 1024  # batches that are looked at one by one, where they vary in what the budget counts


def sample(task: Task, seed: int, batch_size: int) -> list[Batch]:
    """A few training batches, whose mean cost is that of the training."""
    return [task.batch(seed, index, batch_size) for index in task.typical(batch_size, SAMPLE)]


def total(costs: Iterable[Cost], share: float = 1.0) -> Cost:
    """The sum of costs, or a share of it."""
    tokens, positions, targets, flops = (sum(column) for column in zip(*map(astuple, costs), strict=True))
    return Cost(tokens * share, positions * share, targets * share, flops * share)


def mean_cost(sampled: Sequence[Batch], cost: CostModel, batches: int = 1) -> Cost:
    """Of `batches` batches such as those sampled."""
    return total(map(cost, sampled), batches / len(sampled))


class Steps:
    """The optimiser steps of a run, each of `batches` batches (accumulated, and of all devices)."""

    def __init__(self, task: Task, cost: CostModel, seed: int, batch_size: int, batches: int) -> None:
        self.task, self.cost, self.seed, self.batch_size, self.batches = task, cost, seed, batch_size, batches
        self.sampled = [cost(batch) for batch in sample(task, seed, batch_size)]
        self.mean = total(self.sampled, batches / len(self.sampled))

    def paid_by(self, budget: Budget) -> int | None:
        """How many steps a budget pays for; None: seconds, known only by running.

        Where batches vary in what it counts, by their own costs rather than by the mean of a few: without
        that, the families whose rows vary in length would be given some percent more or less than others.
        """
        steps = budget.steps(self.mean)
        if budget.kind not in ("tokens", "flops") or steps is None:
            return steps
        if len({getattr(cost, budget.kind) for cost in self.sampled}) == 1:
            return steps
        spent, walked = 0.0, max(1, WALK // self.batches)
        for step in range(walked):
            spent += getattr(self.at(step), budget.kind)
            if spent > budget.amount:
                return max(1, step)
        return walked + int((budget.amount - spent) // (spent / walked))

    def at(self, step: int) -> Cost:
        """The cost of step number `step`."""
        first = step * self.batches
        indices = range(first, first + self.batches)
        return total(self.cost(self.task.batch(self.seed, index, self.batch_size)) for index in indices)
