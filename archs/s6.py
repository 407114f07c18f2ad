"""Mamba's mixer: a selective state-space model (Gu & Dao 2023, "Mamba", figure 3)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archs.context import Context
from archs.kernels import BACKENDS, causal_convolution, full_precision, selective_scan

FUSED = (None, "numba")  # backends with one kernel for a whole token
SMALL_STEP = 8  # rows of a step up to which that kernel, which walks through the rows, is the fastest
DT_MIN, DT_MAX, DT_FLOOR = 1e-3, 1e-1, 1e-4  # step sizes at initialisation, as in the paper's code


class S6State(NamedTuple):
    """past (B, K-1, E): the inputs that the convolution still reads. h (B, E, N): the recurrent state."""

    past: Tensor
    h: Tensor


class S6(nn.Module):
    """A gated recurrence whose decay, input and readout depend on the token.

    u ─┬─ in_proj ─ conv ─ silu ─ scan ─ * ─ out_proj ─       scan: h = exp(delta A) h + delta B x
       └─ in_proj ─ silu ────────────────┘                          y = C h + D x

    inner    E, channels of the recurrence; None: 2 dim.
    state    N, state size per channel.
    conv     K, taps of the depthwise convolution that gives a token its neighbours.
    dt_rank  R, rank of the map to the step sizes delta; None: ceil(dim / 16).
    backend  of the scan (archs.kernels.BACKENDS); None: the fastest there is.

    It can only look back and has one input: ValueError for causal=False or cross=True.
    """

    reads_position = False
    no_weight_decay = ("A_log",)
    state_knobs = ("state",)  # what the size of the state follows from

    def __init__(
        self,
        dim: int,
        causal: bool = True,
        cross: bool = False,
        inner: int | None = None,
        state: int = 16,
        conv: int = 4,
        dt_rank: int | None = None,
        backend: str | None = None,
    ) -> None:
        super().__init__()
        if cross:
            raise ValueError("S6 has no memory to read: cross-attention needs a mixer such as attention")
        if not causal:
            raise ValueError("S6 can only look back (causal=False asked): use a decoder, or another mixer")
        if backend is not None and backend not in BACKENDS:
            raise ValueError(f"S6: backend={backend!r} is unknown; use one of {', '.join(BACKENDS)} or null")
        self.dim, self.inner, self.state, self.taps = dim, 2 * dim if inner is None else inner, state, conv
        self.dt_rank = math.ceil(dim / 16) if dt_rank is None else dt_rank
        self.backend = backend
        if min(self.inner, state, conv, self.dt_rank) < 1:
            raise ValueError(
                f"S6: inner={inner}, state={state}, conv={conv}, dt_rank={dt_rank} must be at least 1"
            )
        self.in_proj = nn.Linear(dim, 2 * self.inner, bias=False)  # rows: x, then the gate z
        self.conv_weight = nn.Parameter(torch.empty(self.inner, conv))
        self.conv_bias = nn.Parameter(torch.empty(self.inner))
        self.x_proj = nn.Linear(self.inner, self.dt_rank + 2 * state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, self.inner)
        self.A_log = nn.Parameter(torch.empty(self.inner, state))
        self.D = nn.Parameter(torch.empty(self.inner))
        self.out_proj = nn.Linear(self.inner, dim, bias=False)
        self.reset_parameters(depth=1)

    @torch.no_grad()
    def reset_parameters(self, depth: int) -> None:
        """As mamba_ssm: torch's default for the maps, out_proj / sqrt(depth), A = -1..-N (S4D-real), D = 1.

        The bias of delta starts at the inverse softplus of step sizes log-uniform in [0.001, 0.1], so
        that channels begin with memories of different lengths.
        """
        if self.A_log.is_meta:  # shapes alone: size= builds many
            return
        for linear in (self.in_proj, self.x_proj, self.out_proj):
            linear.reset_parameters()
        self.out_proj.weight.div_(math.sqrt(depth))
        for parameter in (self.conv_weight, self.conv_bias):
            nn.init.uniform_(parameter, -(self.taps**-0.5), self.taps**-0.5)
        nn.init.uniform_(self.dt_proj.weight, -(self.dt_rank**-0.5), self.dt_rank**-0.5)
        uniform = torch.rand_like(self.dt_proj.bias)
        dt = (math.log(DT_MIN) + uniform * math.log(DT_MAX / DT_MIN)).exp().clamp(min=DT_FLOOR)
        self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))
        self.A_log.copy_(torch.arange(1, self.state + 1).log().expand_as(self.A_log))
        self.D.fill_(1.0)

    def forward(self, u: Tensor, ctx: Context, state: S6State | None = None) -> tuple[Tensor, S6State | None]:
        """u (B, T, dim) to (B, T, dim), and the state after the kept tokens if a state went in."""
        if state is not None and self._is_small_step(u, ctx, state):
            return self._small_step(u, state)
        w_x, w_z = self.in_proj.weight.chunk(2)
        x, z = F.linear(u, w_x), F.linear(u, w_z)  # (B, T, E) each, contiguous as the kernels want them
        wide = torch.promote_types(x.dtype, torch.float32)  # what the kernels compute in
        past, h = (None, None) if state is None else (state.past, state.h)
        v = causal_convolution(x.to(wide), self.conv_weight, self.conv_bias, past, self.backend)
        dt, B, C = self.x_proj(v.to(x.dtype)).split([self.dt_rank, self.state, self.state], -1)
        delta = self._step_sizes(dt)
        if state is not None and ctx.keep is not None:
            delta = delta * ctx.keep[..., None]  # a step of size 0 leaves the state as it is
        A = -torch.exp(self.A_log.to(torch.promote_types(self.A_log.dtype, torch.float32)))
        y, h = selective_scan(v, delta, A, B, C, self.D, h, self.backend)
        if state is not None:
            state = S6State(last_inputs(state.past, x, ctx.keep), h)
        return self.out_proj((y * F.silu(z)).to(x.dtype)), state

    def _is_small_step(self, u: Tensor, ctx: Context, state: S6State) -> bool:
        """Whether this is one token of a few rows, in decoding, where the compiled kernels run."""
        if u.shape[1] != 1 or ctx.keep is not None or torch.is_grad_enabled() or self.backend not in FUSED:
            return False
        if u.device.type != "cpu" or torch.is_autocast_enabled("cpu") or len(u) > SMALL_STEP:
            return False
        return u.dtype == state.past.dtype == torch.float32

    def _small_step(self, u: Tensor, state: S6State) -> tuple[Tensor, S6State]:
        """As `forward`, in fewer calls."""
        from archs.kernels.scan_step import step  # imported when first used: numba takes half a second

        xz = F.linear(u[:, 0], self.in_proj.weight)
        convolution = (self.conv_weight, self.conv_bias)
        maps = (self.x_proj.weight, self.dt_proj.weight, self.dt_proj.bias)
        y, past, h = step(xz, state.past, state.h, *convolution, *maps, self.A_log, self.D)
        return F.linear(y, self.out_proj.weight)[:, None], S6State(past, h)

    def _step_sizes(self, dt: Tensor) -> Tensor:
        """delta (B, T, E). Not under autocast: half precision would round step sizes by a percent."""
        weight, bias = self.dt_proj.weight, self.dt_proj.bias
        with full_precision(dt.device):
            return F.softplus(F.linear(dt.to(weight.dtype), weight, bias))

    def init_state(
        self,
        batch: int,
        max_len: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> S6State:
        """The state before the first token, of the same size for every max_len."""
        past = torch.zeros(batch, self.taps - 1, self.inner, device=device, dtype=dtype)
        wide = torch.promote_types(dtype, torch.float32)  # a recurrence adds up what half precision rounds
        return S6State(past, torch.zeros(batch, self.inner, self.state, device=device, dtype=wide))

    def flops(self, T: int, S: int = 0) -> int:
        """Forward FLOPs of one sequence of T tokens, the same for every S tokens before it."""
        E, N, R = self.inner, self.state, self.dt_rank
        maps = 2 * self.dim * 2 * E + 2 * E * (R + 2 * N) + 2 * R * E + 2 * E * self.dim
        scan = 7 * E * N  # decay: product and exp; drive, decay * h, sum: 3; readout: 2
        return T * (maps + 2 * self.taps * E + scan + 4 * E)  # 4E: delta x, D x and its sum, the gate

    def state_bytes(self, T: int, S: int = 0, dtype: torch.dtype = torch.float32) -> int:
        """Bytes of state of one sequence, the same for every T and S."""
        wide = torch.promote_types(dtype, torch.float32)
        return self.inner * ((self.taps - 1) * dtype.itemsize + self.state * wide.itemsize)


def last_inputs(past: Tensor, x: Tensor, keep: Tensor | None) -> Tensor:
    """The K-1 newest kept inputs (B, K-1, E) of past followed by x (B, T, E), whose pads are in the tail."""
    held = past.shape[1]
    if keep is None:
        newest = torch.cat([past, x[:, max(0, x.shape[1] - held) :].to(past.dtype)], 1)
        return newest[:, newest.shape[1] - held :].clone()  # a view of x would keep all of it alive
    inputs = torch.cat([past, x.to(past.dtype)], 1)
    last = keep.sum(1)[:, None] + torch.arange(held, device=x.device)  # (B, K-1)
    return inputs.gather(1, last[..., None].expand(-1, -1, x.shape[2]))
