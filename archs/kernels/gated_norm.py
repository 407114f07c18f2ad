"""Mamba-2's gated norm (Dao & Gu 2024, section 7): gate, then RMSNorm by groups; definition and backends."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from archs.kernels.scan import check_shapes, resolve

SMALL = 1 << 12  # numbers that plain operations norm faster than a compiled kernel is called: a decoding step


def gated_rms_norm(
    y: Tensor, z: Tensor, weight: Tensor, groups: int = 1, eps: float = 1e-5, backend: str | None = None
) -> Tensor:
    """v / sqrt(mean(v^2) + eps) * weight, where v = y silu(z) and the mean is over a group of channels.

    y, z     (..., E), E channels in `groups` groups of neighbours; weight (E,).
    backend  as in `selective_scan`; every name but numba, and a small y, means plain tensor operations.
    Gives (..., E) in the wider dtype of y and z, computed in float32 or, from float64, in float64.
    Raises ValueError for shapes that do not fit each other, and where groups do not divide E.
    """
    out = torch.promote_types(y.dtype, z.dtype)
    dtype = torch.promote_types(out, torch.float32)
    E = y.shape[-1]
    check_shapes(z=(z, tuple(y.shape)), weight=(weight, (E,)))
    if groups < 1 or E % groups:
        raise ValueError(f"groups={groups} must divide the {E} channels")
    y, z, weight = (t.to(dtype) for t in (y, z, weight))
    name = resolve(backend, y.device, dtype)
    if name == "numba" and y.numel() > SMALL:
        from archs.kernels.gated_norm_numba import norm

        return norm(y, z, weight, groups, eps).to(out)
    return reference(y, z, weight, groups, eps).to(out)


def reference(y: Tensor, z: Tensor, weight: Tensor, groups: int, eps: float) -> Tensor:
    """The definition."""
    v = rearrange(y * F.silu(z), "... (g e) -> ... g e", g=groups)
    v = v * torch.rsqrt(v.square().mean(-1, keepdim=True) + eps)
    return v.flatten(-2) * weight
