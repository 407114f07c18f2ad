"""The state-space dual of Mamba-2 (Dao & Gu 2024, section 6): its definition and the choice of a backend."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from einops import repeat
from torch import Tensor

from archs.kernels.scan import check_shapes, full_precision, resolve

CHUNK = 64  # tokens per chunk: the least work where head_dim and state are about as large


def reference(
    x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    """One step after the other: the definition that every backend is tested against.

    Shapes as in `ssd`; h (batch, H, P, N) is the state before the first step.
    """
    heads_per_group = x.shape[2] // B.shape[2]
    B, C = (repeat(t, "b t g n -> b t (g r) n", r=heads_per_group) for t in (B, C))
    decay = torch.exp(delta * A)
    drive, skip = delta[..., None] * x, D[:, None] * x
    outputs = []
    for t in range(x.shape[1]):
        h = (decay[:, t, :, None, None] * h).addcmul_(drive[:, t, :, :, None], B[:, t, :, None])
        outputs.append((h @ C[:, t, :, :, None]).squeeze(-1) + skip[:, t])
    return torch.stack(outputs, 1), h


def ssd(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    h0: Tensor | None = None,
    chunk: int = CHUNK,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """y_t = h_t C_t + D x_t, where h_t = exp(delta_t A) h_(t-1) + delta_t x_t B_t^T, for each of H heads.

    x         (batch, T, H, P), inputs; delta (batch, T, H), step sizes >= 0. A step of size 0 leaves the
              state as it is.
    A, D      (H,); A negative: one decay per head is what makes the recurrence a product of matrices.
    B, C      (batch, T, G, N), each shared by the H / G heads of its group, in order.
    h0        (batch, H, P, N), the state before the first step; None: zeros.
    chunk     tokens that are computed by matrix products at once; the result does not depend on it.
    backend   as in `selective_scan`: torch and numba are both chunked, numba with compiled passes
              between the products. One step (T = 1) is always the recurrence.
    Gives y (batch, T, H, P) in x's dtype and the last state (batch, H, P, N), both differentiable with
    respect to everything. Whatever the dtypes and autocast, it computes in float32, or in float64
    where x or delta are float64. Raises ValueError for a shape that does not fit the others, and for
    a backend that cannot do what is asked.
    """
    dtype = torch.promote_types(torch.promote_types(x.dtype, delta.dtype), torch.float32)
    name = resolve(backend, x.device, dtype)
    if x.ndim != 4 or B.ndim != 4:
        raise ValueError(
            f"x and B have shapes {tuple(x.shape)}, {tuple(B.shape)}, expected (B, T, H, P), (B, T, G, N)"
        )
    (batch, T, H, P), (G, N) = x.shape, B.shape[2:]
    if T < 1 or chunk < 1:
        raise ValueError(f"T={T} tokens and chunk={chunk} must be at least 1")
    if G < 1 or H % G:
        raise ValueError(f"B has {G} groups, which must divide the {H} heads of x")
    check_shapes(delta=(delta, (batch, T, H)), A=(A, (H,)), D=(D, (H,)))
    check_shapes(B=(B, (batch, T, G, N)), C=(C, (batch, T, G, N)))
    if h0 is not None:
        check_shapes(h0=(h0, (batch, H, P, N)))
    with full_precision(x.device):
        x_, delta, A, B, C, D = (t.to(dtype) for t in (x, delta, A, B, C, D))
        h0 = None if h0 is None else h0.to(dtype)
        if name == "reference" or T == 1:
            h0 = x_.new_zeros(batch, H, P, N) if h0 is None else h0
            y, h = reference(x_, delta, A, B, C, D, h0)
        else:
            y, h = _implementation(name)(x_, delta, A, B, C, D, h0, min(chunk, T))
    return y.to(x.dtype), h


def _implementation(name: str) -> Callable[..., tuple[Tensor, Tensor]]:
    if name == "mamba_ssm":
        from archs.kernels.ssd_mamba_ssm import scan

        return scan
    from archs.kernels import ssd_chunked

    if name == "numba":  # imported when first used: numba takes half a second
        from archs.kernels import ssd_numba

        return partial(ssd_chunked.scan, passes=ssd_numba)
    return ssd_chunked.scan
