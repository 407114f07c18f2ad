"""Mamba-2's gated norm on a CPU, compiled: one pass forward and one backward, which keep only inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor
from torch.autograd.function import once_differentiable

from archs.kernels.compiled import LOG2_E, ONE, ZERO, compiled, exp2, spread

ROWS = 64  # tokens per slice


def norm(y: Tensor, z: Tensor, weight: Tensor, groups: int, eps: float) -> Tensor:
    """As `archs.kernels.gated_norm.reference`, for float32 on a CPU."""
    return _GatedNorm.apply(y.contiguous(), z.contiguous(), weight.contiguous(), groups, eps)


class _GatedNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, z: Tensor, weight: Tensor, groups: int, eps: float) -> Tensor:
        ctx.save_for_backward(y, z, weight)
        ctx.shape, ctx.eps = (-1, groups, len(weight) // groups), torch.tensor([eps])
        out = torch.empty_like(y)
        rows = [t.view(ctx.shape) for t in (y, z, weight)]
        spread(_forward, _slices(rows[0]), y.numel(), 1, *rows, ctx.eps, out.view(ctx.shape))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        y, z, weight = ctx.saved_tensors
        rows = [t.view(ctx.shape) for t in (y, z, weight, dout.contiguous())]
        dy, dz = torch.empty_like(y), torch.empty_like(z)
        dweight = y.new_empty(_slices(rows[0]), *rows[0].shape[1:])  # slices run at once: summed afterwards
        outputs = (dy.view(ctx.shape), dz.view(ctx.shape), dweight)
        spread(_backward, len(dweight), 4 * y.numel(), 1, *rows, ctx.eps, *outputs)
        return dy, dz, dweight.sum(0).flatten(), None, None


def _slices(rows: Tensor) -> int:
    return -(-len(rows) // ROWS)


@compiled
def _forward(
    y: ndarray,
    z: ndarray,
    weight: ndarray,
    eps: ndarray,
    out: ndarray,
    scratch: ndarray,
    first: int,
    last: int,
) -> None:
    rows, groups, width = y.shape
    for row in range(first * ROWS, min(last * ROWS, rows)):
        for g in range(groups):
            y_g, z_g, out_g, w_g = y[row, g], z[row, g], out[row, g], weight[0, g]
            squares = ZERO
            for e in range(width):
                v = y_g[e] * z_g[e] / (ONE + exp2(-LOG2_E * z_g[e]))
                out_g[e] = v
                squares += v * v
            scale = ONE / np.sqrt(squares / np.float32(width) + eps[0])
            for e in range(width):
                out_g[e] *= scale * w_g[e]


@compiled
def _backward(
    y: ndarray,
    z: ndarray,
    weight: ndarray,
    dout: ndarray,
    eps: ndarray,
    dy: ndarray,
    dz: ndarray,
    dweight: ndarray,
    scratch: ndarray,
    first: int,
    last: int,
) -> None:
    """With v = y silu(z), r = 1 / sqrt(mean v^2 + eps): dv = r (w dout - v r^2 mean(w dout v))."""
    rows, groups, width = y.shape
    for s in range(first, last):
        dweight[s] = ZERO
        for row in range(s * ROWS, min((s + 1) * ROWS, rows)):
            for g in range(groups):
                y_g, z_g, d_g, w_g = y[row, g], z[row, g], dout[row, g], weight[0, g]
                dy_g, dz_g, dw_g = dy[row, g], dz[row, g], dweight[s, g]
                squares, along = ZERO, ZERO
                for e in range(width):
                    gate = ONE / (ONE + exp2(-LOG2_E * z_g[e]))
                    v = y_g[e] * z_g[e] * gate
                    dz_g[e] = gate
                    dy_g[e] = v
                    squares += v * v
                    along += w_g[e] * d_g[e] * v
                scale = ONE / np.sqrt(squares / np.float32(width) + eps[0])
                along *= scale * scale / np.float32(width)
                for e in range(width):
                    v, gate = dy_g[e], dz_g[e]
                    dw_g[e] += d_g[e] * v * scale
                    dv = scale * (w_g[e] * d_g[e] - v * along)
                    dy_g[e] = dv * z_g[e] * gate
                    dz_g[e] = dv * y_g[e] * gate * (ONE + z_g[e] * (ONE - gate))
