"""The Lightning side of training: one module for every family, fed by pure batches."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from archs import decay_groups
from archs.contract import Autoregressive, Backbone, Output
from tasks.rows import IGNORE, Batch
from tasks.task import Task

from .budget import Budget, CostModel, Spent
from .loss import cross_entropy
from .savers import Carried

ENDLESS = 2**31  # batches offered under budget=seconds, where the clock decides


def derived_seed(*names: object) -> int:
    """An independent 63-bit seed for a named purpose, e.g. derived_seed(seed, "init")."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def scored_loss(
    backbone: Backbone, batch: Batch, *, frozen: bool = False, chunked: bool = True
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean cross-entropy in nats over the scored positions, and the backbone's own weighted losses.

    frozen: gradients go no further than the head. chunked: see `loss.cross_entropy`.
    """
    output = forward(backbone, batch, frozen=frozen)
    return scored(backbone, output.hidden, batch.targets, chunked=chunked), output.aux


def forward(backbone: Backbone, batch: Batch, *, frozen: bool = False, state: Any = None) -> Output:
    """What the backbone makes of a batch, from `state` on where one is given."""
    with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
        output: Output = backbone(  # type: ignore[operator]  # a Protocol cannot be an nn.Module too
            batch.tokens, batch.keep, source=batch.source, source_keep=batch.source_keep, state=state
        )
    return output


def scored(backbone: Backbone, hidden: Tensor, targets: Tensor, *, chunked: bool = True) -> Tensor:
    """Mean cross-entropy in nats of hidden (B, T, D) over the targets (B, T) that are not IGNORE.

    The head reads no other positions: for masked language models those are a sixth of all.
    """
    asked = targets != IGNORE
    if bool(asked.all()):
        hidden, targets = hidden.flatten(0, 1), targets.flatten()
    else:
        hidden, targets = hidden[asked], targets[asked]
    return cross_entropy(backbone, hidden, targets, chunked=chunked)


class Training(L.LightningModule):
    """Trains a backbone on a task within a budget; everything random is keyed on (seed, batch number).

    spent: what the run has used up. `steps`: optimiser steps the budget pays for (None: seconds).
    frozen: only the head is trained (see freezing.py), without decay, which would move rows with no gradient.
    sequence: Task.sequence, where a batch goes on from the state that the one before left. chunked: loss.py.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        budget: Budget,
        steps: int | None,
        optim: Mapping[str, Any],
        seed: int,
        frozen: bool = False,
        sequence: int | None = None,
        chunked: bool = True,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.frozen, self.chunked = frozen, chunked
        self.budget = budget
        self.steps = steps
        self.optim = optim
        self.seed = seed
        self.spent = Spent()
        self.cost = CostModel(backbone, frozen)
        self.carried: Carried | None = None
        if sequence is not None:
            assert isinstance(backbone, Autoregressive)
            self.carried = Carried(backbone, sequence)
        self.loss = torch.tensor(math.nan)  # of the last batch, on its device
        self._lap = 0.0

    @property
    def progress(self) -> float:
        """Share of the budget used up, in [0, 1]."""
        return self.budget.fraction(self.spent, self.steps)

    # Time spent on evaluation and checkpoints is not training time: the clock runs from the start of a
    # batch to its end, and fetching the next one (which is training) is added by `resume_clock`.

    def resume_clock(self) -> None:
        self._lap = time.perf_counter()

    def read_clock(self) -> None:
        now = time.perf_counter()
        self.spent.seconds += now - self._lap
        self._lap = now

    def on_train_start(self) -> None:
        self.resume_clock()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # Dropout is keyed on the batch number, so that a resumed run draws what it would have drawn.
        torch.manual_seed(derived_seed(self.seed, "dropout", self.spent.batches, self.global_rank))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        state = None if self.carried is None else self.carried.before(batch.tokens, first=batch.seen == 0)
        output = forward(self.backbone, batch, frozen=self.frozen, state=state)
        if self.carried is not None:
            self.carried.keep(output.state)
        loss = scored(self.backbone, output.hidden, batch.targets, chunked=self.chunked)
        self.loss = loss.detach()
        return loss + sum(output.aux.values()) if output.aux else loss

    def account(self, batch: Batch) -> None:
        """Add a finished batch to `spent`, and end the run when a budget of seconds is used up."""
        self.spent.add(self.cost(batch), self.trainer.world_size)
        self.spent.steps = self.trainer.global_step
        loader = self.trainer.train_dataloader
        assert isinstance(loader, Loader)
        self.spent.waiting += loader.waited()
        self.read_clock()
        if self.steps is None and self.spent.seconds >= self.budget.amount:
            self.trainer.should_stop = True

    def configure_optimizers(self) -> Any:
        optim = self.optim
        assert isinstance(self.backbone, torch.nn.Module)
        optimizer = torch.optim.AdamW(
            decay_groups(self.backbone, 0.0 if self.frozen else optim["weight_decay"]),
            lr=optim["lr"],
            betas=tuple(optim["betas"]),
            eps=optim["eps"],
            fused=self.trainer.precision != "16-mixed",  # where gradients are unscaled before clipping
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: self.rate(self.progress))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Clip the norm. Lightning's own refuses a fused optimiser under bf16-mixed, which scales nothing."""
        if self.optim["clip"] is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters(), self.optim["clip"])

    def rate(self, progress: float) -> float:
        """Share of the peak learning rate: linear warm-up, then a cosine down to final_lr_fraction."""
        warmup, floor = self.optim["warmup"], self.optim["final_lr_fraction"]
        # One step ahead: the scheduler sets the rate of the next step, and the first step must move.
        if self.steps is not None:
            progress = min(1.0, progress + 1 / self.steps)
        if progress < warmup:
            return progress / warmup
        if self.optim["schedule"] == "constant":
            return 1.0
        phase = (progress - warmup) / max(1e-9, 1 - warmup)
        return floor + (1 - floor) * (1 + math.cos(math.pi * phase)) / 2

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["spent"] = self.spent.state()
        if self.carried is not None:
            checkpoint["carried"] = self.carried.leaves

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.spent = Spent(**checkpoint["spent"])
        if self.carried is not None:
            self.carried.leaves = checkpoint["carried"]


class Batches(Dataset[Batch]):
    """Batch number i of a run; ranks of a distributed run interleave."""

    def __init__(self, task: Task, seed: int, size: int, rank: int = 0, world: int = 1) -> None:
        self.task, self.seed, self.size, self.rank, self.world = task, seed, size, rank, world

    def __getitem__(self, index: int) -> Batch:
        return self.task.batch(self.seed, index * self.world + self.rank, self.size)


class Loader(DataLoader[Batch]):
    """Batches `first` to `total`: all there is to know to go on where a run stopped."""

    def __init__(self, batches: Batches, first: int, total: int, workers: int) -> None:
        # A private generator: making an iterator would otherwise draw from the global one.
        super().__init__(
            batches,
            batch_size=None,
            sampler=range(first, total),
            num_workers=workers,
            generator=torch.Generator(),
        )
        self.total = total
        self._waited = 0.0

    def __len__(self) -> int:
        return self.total  # Lightning counts a resumed run's batches from its very first one

    def __iter__(self) -> Any:
        batches = super().__iter__()
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self._waited += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    def waited(self) -> float:
        """Seconds that batches were waited for since this was last asked."""
        waited, self._waited = self._waited, 0.0
        return waited

    # Lightning warns that a loader without these two cannot be resumed; this one needs no state, since
    # `first` comes from the checkpoint and a batch is a pure function of its number.

    def state_dict(self) -> dict[str, int]:
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        pass


class Account(L.Callback):
    """Keeps the module's accounts. First among the callbacks, since the others read and save them.

    (The module's own hook would come last: Lightning calls callbacks before it.)
    """

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        module.account(batch)
