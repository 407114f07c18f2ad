"""What happens around the training loop: evaluation, the journal, the progress bar, stopping well."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tasks.task import Task

from .module import Training

JOURNAL_EVERY = 50  # journal lines of training loss that a run writes, however long it is
FINITE_EVERY = 20  # batches between looks at the loss on a GPU, where looking waits for the device


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints that are either whole or absent: written beside their place, then renamed.

    Lightning's own goes through $TMPDIR, whose move into place is a copy where that is another disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        beside = Path(path).with_suffix(".partial")
        torch.save(checkpoint, beside)
        os.replace(beside, path)


class Evaluations(L.Callback):
    """Evaluates on validation `count` times, evenly over the budget, off the training clock.

    report(spent, metrics) is called after each one.
    """

    def __init__(self, task: Task, count: int, report: Callable[[Training, dict[str, Any]], None]) -> None:
        self.task, self.count, self.report = task, count, report
        self.done = 0

    def on_train_start(self, trainer: L.Trainer, module: Any) -> None:
        self.done = math.floor(module.progress * self.count + 1e-9)

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        due = math.floor(module.progress * self.count + 1e-9)
        if due <= self.done or due >= self.count:  # the last one is the full evaluation after training
            return
        self.done = due
        module.eval()
        self.report(module, self.task.evaluate(module.backbone, "validation", quick=True))
        module.train()
        module.resume_clock()


class Journal(L.Callback):
    """Writes the training loss, averaged between lines, evenly over the budget.

    write({"kind": "train", "step", "tokens", "seconds", "loss", "lr"})
    """

    def __init__(self, write: Callable[[dict[str, Any]], None]) -> None:
        self.write = write
        self.total, self.batches, self.done = torch.zeros(()), 0, 0

    def on_train_start(self, trainer: L.Trainer, module: Any) -> None:
        self.total = torch.zeros((), device=module.device)
        self.done = math.floor(module.progress * JOURNAL_EVERY)

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.total += module.loss
        self.batches += 1
        due = math.floor(module.progress * JOURNAL_EVERY)
        if due <= self.done:
            return
        self.done = due
        spent = module.spent
        self.write(
            {
                "kind": "train",
                "step": spent.steps,
                "tokens": spent.tokens,
                "seconds": spent.seconds,
                "loss": float(self.total) / self.batches,
                "lr": trainer.optimizers[0].param_groups[0]["lr"],
            }
        )
        self.total.zero_()
        self.batches = 0


class StopWhenDiverged(L.Callback):
    """Ends a run whose loss is no longer a number; `diverged` says so."""

    diverged = False

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if module.device.type != "cpu" and batch_idx % FINITE_EVERY:
            return
        if not math.isfinite(float(module.loss)):
            self.diverged = trainer.should_stop = True


class StopOnSignal(L.Callback):
    """SIGINT and SIGTERM end the run after the current optimiser step, with a checkpoint.

    A second Ctrl-C ends it at once. `received` is the signal's number, or None.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self.received: int | None = None
        self._before: dict[int, Any] = {}
        self._step = 0

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        for number in self.SIGNALS:
            self._before[number] = signal.signal(number, self._receive)

    def _receive(self, number: int, frame: Any) -> None:
        self.received = number
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        stepped = trainer.global_step > self._step  # not in the middle of accumulated gradients
        self._step = trainer.global_step
        if self.received is not None and stepped and not trainer.should_stop:
            trainer.save_checkpoint(self.checkpoint)
            trainer.should_stop = True

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Heartbeat(L.Callback):
    """Touches a file while the run is alive, so that a supervisor can tell slow from stuck.

    A run whose supervisor is gone (its parent process changed) ends as if it had been asked to: by a word to
    `stop` and not by a signal, since it may be stopping already, and a second signal would not wait.
    """

    def __init__(self, path: Path, stop: StopOnSignal) -> None:
        self.path, self.stop, self.parent = path, stop, os.getppid()

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.path.touch()
        if os.getppid() != self.parent and self.stop.received is None:
            self.stop.received = signal.SIGTERM


class Bar(L.Callback):
    """One line on stderr: share of the budget, loss, tokens per second, last validation, time left."""

    def __init__(self, title: str) -> None:
        self.metrics = ""
        self.bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn(
                "loss {task.fields[loss]:.3f} · {task.fields[speed]:,.0f} tok/s{task.fields[metrics]}"
            ),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            refresh_per_second=1,  # each drawing holds the interpreter for some milliseconds
            expand=True,
        )
        self.line = self.bar.add_task(title, total=1.0, loss=math.nan, speed=0.0, metrics="")

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.bar.start()

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if module.device.type != "cpu" and batch_idx % FINITE_EVERY:
            return
        spent = module.spent
        self.bar.update(
            self.line,
            completed=module.progress,
            loss=float(module.loss),
            speed=spent.tokens / max(spent.seconds, 1e-9),
            metrics=self.metrics,
        )

    def show(self, metrics: dict[str, Any]) -> None:
        """Keep the last validation figures on the line."""
        shown = [f"{name} {value:.3f}" for name, value in metrics.items() if isinstance(value, float)]
        self.metrics = " · " + " ".join(shown[:2]) if shown else ""

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.bar.stop()

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        self.bar.stop()
