"""Mamba-2's mixer: a state-space model whose recurrence is a product of matrices (Dao & Gu 2024)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archs.context import Context
from archs.kernels import BACKENDS, causal_convolution, full_precision, gated_rms_norm, ssd
from archs.s6 import DT_FLOOR, DT_MAX, DT_MIN, last_inputs

A_MIN, A_MAX = 1.0, 16.0


class SSDState(NamedTuple):
    """past (B, K-1, E + 2 G N): what the convolution still reads. h (B, H, P, N): the recurrent state."""

    past: Tensor
    h: Tensor


class GatedNorm(nn.Module):
    """RMSNorm of y silu(z), over each of `groups` groups of channels (Dao & Gu 2024, section 7)."""

    def __init__(self, dim: int, groups: int = 1, eps: float = 1e-5, backend: str | None = None) -> None:
        super().__init__()
        self.groups, self.eps, self.backend = groups, eps, backend
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        return gated_rms_norm(y, z, self.weight, self.groups, self.eps, self.backend)


class SSD(nn.Module):
    """A gated recurrence of H heads, each with one decay per token and a matrix as its state.

    u ─┬─ in_proj ─ conv ─ silu ─ x, B, C ┐             scan, per head:
       ├─ in_proj ─ softplus ──── delta ──┴─ scan ┐       h = exp(delta A) h + delta x B^T
       └─ in_proj ─ z ────────────── silu ─ * ────┴─ norm ─ out_proj       y = h C + D x

    heads    H; head_dim P = inner / heads.
    inner    E, channels of the recurrence; None: 2 dim.
    state    N, state size per channel.
    groups   G: heads of a group share B and C, and a group of channels is normed by itself.
    conv     K, taps of the depthwise convolution that gives a token its neighbours.
    chunk    tokens computed by matrix products at once; changes the speed, not the result.
    backend  of the kernels (archs.kernels.BACKENDS); None: the fastest there is.

    It can only look back and has one input: ValueError for causal=False or cross=True.
    """

    reads_position = False
    state_knobs = ("state",)  # what the size of the state follows from

    def __init__(
        self,
        dim: int,
        causal: bool = True,
        cross: bool = False,
        heads: int = 4,
        inner: int | None = None,
        state: int = 128,
        groups: int = 1,
        conv: int = 4,
        chunk: int = 64,
        eps: float = 1e-5,
        backend: str | None = None,
    ) -> None:
        super().__init__()
        inner = 2 * dim if inner is None else inner
        if cross:
            raise ValueError("SSD has no memory to read: cross-attention needs a mixer such as attention")
        if not causal:
            raise ValueError("SSD can only look back (causal=False asked): use a decoder, or another mixer")
        if backend is not None and backend not in BACKENDS:
            raise ValueError(f"SSD: backend={backend!r} is unknown; use one of {', '.join(BACKENDS)} or null")
        if min(heads, inner, state, groups, conv, chunk) < 1:
            raise ValueError(
                f"SSD: heads={heads}, inner={inner}, state={state}, groups={groups}, conv={conv}, "
                f"chunk={chunk} must be at least 1"
            )
        if inner % heads:
            raise ValueError(f"SSD: heads={heads} must divide inner={inner}")
        if heads % groups:
            raise ValueError(f"SSD: groups={groups} must divide heads={heads}")
        self.dim, self.inner, self.heads, self.groups = dim, inner, heads, groups
        self.head_dim = inner // heads
        self.state, self.taps, self.chunk, self.backend = state, conv, chunk, backend
        self.shared = 2 * groups * state  # channels of B and C
        self.in_proj = nn.Linear(dim, 2 * inner + self.shared + heads, bias=False)  # rows: z, x, B, C, delta
        self.conv_weight = nn.Parameter(torch.empty(inner + self.shared, conv))
        self.conv_bias = nn.Parameter(torch.empty(inner + self.shared))
        self.dt_bias = nn.Parameter(torch.empty(heads))
        self.A_log = nn.Parameter(torch.empty(heads))
        self.D = nn.Parameter(torch.empty(heads))
        self.norm = GatedNorm(inner, groups, eps, backend)
        self.out_proj = nn.Linear(inner, dim, bias=False)
        self.reset_parameters(depth=1)

    @torch.no_grad()
    def reset_parameters(self, depth: int) -> None:
        """As mamba_ssm: torch's default for the maps, out_proj / sqrt(depth), A uniform in -[1, 16], D = 1.

        The bias of delta starts at the inverse softplus of step sizes log-uniform in [0.001, 0.1], so
        that heads begin with memories of different lengths.
        """
        if self.A_log.is_meta:  # shapes alone: size= builds many
            return
        for linear in (self.in_proj, self.out_proj):
            linear.reset_parameters()
        self.out_proj.weight.div_(math.sqrt(depth))
        for parameter in (self.conv_weight, self.conv_bias):
            nn.init.uniform_(parameter, -(self.taps**-0.5), self.taps**-0.5)
        uniform = torch.rand_like(self.dt_bias)
        dt = (math.log(DT_MIN) + uniform * math.log(DT_MAX / DT_MIN)).exp().clamp(min=DT_FLOOR)
        self.dt_bias.copy_(dt + torch.log(-torch.expm1(-dt)))
        self.A_log.uniform_(A_MIN, A_MAX).log_()
        self.D.fill_(1.0)
        self.norm.weight.fill_(1.0)

    def forward(
        self, u: Tensor, ctx: Context, state: SSDState | None = None
    ) -> tuple[Tensor, SSDState | None]:
        """u (B, T, dim) to (B, T, dim), and the state after the kept tokens if a state went in."""
        w_z, w_x, w_dt = self.in_proj.weight.split([self.inner, self.inner + self.shared, self.heads])
        # (B, T, E), and x, B and C side by side (B, T, E + 2 G N); contiguous, as the kernels want them
        z, x = F.linear(u, w_z), F.linear(u, w_x)
        wide = torch.promote_types(x.dtype, torch.float32)  # between the kernels nothing is rounded
        past, h = (None, None) if state is None else (state.past.to(wide), state.h)
        v = causal_convolution(x.to(wide), self.conv_weight, self.conv_bias, past, self.backend)
        v, B, C = v.split([self.inner, self.shared // 2, self.shared // 2], -1)
        v = v.unflatten(-1, (self.heads, -1))
        B, C = (t.unflatten(-1, (self.groups, self.state)) for t in (B, C))
        delta = self._step_sizes(u, w_dt)
        if state is not None and ctx.keep is not None:
            delta = delta * ctx.keep[..., None]  # a step of size 0 leaves the state as it is
        A = -torch.exp(self.A_log.to(torch.promote_types(self.A_log.dtype, torch.float32)))
        y, h = ssd(v, delta, A, B, C, self.D, h, self.chunk, self.backend)
        if state is not None:
            state = SSDState(last_inputs(state.past, x, ctx.keep), h)
        return self.out_proj(self.norm(y.flatten(2), z).to(z.dtype)), state

    def _step_sizes(self, u: Tensor, weight: Tensor) -> Tensor:
        """delta (B, T, H). Not under autocast: half precision would round step sizes by a percent."""
        with full_precision(u.device):
            return F.softplus(F.linear(u.to(weight.dtype), weight, self.dt_bias))

    def init_state(
        self,
        batch: int,
        max_len: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> SSDState:
        """The state before the first token, of the same size for every max_len."""
        past = torch.zeros(batch, self.taps - 1, self.inner + self.shared, device=device, dtype=dtype)
        wide = torch.promote_types(dtype, torch.float32)  # a recurrence adds up what half precision rounds
        head = (self.heads, self.inner // self.heads, self.state)
        return SSDState(past, torch.zeros(batch, *head, device=device, dtype=wide))

    def flops(self, T: int, S: int = 0) -> int:
        """Forward FLOPs of one sequence of T tokens, the same for every S tokens before it.

        The scan, per token, in chunks of Q = min(chunk, T): C B^T 2 Q G N, its product with x 2 Q E, the
        chunk's state 2 E N, what the state before gives 2 E N, passing states on 2 E N / Q. No use is
        made of causality inside a chunk, and the last counts as whole. One token (T = 1) is the
        recurrence: 5 E N.
        """
        E, N, G, Q = self.inner, self.state, self.groups, min(self.chunk, T)
        maps = 2 * self.dim * (2 * E + self.shared + self.heads) + 2 * E * self.dim
        per_token = maps + 2 * self.taps * (E + self.shared) + 4 * E  # 4E: delta x, D x and its sum, the gate
        if T == 1:
            return per_token + 5 * E * N  # decay * h, drive, their sum; readout: 2
        scan = 2 * Q * (G * N + E) + 4 * E * N
        return T * (per_token + scan) + 2 * E * N * -(-T // Q)

    def state_bytes(self, T: int, S: int = 0, dtype: torch.dtype = torch.float32) -> int:
        """Bytes of state of one sequence, the same for every T and S."""
        wide = torch.promote_types(dtype, torch.float32)
        past = (self.taps - 1) * (self.inner + self.shared)
        return past * dtype.itemsize + self.inner * self.state * wide.itemsize
