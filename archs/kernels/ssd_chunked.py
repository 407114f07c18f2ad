"""SSD by matrix products inside chunks, anywhere that PyTorch runs (Dao & Gu 2024, section 6).

A sequence is cut into chunks of q tokens. With a_t = delta_t A, its sums s_t from the chunk's start,
and S the state that the chunk starts with (d is short for delta x):

    y_i = sum_(j <= i) exp(s_i - s_j) (C_i . B_j) d_j  +  exp(s_i) S C_i  +  D x_i
    S'  = exp(s_q) S + sum_j exp(s_q - s_j) d_j B_j^T

Every exponent is a sum of a over a stretch, at most 0, so that nothing overflows. C . B is formed per
group, the states of all chunks at once; then they are passed on from one chunk to the next. Backward
recomputes all but those states and what they gave to y, so that memory is linear in T.

Inside, chunks come first, those of one time together: k = (chunk, sequence). A state before or after
every chunk is then a slice of one tensor. Channels are ordered `by head` (k, H, q, P) or `by token`
(k, G, q, H/G P), scalars (k, H, q). `Passes` is what happens between the matrix products.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from archs.kernels import ssd_passes
from archs.kernels.ssd_passes import FORGOTTEN, exponential


def scan(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    h: Tensor | None,
    chunk: int,
    passes: ModuleType = ssd_passes,
) -> tuple[Tensor, Tensor]:
    """As `archs.kernels.ssd.reference`; h may be None: zeros. What is left over is a chunk of its own."""
    T = x.shape[1]
    lengths = [n for n in (T - T % chunk, T % chunk) if n]
    outputs = []
    for x_n, delta_n, B_n, C_n in zip(*(t.split(lengths, 1) for t in (x, delta, B, C)), strict=True):
        y, h = _Chunks.apply(passes, min(chunk, x_n.shape[1]), x_n, delta_n, A, B_n, C_n, D, h)
        outputs.append(y)
    assert h is not None  # T >= 1
    return (outputs[0] if len(outputs) == 1 else torch.cat(outputs, 1)), h


class _Chunks(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        passes: ModuleType,
        q: int,
        x: Tensor,
        delta: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor,
        h: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        (batch, _, H, P), (G, N) = x.shape, B.shape[2:]
        x = x.contiguous()
        step, sums = _sums(delta, A, q)
        B, C = (rearrange(t, "b (c q) g n -> (c b g) q n", q=q) for t in (B, C))
        tail = exponential(sums[..., -1:] - sums)

        by_head, by_token = passes.spread_out(x, step, step * tail, G)
        near = torch.bmm(passes.decay(torch.bmm(C, B.transpose(1, 2)), sums), by_head)
        states = x.new_empty(x.shape[1] // q + 1, batch, H, P, N)
        S = states.view(-1, H // G * P, N)  # (c + 1, batch, G) flat: before a chunk, and b G later, after it
        torch.bmm(by_token.transpose(1, 2), B, out=S[batch * G :])
        if h is None:
            states[0].zero_()
        else:
            states[0] = h
        past = exponential(sums)
        passes.pass_on(states, past[..., -1].contiguous())
        far = torch.bmm(C, S[: -batch * G].transpose(1, 2))
        y = passes.add_up(near, far, past, x, D)
        ctx.passes, ctx.q, ctx.had_h = passes, q, h is not None
        ctx.save_for_backward(x, delta, A, B, C, D, states, far)
        return y, states[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor | None, dh: Tensor | None) -> tuple[Tensor | None, ...]:
        x, delta, A, B, C, D, states, far = ctx.saved_tensors
        passes, q = ctx.passes, ctx.q
        batch, G = x.shape[0], len(B) * q // x.shape[0] // x.shape[1]
        step, sums = _sums(delta, A, q)
        past, tail = exponential(sums), exponential(sums[..., -1:] - sums)
        dy = torch.zeros_like(x) if dy is None else dy.contiguous()

        by_head, by_token = passes.spread_out(x, step, step * tail, G)
        dy_head, dy_token = passes.spread_out(dy, torch.ones_like(step), past, G)
        scores = torch.bmm(C, B.transpose(1, 2))
        dscores = torch.bmm(dy_head, by_head.transpose(1, 2))
        scores, dscores, dsums = passes.decay_backward(scores, sums, dscores)
        dnear = torch.bmm(scores.transpose(1, 2), dy_head)
        dB, dC = torch.bmm(dscores.transpose(1, 2), C), torch.bmm(dscores, B)
        del scores, dscores, by_head, dy_head

        S, dstates = states.view(-1, by_token.shape[2], B.shape[2]), torch.empty_like(states)
        dS = dstates.view_as(S)
        dC.baddbmm_(dy_token, S[: -batch * G])
        torch.bmm(dy_token.transpose(1, 2), C, out=dS[: -batch * G])
        if dh is None:
            dstates[-1].zero_()
        else:
            dstates[-1] = dh
        dlast = passes.pass_back(dstates, states, past[..., -1].contiguous())
        dB.baddbmm_(by_token, dS[batch * G :])
        dfar = torch.bmm(B, dS[batch * G :].transpose(1, 2))
        dx, dstep, dpast, dtail, dD = passes.add_up_backward(dnear, dfar, x, step, tail, dy, dy_token, far, D)
        # a_t is part of s_i for i >= t, of s_q, and of s_q - s_j for j < t
        da = dpast.flip(-1).cumsum(-1).flip(-1) + dlast[..., None]
        da += F.pad((dsums + dtail).cumsum(-1)[..., :-1], (1, 0))
        ddelta = rearrange(dstep + A[:, None] * da, "(c b) h q -> b (c q) h", b=batch)
        dA = (step * da).sum((0, 2))
        dB, dC = (rearrange(t, "(c b g) q n -> b (c q) g n", b=batch, g=G) for t in (dB, dC))
        return None, None, dx, ddelta, dA, dB, dC, dD, dstates[0] if ctx.had_h else None


def _sums(delta: Tensor, A: Tensor, q: int) -> tuple[Tensor, Tensor]:
    """Steps, and delta A summed from the start of each chunk: (k, H, q).

    What one step forgets is forgotten: summing more than FORGOTTEN for it would only cost the digits
    that tell later steps apart.
    """
    step = rearrange(delta, "b (c q) h -> (c b) h q", q=q).contiguous()
    return step, (step * A[:, None]).clamp(min=FORGOTTEN).cumsum(-1)
