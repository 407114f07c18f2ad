"""Selective scan on a CPU, compiled: a fused forward, and a backward that recomputes the states.

A slice is (sequence, BLOCK channels). Its state, BLOCK x N, stays in the nearest cache while it
walks through time, the innermost loop being over channels so that it vectorises for any N. Forward
keeps the state only where a chunk of CHUNK steps begins; backward walks the chunks from the last to
the first, recomputes the states of one, and runs the adjoint recurrence through it:

    g_t = C_t dy_t + a_(t+1) g_(t+1)             a_t = exp(delta_t A),  p_t = g_t a_t h_(t-1)
    dx_t = delta_t (g_t . B_t) + D dy_t          ddelta_t = x_t (g_t . B_t) + A . p_t
    dA = sum_t delta_t p_t                       dB_t = sum_e g_t delta_t x_t,  dC_t = sum_e dy_t h_t
"""

from __future__ import annotations

from typing import Any

import torch
from numpy import ndarray
from torch import Tensor
from torch.autograd.function import once_differentiable

from archs.kernels.compiled import BLOCK, LN_2, LOG2_E, ZERO, blocks, compiled, exp2, spread, widest_vectors

CHUNK = 32  # steps between saved states: N/32 floats per channel and step saved, 64 N rows of scratch


def scan(
    x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    """As `archs.kernels.scan.reference`, for float32 on a CPU."""
    return _Scan.apply(torch.is_grad_enabled(), *(t.contiguous() for t in (x, delta, A, B, C, D, h)))


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, save: bool, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        x, _, A, _, _, _, h0 = inputs
        (batch, T, E), N = x.shape, A.shape[1]
        slices = batch * blocks(E)
        chunks = -(-T // CHUNK) if save else 0
        y, h = torch.empty_like(x), torch.empty_like(h0)
        starts = torch.empty(slices, chunks, N, BLOCK)
        spread(_forward, slices, x.numel() * N, 2 * N + 3, *inputs, y, h, starts)
        ctx.save_for_backward(*inputs, starts)
        return y, h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, dh: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, starts = ctx.saved_tensors
        x, _, A, B, _, _, h0 = inputs
        (batch, _, E), N = x.shape, A.shape[1]
        dx, ddelta, dh0 = torch.empty_like(x), torch.empty_like(x), torch.empty_like(h0)
        # slices run at once, so that what they share is summed afterwards
        dA, dD = torch.empty_like(h0), torch.empty(batch, E)
        dB, dC = torch.empty(2, blocks(E), *B.shape)
        spread(
            _backward,
            batch * blocks(E),
            x.numel() * N,
            3 * N + 5 + (2 * CHUNK + 1) * N,
            *inputs,
            starts,
            dy.contiguous(),
            dh.contiguous(),
            *(dx, ddelta, dA, dB, dC, dD, dh0),
        )
        return None, dx, ddelta, dA.sum(0), dB.sum(0), dC.sum(0), dD.sum(0), dh0


@compiled
def _forward(
    x: ndarray,
    delta: ndarray,
    A: ndarray,
    B: ndarray,
    C: ndarray,
    D: ndarray,
    h0: ndarray,
    y: ndarray,
    last_h: ndarray,
    starts: ndarray,
    scratch: ndarray,
    first: int,
    last: int,
) -> None:
    widest_vectors()
    T, E = x.shape[1:]
    N = A.shape[1]
    save = starts.shape[1] > 0
    a2, h = scratch[:N], scratch[N : 2 * N]  # A log2(e) and the state, channels innermost
    step, drive, out = scratch[2 * N], scratch[2 * N + 1], scratch[2 * N + 2]
    per_sequence = (E + BLOCK - 1) // BLOCK
    for s in range(first, last):
        b, e0 = s // per_sequence, s % per_sequence * BLOCK
        width = min(BLOCK, E - e0)
        d = D[e0 : e0 + width]
        scratch[:] = ZERO  # channels past the last one stay zero throughout
        for e in range(width):
            for n in range(N):
                a2[n, e] = A[e0 + e, n] * LOG2_E
                h[n, e] = h0[b, e0 + e, n]
        for t in range(T):
            if save and t % CHUNK == 0:
                starts[s, t // CHUNK] = h
            x_t, delta_t = x[b, t, e0 : e0 + width], delta[b, t, e0 : e0 + width]
            for e in range(width):
                step[e] = delta_t[e]
                drive[e] = delta_t[e] * x_t[e]
                out[e] = d[e] * x_t[e]
            for n in range(N):
                B_tn, C_tn = B[b, t, n], C[b, t, n]
                for e in range(BLOCK):
                    h[n, e] = exp2(step[e] * a2[n, e]) * h[n, e] + drive[e] * B_tn
                    out[e] += C_tn * h[n, e]
            y_t = y[b, t, e0 : e0 + width]
            for e in range(width):
                y_t[e] = out[e]
        for e in range(width):
            for n in range(N):
                last_h[b, e0 + e, n] = h[n, e]


@compiled
def _backward(
    x: ndarray,
    delta: ndarray,
    A: ndarray,
    B: ndarray,
    C: ndarray,
    D: ndarray,
    h0: ndarray,
    starts: ndarray,
    dy: ndarray,
    dh: ndarray,
    dx: ndarray,
    ddelta: ndarray,
    dA: ndarray,
    dB: ndarray,
    dC: ndarray,
    dD: ndarray,
    dh0: ndarray,
    scratch: ndarray,
    first: int,
    last: int,
) -> None:
    widest_vectors()
    T, E = x.shape[1:]
    N = A.shape[1]
    a2, g, da = scratch[:N], scratch[N : 2 * N], scratch[2 * N : 3 * N]
    step, drive, dout = scratch[3 * N], scratch[3 * N + 1], scratch[3 * N + 2]
    g_B, A_p = scratch[3 * N + 3], scratch[3 * N + 4]
    states = scratch[3 * N + 5 : 3 * N + 5 + (CHUNK + 1) * N].reshape(CHUNK + 1, N, BLOCK)
    decays = scratch[3 * N + 5 + (CHUNK + 1) * N :].reshape(CHUNK, N, BLOCK)
    per_sequence = (E + BLOCK - 1) // BLOCK
    for s in range(first, last):
        b, block = s // per_sequence, s % per_sequence
        e0 = block * BLOCK
        width = min(BLOCK, E - e0)
        d = D[e0 : e0 + width]
        scratch[: 3 * N + 5] = ZERO
        dd = dD[b, e0 : e0 + width]
        dd[:] = ZERO
        for e in range(width):
            for n in range(N):
                a2[n, e] = A[e0 + e, n] * LOG2_E
                g[n, e] = dh[b, e0 + e, n]
        for chunk in range((T - 1) // CHUNK, -1, -1):
            t0 = chunk * CHUNK
            steps = min(CHUNK, T - t0)
            states[0] = starts[s, chunk]
            for i in range(steps):
                t = t0 + i
                x_t, delta_t = x[b, t, e0 : e0 + width], delta[b, t, e0 : e0 + width]
                for e in range(width):
                    step[e] = delta_t[e]
                    drive[e] = delta_t[e] * x_t[e]
                for n in range(N):
                    B_tn = B[b, t, n]
                    for e in range(BLOCK):
                        decay = exp2(step[e] * a2[n, e])
                        decays[i, n, e] = decay
                        states[i + 1, n, e] = decay * states[i, n, e] + drive[e] * B_tn
            for i in range(steps - 1, -1, -1):
                t = t0 + i
                x_t, delta_t = x[b, t, e0 : e0 + width], delta[b, t, e0 : e0 + width]
                dy_t = dy[b, t, e0 : e0 + width]
                for e in range(width):
                    step[e] = delta_t[e]
                    drive[e] = delta_t[e] * x_t[e]
                    dout[e] = dy_t[e]
                    g_B[e] = ZERO
                    A_p[e] = ZERO
                for n in range(N):
                    B_tn, C_tn = B[b, t, n], C[b, t, n]
                    dB_tn, dC_tn = ZERO, ZERO
                    for e in range(BLOCK):
                        g_t = g[n, e] + C_tn * dout[e]
                        g_next = g_t * decays[i, n, e]
                        p = g_next * states[i, n, e]
                        dB_tn += g_t * drive[e]
                        dC_tn += dout[e] * states[i + 1, n, e]
                        g_B[e] += g_t * B_tn
                        A_p[e] += p * a2[n, e]
                        da[n, e] += p * step[e]
                        g[n, e] = g_next
                    dB[block, b, t, n] = dB_tn
                    dC[block, b, t, n] = dC_tn
                dx_t, ddelta_t = dx[b, t, e0 : e0 + width], ddelta[b, t, e0 : e0 + width]
                for e in range(width):
                    dx_t[e] = step[e] * g_B[e] + d[e] * dout[e]
                    ddelta_t[e] = x_t[e] * g_B[e] + LN_2 * A_p[e]
                    dd[e] += x_t[e] * dout[e]
        for e in range(width):
            for n in range(N):
                dA[b, e0 + e, n] = da[n, e]
                dh0[b, e0 + e, n] = g[n, e]
