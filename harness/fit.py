"""The execution of one planned run: Lightning's Trainer, and the files of the run folder."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml
from hydra.utils import instantiate
from lightning.pytorch.callbacks import ModelCheckpoint
from rich.console import Console
from safetensors.torch import save

from archs import checkpointing
from archs.contract import Backbone

from . import record
from .building import describe
from .callbacks import (
    AtomicCheckpointIO,
    Bar,
    Evaluations,
    Heartbeat,
    Journal,
    StopOnSignal,
    StopWhenDiverged,
)
from .efficiency.memory import PeakMemory
from .freezing import answers, freeze
from .module import ENDLESS, Account, Batches, Loader, Training, derived_seed
from .plan import Plan
from .starting import start_weights

OWN = ("threads", "num_workers", "activation_checkpointing", "chunked_loss")  # of trainer.*: not Lightning's
CHECKPOINT_EVERY = timedelta(seconds=20)  # of training: what a kill can cost at most


class Run:
    """A run while it executes; `self.record` is what run.json holds at any moment."""

    def __init__(
        self, planned: Plan, before: Mapping[str, Any] | None, title: str, heartbeat: Path | None
    ) -> None:
        self.plan, self.folder, self.config = planned, planned.folder, planned.config
        self.checkpoint = self.folder / "last.ckpt"
        self.title = title
        self.bar = Bar(title) if self.config["progress"] else None
        self.heartbeat = heartbeat
        self.best: tuple[float, dict[str, torch.Tensor]] | None = None
        self.record = start_record(planned, before or {})

    def write(self, **changes: Any) -> None:
        self.record.update(changes)
        record.write_record(self.folder, self.record)

    def fit(self) -> str:
        """Train to the end of the budget; returns completed, diverged or interrupted."""
        silence_lightning()
        config, task = self.config, self.plan.task
        if config["trainer"]["threads"] is not None:
            torch.set_num_threads(config["trainer"]["threads"])
        torch.manual_seed(derived_seed(config["seed"], "init"))
        device = "cuda" if uses_cuda(config["trainer"]["accelerator"]) else "cpu"
        peak = PeakMemory(device)
        backbone = task.wrap(self.plan.arch.build(task.vocab_size))
        assert isinstance(backbone, torch.nn.Module)
        checkpointing(backbone, config["trainer"]["activation_checkpointing"])
        if config["init_from"] is not None:
            start_weights(backbone, config["init_from"], task)
        if config["freeze"] is not None:
            freeze(backbone, answers(task))
        module = Training(
            backbone,
            budget=self.plan.budget,
            steps=self.plan.steps,
            optim=config["optim"],
            seed=config["seed"],
            frozen=config["freeze"] is not None,
            sequence=task.sequence,
            chunked=config["trainer"]["chunked_loss"],
        )
        diverged, stopped = StopWhenDiverged(), StopOnSignal(self.checkpoint)
        callbacks: list[L.Callback] = [Account(), diverged, stopped]
        callbacks += [Heartbeat(self.heartbeat, stopped)] if self.heartbeat else []
        trainer = self.trainer(callbacks)
        resume = self.checkpoint if self.checkpoint.exists() else None
        first = torch.load(resume, weights_only=True)["spent"]["batches"] if resume else 0
        batches = Batches(task, config["seed"], config["batch_size"], trainer.global_rank, trainer.world_size)
        loader = Loader(batches, first, self.batches_in_all(), config["trainer"]["num_workers"])
        trainer.fit(module, loader, ckpt_path=resume, weights_only=True)
        self.account(module, peak, device)
        if diverged.diverged:
            return "diverged"
        if stopped.received is not None:
            return "interrupted"
        self.finish(module)
        return "completed"

    def batches_in_all(self) -> int:
        accumulate: int = self.config["trainer"]["accumulate_grad_batches"]
        return ENDLESS if self.plan.steps is None else self.plan.steps * accumulate

    def trainer(self, callbacks: list[L.Callback]) -> L.Trainer:
        """A Lightning Trainer for one epoch over the loader, which is as long as the budget."""
        options = {k: v for k, v in self.config["trainer"].items() if k not in OWN}
        callbacks += [
            Evaluations(self.plan.task, self.config["evaluations"], self.evaluated),
            Journal(lambda row: record.append_metrics(self.folder, row)),
            ModelCheckpoint(
                self.folder, "last", train_time_interval=CHECKPOINT_EVERY, enable_version_counter=False
            ),
        ]
        callbacks += [self.bar] if self.bar else []
        logger: Any = False
        if self.config["logger"]["_target_"] is not None:
            logger = instantiate(self.config["logger"])(save_dir=self.folder)
        return L.Trainer(
            **options,
            max_epochs=1,
            callbacks=callbacks,
            plugins=[AtomicCheckpointIO()],
            logger=logger,
            default_root_dir=self.folder,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )

    def evaluated(self, module: Training, metrics: dict[str, Any]) -> None:
        """Journal a validation, show it, and keep the weights if they are the best yet."""
        spent = module.spent
        row = {"kind": "validation", "step": spent.steps, "tokens": spent.tokens, "seconds": spent.seconds}
        record.append_metrics(self.folder, row | scalars(metrics))
        if self.bar:
            self.bar.show(metrics)
        task = self.plan.task
        value = metrics[task.primary] * (1 if task.higher_is_better else -1)
        if self.config["checkpoint"] == "best" and (self.best is None or value > self.best[0]):
            self.best = (value, {k: v.detach().clone() for k, v in weights(module.backbone).items()})

    def account(self, module: Training, peak: PeakMemory, device: str) -> None:
        """Write what the run has used, also when it did not reach the end."""
        spent, epoch = module.spent, self.plan.task.train_tokens()
        per_token = self.plan.task.bytes_per_token()
        self.write(
            steps=spent.steps,
            tokens=int(spent.tokens),
            bytes=None if per_token is None else int(spent.tokens * per_token),
            positions=int(spent.positions),
            targets=int(spent.targets),
            flops=int(spent.flops),
            epochs=None if epoch is None else spent.tokens / epoch,
            seconds=spent.seconds,
            tokens_per_second=spent.tokens / max(spent.seconds, 1e-9),
            waiting_share=spent.waiting / max(spent.seconds, 1e-9),
            peak_memory=peak.bytes(),
            peak_memory_method=peak.method,
            environment=record.environment(device),
        )

    def finish(self, module: Training) -> None:
        """The full validation, then the files that generate, evaluate and init_from use."""
        backbone, task = module.backbone, self.plan.task
        assert isinstance(backbone, torch.nn.Module)
        backbone.eval()
        console = Console(stderr=True, quiet=not self.config["progress"])
        with console.status(f"{self.title}: evaluating"):
            # The end of the curve is measured as the rest of it: on the quick windows.
            self.evaluated(module, task.evaluate(backbone, "validation", quick=True))
            if self.best is not None:
                backbone.load_state_dict(self.best[1])
            metrics = task.evaluate(backbone, "validation")
            self.write(
                validation=scalars(metrics),
                baselines=task.baselines("validation"),
                curve_baselines=task.baselines("validation", quick=True),
            )
        (self.folder / "model.safetensors").write_bytes(save(weights(backbone)))
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.config, sort_keys=False))
        task.save(self.folder)
        self.checkpoint.unlink(missing_ok=True)  # only good for going on, and there is nowhere to go


def start_record(planned: Plan, before: Mapping[str, Any]) -> dict[str, Any]:
    """What is known about a run before it starts (see record.py for every key). before: its record so far."""
    config, task, outline = planned.config, planned.task, planned.outline
    return {
        "version": record.VERSION,
        "identity": planned.identity,
        "name": planned.folder.name,
        "study": config["study_name"],
        "status": "running",
        "attempts": 1 + before.get("attempts", 0),
        "failures": before.get("failures", 0),
        "shared": bool(before.get("shared")),
        "error": None,
        "config": config,
        "arch": config["choices"]["arch"],
        "task": task.name,
        "objective": task.objective,
        "asked": task.asked,
        "primary": task.primary,
        "solved_from": task.solved_from,
        "family": str(planned.arch.family),
        "seed": config["seed"],
        "size": config["size"],
        "budget": {"kind": planned.budget.kind, "amount": planned.budget.amount},
        "match": None if planned.match is None else planned.match.record(),
        "lr": config["optim"]["lr"],
        "vocab_size": task.vocab_size,
        "parameters": describe(outline),
        "state_bytes": outline.state_bytes(task.max_len, task.max_len),
        "flops_per_token": planned.per_step.flops / planned.per_step.tokens,
        "validation": {},
        "baselines": {},
        "curve_baselines": {},
        "digests": dict(task.digests),
        "environment": record.environment("cpu"),
        "started": record.now(),
    }


def weights(backbone: Backbone) -> dict[str, torch.Tensor]:
    assert isinstance(backbone, torch.nn.Module)
    return {name: value.contiguous() for name, value in backbone.state_dict().items()}


def scalars(metrics: dict[str, Any]) -> dict[str, Any]:
    """The metrics without their detail by cluster, which only test.json keeps."""
    return {name: value for name, value in metrics.items() if name != "clusters"}


def uses_cuda(accelerator: str) -> bool:
    return accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())


def silence_lightning() -> None:
    """Lightning's hints address its own users; ours see one progress bar."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
