"""One token of Mamba's mixer between its two outer projections, compiled, for decoding on a CPU.

A token is so little work that the calls cost more than what they compute: the convolution, the maps
to delta, B and C, the recurrence and the gate are one call here instead of thirty. There is no
backward, and no thread but the caller's.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from archs.kernels.compiled import LOG2_E, ONE, ZERO, compiled, exp2
from archs.kernels.scan import check_shapes


def step(xz: Tensor, past: Tensor, h: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """xz (batch, 2 E), past (batch, K-1, E), h (batch, E, N) to y (batch, E), and the next past and h.

    parameters: the weights of the convolution (E, K), its bias (E), x_proj (R + 2 N, E), dt_proj (E, R),
    its bias (E), A_log (E, N), D (E). All float32 on a CPU; none takes part in autograd. Writes into
    past and h where they are contiguous. Raises ValueError for a state of another shape.
    """
    (E, K), N, batch, maps = parameters[0].shape, parameters[5].shape[1], len(xz), parameters[2]
    check_shapes(past=(past, (batch, K - 1, E)), h=(h, (batch, E, N)))
    y, past, h = torch.empty(batch, E), past.contiguous(), h.contiguous()
    scratch = torch.empty(E + len(maps))
    _step(*(t.detach().numpy() for t in (xz.contiguous(), past, h, *parameters, y, scratch)))
    torch.autograd.graph.increment_version((past, h))  # a graph that saved them must not go on unwarned
    return y, past, h


@compiled
def _step(
    xz: ndarray,
    past: ndarray,
    h: ndarray,
    conv_weight: ndarray,
    conv_bias: ndarray,
    x_proj: ndarray,
    dt_weight: ndarray,
    dt_bias: ndarray,
    A_log: ndarray,
    D: ndarray,
    y: ndarray,
    scratch: ndarray,
) -> None:
    (E, K), N, R = conv_weight.shape, A_log.shape[1], dt_weight.shape[1]
    v, projected = scratch[:E], scratch[E:]
    dt, B, C = projected[:R], projected[R : R + N], projected[R + N :]
    for b in range(len(xz)):
        x, z = xz[b, :E], xz[b, E:]
        for e in range(E):
            total = conv_bias[e] + conv_weight[e, K - 1] * x[e]
            for k in range(K - 1):
                total += conv_weight[e, k] * past[b, k, e]
                past[b, k, e] = past[b, k + 1, e] if k < K - 2 else x[e]
            v[e] = total / (ONE + exp2(-LOG2_E * total))
        for i in range(len(projected)):
            total = ZERO
            for e in range(E):
                total += x_proj[i, e] * v[e]
            projected[i] = total
        for e in range(E):
            total = dt_bias[e]
            for i in range(R):
                total += dt_weight[e, i] * dt[i]
            delta = max(total, ZERO) + np.log1p(np.exp(-abs(total)))  # softplus
            out = D[e] * v[e]
            for n in range(N):
                A = -exp2(LOG2_E * A_log[e, n])
                h[b, e, n] = exp2(LOG2_E * delta * A) * h[b, e, n] + delta * v[e] * B[n]
                out += C[n] * h[b, e, n]
            y[b, e] = out * z[e] / (ONE + exp2(-LOG2_E * z[e]))
