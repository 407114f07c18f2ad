"""Normalisation over the last axis."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LayerNorm(nn.LayerNorm):
    """(x - mean) / sqrt(var + eps) * weight + bias (Ba et al. 2016)."""

    def __init__(self, dim: int, eps: float = 1e-5, bias: bool = True) -> None:
        super().__init__(dim, eps=eps, bias=bias)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight (Zhang & Sennrich 2019).

    Computed in float32 or better, and cast down before the weight, as Llama does: equal to it in
    half precision too, and still exact in float64.
    """

    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        # A step of decoding is mostly the cost of calls: it goes without autograd's.
        norm = _RMSNorm.apply if torch.is_grad_enabled() else _rms_norm
        y: Tensor = norm(x, self.weight, self.eps)
        return y


def _rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return weight * F.rms_norm(x, x.shape[-1:], eps=eps)


class _RMSNorm(torch.autograd.Function):
    """The norm, with its gradient written out: half the passes over memory of torch's chain of operations.

    With n = x r, r = 1 / sqrt(mean(x^2) + eps) and g = dy * weight:  dx = r (g - n mean(g n)).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.eps = eps
        return _rms_norm(x, weight, eps)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        wide = torch.promote_types(x.dtype, torch.float32)
        x_, g = x.to(wide), dy * weight.to(wide)
        r = torch.rsqrt(torch.linalg.vecdot(x_, x_)[..., None] / x.shape[-1] + ctx.eps)
        n = x_ * r
        dweight = (dy * n).reshape(-1, x.shape[-1]).sum(0)
        along = torch.linalg.vecdot(g, n)[..., None] / x.shape[-1]
        dx = g.addcmul_(n, along, value=-1).mul_(r)
        return dx.to(x.dtype), dweight.to(weight.dtype), None
