"""The short convolution of Mamba: depthwise, causal, followed by SiLU; its definition and its backends.

`nn.Conv1d(groups=E)` computes the same, but its backward on a CPU costs several times the rest of
the layer; K shifted multiply-adds cost K passes over the input.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from archs.kernels.scan import check_shapes, resolve


def causal_convolution(
    x: Tensor, weight: Tensor, bias: Tensor, past: Tensor | None = None, backend: str | None = None
) -> Tensor:
    """silu(bias + sum_k weight[:, k] x_(t - K + 1 + k)), so that tap K-1 reads the present.

    x        (batch, T, E); weight (E, K); bias (E,).
    past     (batch, K-1, E), the inputs before x, oldest first; None: zeros.
    backend  as in `selective_scan`; every name but numba means plain tensor operations.
    Gives (batch, T, E) in x's dtype, computed in float32 or, from float64, in float64. Raises ValueError
    for shapes that do not fit each other.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    (batch, _, E), K = x.shape, weight.shape[-1]
    if past is None:
        past = x.new_zeros(batch, K - 1, E)
    check_shapes(weight=(weight, (E, K)), bias=(bias, (E,)), past=(past, (batch, K - 1, E)))
    inputs = tuple(t.to(dtype) for t in (x, weight, bias, past))
    if resolve(backend, x.device, dtype) == "numba":
        from archs.kernels.convolution_numba import convolution

        return convolution(*inputs).to(x.dtype)
    return reference(*inputs).to(x.dtype)


def reference(x: Tensor, weight: Tensor, bias: Tensor, past: Tensor) -> Tensor:
    """The definition, as shifted multiply-adds."""
    T, K = x.shape[1], weight.shape[1]
    padded = torch.cat([past, x], 1)
    y = bias.expand_as(x)
    for k in range(K):
        y = torch.addcmul(y, padded[:, k : k + T], weight[:, k])
    return F.silu(y)
