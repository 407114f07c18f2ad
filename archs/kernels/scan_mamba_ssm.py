"""Selective scan by mamba_ssm's fused CUDA kernel (Gu & Dao 2023), where that package is installed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _NoGradient(torch.autograd.Function):
    """Identity that refuses a gradient: the kernel would drop the one of the last state silently."""

    @staticmethod
    def forward(ctx: Any, h: Tensor) -> Tensor:
        return h.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        raise RuntimeError("mamba_ssm gives no gradient of the last state; use backend='torch'")


def scan(
    x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    """As `archs.kernels.scan.reference`, but h must be zeros: the kernel knows no other first state."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    channels_first = (t.transpose(1, 2).contiguous() for t in (x, delta))
    states_first = (t.transpose(1, 2).contiguous() for t in (B, C))
    y, h = selective_scan_fn(*channels_first, A, *states_first, D, return_last_state=True)
    return y.transpose(1, 2), _NoGradient.apply(h)
