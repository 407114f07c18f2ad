"""Activation checkpointing: memory for time, without another result."""

from __future__ import annotations

from torch import nn

from archs.contract import Checkpointable


def checkpointing(backbone: nn.Module, on: bool = True) -> None:
    """Let every part of `backbone` that can do so recompute its activations in the backward pass (or not).

    Of a `Stack`, only what goes into each layer is then kept, (B, T, D) numbers, and what one layer computes
    while its turn lasts; a step costs one more forward pass. Values, gradients and dropout stay what they
    are. Raises ValueError where no part can.
    """
    able = [module for module in backbone.modules() if isinstance(module, Checkpointable)]
    if on and not able:
        raise ValueError(
            f"{type(backbone).__name__} cannot recompute its activations: none of its modules has the "
            "attribute activation_checkpointing (archs.contract.Checkpointable)"
        )
    for module in able:
        module.activation_checkpointing = on
