"""Counting and grouping parameters."""

from __future__ import annotations

from typing import Any

from torch import nn


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """How large a model is, by the three numbers that tables show. Works on the meta device.

    total          every parameter once, tied ones too.
    non_embedding  less the tables: tokens, positions, and the output embedding of an untied head
                   (every nn.Embedding). What `size=` asks for, since a table grows with the
                   vocabulary and computes nothing.
    active         total, less what one token leaves idle: a part that routes tokens to some of its
                   parameters (experts) says how many stay idle in `idle_parameters`.
    """
    total = sum(p.numel() for p in model.parameters())
    tables = {
        p for module in model.modules() if isinstance(module, nn.Embedding) for p in module.parameters()
    }
    idle = sum(getattr(module, "idle_parameters", 0) for module in model.modules())
    return {
        "total": total,
        "non_embedding": total - sum(p.numel() for p in tables),
        "active": total - idle,
    }


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Optimiser groups: matrices and tables decay; vectors (norms, biases) and named parameters do not.

    A part names what should keep its scale whatever its shape, in a class attribute that copies and moves
    cannot lose: `no_weight_decay = ("A_log",)`.
    """
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    named = {
        module.get_parameter(name)
        for module in model.modules()
        for name in getattr(module, "no_weight_decay", ())
    }
    for parameter in model.parameters():
        groups[parameter.ndim >= 2 and parameter not in named].append(parameter)
    return [
        {"params": params, "weight_decay": weight_decay if decays else 0.0}
        for decays, params in groups.items()
        if params
    ]
