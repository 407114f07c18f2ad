"""The selective scan of Mamba (S6; Gu & Dao 2023, section 3): its definition and the choice of a backend."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

BACKENDS = ("reference", "torch", "numba", "mamba_ssm")


def reference(
    x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    """One step after the other: the definition that every backend is tested against.

    Shapes as in `selective_scan`; h (batch, E, N) is the state before the first step.
    """
    outputs = []
    for x_t, delta_t, B_t, C_t in zip(x.unbind(1), delta.unbind(1), B.unbind(1), C.unbind(1), strict=True):
        decay = torch.exp(delta_t[..., None] * A)  # (batch, E, N): zero-order hold
        h = decay * h + (delta_t * x_t)[..., None] * B_t[:, None]  # Euler
        outputs.append((h * C_t[:, None]).sum(-1) + D * x_t)
    return torch.stack(outputs, 1), h


def selective_scan(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    h0: Tensor | None = None,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """y_t = C_t . h_t + D x_t, where h_t = exp(delta_t A) h_(t-1) + delta_t B_t x_t.

    x, delta  (batch, T, E): inputs, and step sizes >= 0. A step of size 0 leaves the state as it is.
    A         (E, N), negative; B, C (batch, T, N); D (E,).
    h0        (batch, E, N), the state before the first step; None: zeros.
    backend   one of BACKENDS; None takes the fastest that the device and dtype allow.
    Gives y (batch, T, E) in x's dtype and the last state (batch, E, N), both differentiable with
    respect to everything. Whatever the dtypes and autocast, it computes in float32, or in float64
    where x or delta are float64. Raises ValueError for a shape that does not fit the others, and for
    a backend that cannot do what is asked (mamba_ssm alone hands a state before the first step to torch).
    """
    dtype = torch.promote_types(torch.promote_types(x.dtype, delta.dtype), torch.float32)
    name = resolve(backend, x.device, dtype)
    if name == "mamba_ssm" and h0 is not None:
        name = "torch"  # mamba_ssm knows no initial state
    if h0 is None:
        h0 = torch.zeros(x.shape[0], *A.shape, dtype=dtype, device=x.device)
    (batch, T, E), N = x.shape, A.shape[-1]
    check_shapes(delta=(delta, (batch, T, E)), A=(A, (E, N)), B=(B, (batch, T, N)), C=(C, (batch, T, N)))
    check_shapes(D=(D, (E,)), h0=(h0, (batch, E, N)))
    with full_precision(x.device):
        y, h = _implementation(name)(*(t.to(dtype) for t in (x, delta, A, B, C, D, h0)))
    return y.to(x.dtype), h


def check_shapes(**tensors: tuple[Tensor, tuple[int, ...]]) -> None:
    """ValueError naming the first tensor of another shape: compiled kernels would read past its end."""
    for name, (tensor, shape) in tensors.items():
        if tensor.shape != shape:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected {shape}")


def resolve(backend: str | None, device: torch.device, dtype: torch.dtype) -> str:
    """The backend to use: the one asked for if it can run, or the fastest that can."""
    if backend is not None and backend not in BACKENDS:
        raise ValueError(f"backend={backend!r} is unknown; use one of {', '.join(BACKENDS)} or null")
    if backend in ("reference", "torch"):
        return backend
    compiled = device.type == "cpu" and dtype == torch.float32
    fused = device.type == "cuda" and dtype == torch.float32 and _installed("mamba_ssm")
    if backend == "numba" and not compiled:
        raise ValueError(
            f"backend='numba' computes in float32 on a CPU, not in {dtype} on {device}; use 'torch'"
        )
    if backend == "mamba_ssm" and not fused:
        raise ValueError(
            f"backend='mamba_ssm' needs a GPU and pip install 'archs[mamba]', on {device}; use 'torch'"
        )
    return "numba" if compiled else "mamba_ssm" if fused else "torch"


def full_precision(device: torch.device) -> AbstractContextManager:
    """Autocast off, where there is one (the meta device knows none)."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


@cache
def _installed(package: str) -> bool:
    return find_spec(package) is not None


def _implementation(name: str) -> Callable[..., tuple[Tensor, Tensor]]:
    if name == "numba":  # imported when first used: numba takes half a second
        from archs.kernels.scan_numba import scan
    elif name == "mamba_ssm":
        from archs.kernels.scan_mamba_ssm import scan
    elif name == "torch":
        from archs.kernels.scan_torch import scan
    else:
        return reference
    return scan
