"""freeze=backbone: how much of a task can be read from what a pretrained model computes, unchanged.

The only numbers that move are the rows of the output table (and the entries of its bias) that name the
answers: for K classes over features of width F, K x F of them, a linear probe of the same size and kind for
every family. Norms, a head's transform and all other rows stay. Where head and input share one table, this is
still no change of the model: answers are reserved tokens, which no source holds, so that their rows are never
read as input. What the probe reads is the hidden vector at the place where the family is asked: at <sep>, at
<mask>, or at the decoder's first token. <sep> is no token of pretraining: its row is as chance left it.

These rows start as those of an untrained model for every family, whatever pretraining left there: see
starting.start_weights.

Tasks that answer in text have no such rows, and are refused: their answers are input as well.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from archs.contract import Backbone, Family, LinearHead
from tasks.supervised import SupervisedTask
from tasks.task import Task
from tasks.tokenizer import N_SPECIAL

from .errors import ConfigError


def check_freezing(config: DictConfig, task: Task, outline: Backbone) -> None:
    """Raise ConfigError where config.freeze leaves nothing to be learned, or keeps what was never learned."""
    if config.init_from is None:
        raise ConfigError("freeze=backbone needs init_from=...: without it, what is frozen is random")
    if len(answers(task)) == 0:
        raise ConfigError(
            "freeze=backbone trains the rows of the output table that name a class, and "
            f"task={config.choices.task} has no classes: leave it out, or pick task=classification"
        )
    if not isinstance(outline, LinearHead):
        raise ConfigError(
            "freeze=backbone needs a head that lays open its output table, and "
            f"arch={config.choices.arch} does not: give it the method readout of archs.contract.LinearHead"
        )


def answers(task: Task) -> np.ndarray:
    """The reserved tokens (K,) that name the task's classes; none where it answers in ordinary tokens."""
    if not isinstance(task, SupervisedTask) or (task.labels >= N_SPECIAL).any():
        return np.empty(0, np.int64)
    return task.labels


def freeze(backbone: Backbone, rows: np.ndarray) -> None:
    """Leave nothing of `backbone` trainable but these rows of its output table and of its bias, if any.

    An optimiser must not decay what is left: decay moves rows that have no gradient.
    """
    cast(nn.Module, backbone).requires_grad_(False)
    for table in output_tables(backbone):
        if isinstance(table, nn.Parameter):
            table.requires_grad_(True)
            table.register_hook(lambda gradient: only(gradient, rows))


def output_tables(backbone: Backbone) -> list[Tensor]:
    """The output table (V, F) of a backbone that lays it open, and its bias (V,), if any; else nothing."""
    if not isinstance(backbone, LinearHead):
        return []
    module = cast(nn.Module, backbone)
    token = torch.full((1, 1), N_SPECIAL, device=next(module.parameters()).device)
    source = token if backbone.family == Family.ENCODER_DECODER else None
    with torch.no_grad():
        _, weight, bias = backbone.readout(module(token, source=source).hidden)
    return [weight] if bias is None else [weight, bias]


def only(gradient: Tensor, rows: np.ndarray) -> Tensor:
    """The gradient of these rows, 0 elsewhere."""
    kept = torch.zeros_like(gradient)
    index = torch.as_tensor(rows, device=gradient.device)
    kept[index] = gradient[index]
    return kept
