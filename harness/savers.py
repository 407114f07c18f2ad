"""Less memory in training: what can be asked of an architecture, and the state that windows hand on.

trainer.activation_checkpointing   layers compute their activations again         archs.checkpointing
trainer.chunked_loss               logits a piece at a time                       loss.py
task.segments                      gradients reach no further than a window,      Carried
                                   the state through all windows of a sequence
"""

from __future__ import annotations

from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from archs import Autoregressive, checkpointing
from archs.contract import Backbone
from tasks.task import Task

from .errors import ConfigError


class Carried:
    """The state of a backbone after the last window, cut off from what led to it: where the next one goes on.

    room    tokens of a whole sequence
    leaves  the state's tensors, flat, as they stand in a checkpoint; none before the first window
    """

    def __init__(self, backbone: Autoregressive, room: int) -> None:
        self.backbone, self.room = backbone, room
        self.leaves: list[Tensor] = []

    def before(self, tokens: Tensor, *, first: bool) -> Any:
        """The state that a window of tokens (B, T) starts from: an empty one where its rows begin."""
        assert isinstance(self.backbone, torch.nn.Module)
        parameter = next(self.backbone.parameters())
        fresh = self.backbone.start(
            len(tokens), max_len=self.room, device=tokens.device, dtype=parameter.dtype
        )
        if first:
            return fresh
        leaves, shape = tree_flatten(fresh)
        return tree_unflatten(
            [mine.to(new.device) for mine, new in zip(self.leaves, leaves, strict=True)], shape
        )

    def keep(self, state: Any) -> None:
        """Copies: what a state holds may be a view of all that a window computed."""
        self.leaves = [leaf.detach().clone() for leaf in tree_leaves(state)]


def check_savers(config: DictConfig, task: Task, outline: Backbone) -> None:
    """Raise ConfigError where the architecture (`outline`: on the meta device) cannot do what is asked."""
    if config.trainer.activation_checkpointing:
        assert isinstance(outline, torch.nn.Module)
        try:
            checkpointing(outline)
        except ValueError as error:
            raise ConfigError(f"trainer.activation_checkpointing=true: {error}") from None
    if task.sequence is not None:
        check_carrying(config, task.sequence, outline)


def check_carrying(config: DictConfig, sequence: int, outline: Backbone) -> None:
    """Raise ConfigError unless a run can hand a state of bounded size on through `sequence` tokens."""
    asked, arch = f"task.segments={config.task.segments}", f"arch={config.choices.arch}"
    for key, why in (
        (
            "accumulate_grad_batches",
            "batches in a row are windows of the same rows: raise batch_size instead",
        ),
        ("devices", "one process has the state: use one device"),
        ("num_nodes", "one process has the state: use one node"),
    ):
        if config.trainer[key] > 1:
            raise ConfigError(f"trainer.{key}={config.trainer[key]} with {asked}: {why}")
    check_bounded(asked, arch, sequence, outline)
    if outline.max_len is not None and outline.max_len < sequence:
        raise ConfigError(
            f"{asked} makes sequences of {sequence:,} tokens, but {arch} has a position table of "
            f"{outline.max_len:,}: raise arch.position.max_len, or pick arch/position=rope"
        )


def check_bounded(asked: str, arch: str, sequence: int, outline: Backbone) -> None:
    """Raise ConfigError unless the state after `sequence` tokens is as large as after twice as many."""
    if not isinstance(outline, Autoregressive):
        raise ConfigError(
            f"{asked} hands a state on, but {arch} has no start and step (archs.Autoregressive)"
        )
    now, later = (outline.state_bytes(length) for length in (sequence, 2 * sequence))
    if later > now:
        raise ConfigError(
            f"{asked} hands a state on through {sequence:,} tokens, but that of {arch} grows with them: "
            f"{now:,} bytes, and {later:,} after twice as many; use mamba, or a smaller sliding window"
        )
