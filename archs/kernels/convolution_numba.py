"""The short causal convolution with SiLU on a CPU, compiled: one pass forward and one backward.

A slice is (sequence, LANES channels). Backward recomputes the value before the activation, so that
nothing but the inputs is kept.
"""

from __future__ import annotations

from typing import Any

import torch
from numpy import ndarray
from torch import Tensor
from torch.autograd.function import once_differentiable

from archs.kernels.compiled import BLOCK, LOG2_E, ONE, ZERO, compiled, exp2, spread, widest_vectors

LANES = 4 * BLOCK  # so little is done per channel that the loops over a shorter row cost more than their sums


def slices_of(x: Tensor) -> int:
    """Slices of x (batch, T, E)."""
    return len(x) * -(-x.shape[2] // LANES)


def convolution(x: Tensor, weight: Tensor, bias: Tensor, past: Tensor) -> Tensor:
    """As `archs.kernels.convolution.reference`, for float32 on a CPU."""
    return _Convolution.apply(*(t.contiguous() for t in (x, weight, bias, past)))


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        x, weight, _, _ = inputs
        K = weight.shape[1]
        y = torch.empty_like(x)
        spread(_forward, slices_of(x), x.numel() * K, (2 * K + 2) * LANES // BLOCK, *inputs, y)
        ctx.save_for_backward(*inputs)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        inputs = ctx.saved_tensors
        x, weight, _, past = inputs
        (batch, _, E), K = x.shape, weight.shape[1]
        dx, dpast = torch.empty_like(x), torch.empty_like(past)
        dweight, dbias = torch.empty(batch, E, K), torch.empty(batch, E)
        arrays = (*inputs, dy.contiguous(), dx, dweight, dbias, dpast)
        spread(_backward, slices_of(x), x.numel() * K, (4 * K + 4) * LANES // BLOCK, *arrays)
        return dx, dweight.sum(0), dbias.sum(0), dpast


@compiled
def _forward(
    x: ndarray,
    weight: ndarray,
    bias: ndarray,
    past: ndarray,
    y: ndarray,
    scratch: ndarray,
    first: int,
    last: int,
) -> None:
    widest_vectors()
    T, E = x.shape[1:]
    K = weight.shape[1]
    rows = scratch.reshape(-1, LANES)
    taps, recent, total = rows[: K + 1], rows[K + 1 : 2 * K + 1], rows[2 * K + 1]
    per_sequence = (E + LANES - 1) // LANES
    for s in range(first, last):
        b, e0 = s // per_sequence, s % per_sequence * LANES
        width = min(LANES, E - e0)
        scratch[:] = ZERO
        _begin(weight, bias, past, taps, recent, b, e0, width)
        for t in range(T):
            x_t, y_t = x[b, t, e0 : e0 + width], y[b, t, e0 : e0 + width]
            for e in range(width):
                recent[t % K, e] = x_t[e]
            _before_activation(taps, recent, t, total)
            for e in range(LANES):
                total[e] /= ONE + exp2(-LOG2_E * total[e])
            for e in range(width):
                y_t[e] = total[e]


@compiled
def _backward(
    x: ndarray,
    weight: ndarray,
    bias: ndarray,
    past: ndarray,
    dy: ndarray,
    dx: ndarray,
    dweight: ndarray,
    dbias: ndarray,
    dpast: ndarray,
    scratch: ndarray,
    first: int,
    last: int,
) -> None:
    widest_vectors()
    T, E = x.shape[1:]
    K = weight.shape[1]
    rows = scratch.reshape(-1, LANES)
    taps, recent, total = rows[: K + 1], rows[K + 1 : 2 * K + 1], rows[2 * K + 1]
    dtaps, drecent, dtotal = rows[2 * K + 2 : 3 * K + 3], rows[3 * K + 3 : 4 * K + 3], rows[4 * K + 3]
    per_sequence = (E + LANES - 1) // LANES
    for s in range(first, last):
        b, e0 = s // per_sequence, s % per_sequence * LANES
        width = min(LANES, E - e0)
        scratch[:] = ZERO
        _begin(weight, bias, past, taps, recent, b, e0, width)
        for t in range(T):
            x_t, dy_t = x[b, t, e0 : e0 + width], dy[b, t, e0 : e0 + width]
            for e in range(width):
                recent[t % K, e] = x_t[e]
                dtotal[e] = dy_t[e]
            _before_activation(taps, recent, t, total)
            for e in range(LANES):
                gate = ONE / (ONE + exp2(-LOG2_E * total[e]))
                dtotal[e] *= gate * (ONE + total[e] * (ONE - gate))
                dtaps[K, e] += dtotal[e]
            for k in range(K):
                slot = (t + 1 + k) % K
                for e in range(LANES):
                    drecent[slot, e] += taps[k, e] * dtotal[e]
                    dtaps[k, e] += recent[slot, e] * dtotal[e]
            _emit(drecent, dx, dpast, b, t - K + 1, e0, width)  # no later step reads that input
        for source in range(T - K + 1, T):
            _emit(drecent, dx, dpast, b, source, e0, width)
        for e in range(width):
            dbias[b, e0 + e] = dtaps[K, e]
            for k in range(K):
                dweight[b, e0 + e, k] = dtaps[k, e]


@compiled
def _begin(
    weight: ndarray, bias: ndarray, past: ndarray, taps: ndarray, recent: ndarray, b: int, e0: int, width: int
) -> None:
    """taps: K weights, then the bias. recent: the last K inputs in a ring, that of step t in slot t mod K."""
    K = weight.shape[1]
    for e in range(width):
        taps[K, e] = bias[e0 + e]
        for k in range(K):
            taps[k, e] = weight[e0 + e, k]
        for k in range(K - 1):
            recent[k + 1, e] = past[b, k, e0 + e]  # step k - K + 1


@compiled
def _before_activation(taps: ndarray, recent: ndarray, t: int, total: ndarray) -> None:
    """total = bias + sum_k weight[k] x_(t - K + 1 + k), for one step."""
    K = recent.shape[0]
    for e in range(LANES):
        total[e] = taps[K, e]
    for k in range(K):
        slot = (t + 1 + k) % K
        for e in range(LANES):
            total[e] += taps[k, e] * recent[slot, e]


@compiled
def _emit(drecent: ndarray, dx: ndarray, dpast: ndarray, b: int, source: int, e0: int, width: int) -> None:
    """Hand over the gradient of the input of step `source`, and empty its slot for the step K later."""
    K = drecent.shape[0]
    slot = (source + K) % K
    target = dx[b, source, e0 : e0 + width] if source >= 0 else dpast[b, source + K - 1, e0 : e0 + width]
    for e in range(width):
        target[e] = drecent[slot, e]
    for e in range(LANES):
        drecent[slot, e] = ZERO
