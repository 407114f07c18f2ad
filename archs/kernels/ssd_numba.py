"""What `archs.kernels.ssd_passes` does between the products of SSD, compiled, for float32 on a CPU.

Each pass reads its inputs once and writes its outputs once; of a chunk's q x q matrices only the
lower triangle is computed. A slice is one chunk of one sequence (k), or one head or group of it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from archs.kernels.compiled import LOG2_E, ZERO, compiled, exp2, spread
from archs.kernels.ssd_passes import FORGOTTEN

LEAST = np.float32(FORGOTTEN)


def spread_out(x: Tensor, head_scale: Tensor, token_scale: Tensor, G: int) -> tuple[Tensor, Tensor]:
    (k, H, q), P = head_scale.shape, x.shape[3]
    by_head, by_token = x.new_empty(k, H, q, P), x.new_empty(k, G, q, H // G, P)
    spread(_spread_out, k, x.numel(), 1, x, head_scale, token_scale, by_head, by_token)
    return by_head.flatten(0, 1), by_token.view(k * G, q, -1)


def decay(scores: Tensor, sums: Tensor) -> Tensor:
    k, H, q = sums.shape
    out = scores.new_empty(k, H, q, q)
    spread(_decay, k * H, out.numel(), 1, scores.view(k, -1, q, q), sums, out)
    return out.flatten(0, 1)


def decay_backward(scores: Tensor, sums: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    k, H, q = sums.shape
    scores = scores.view(k, -1, q, q)
    decayed, dscores, dsums = torch.empty_like(d), torch.empty_like(scores), torch.empty_like(sums)
    by_head = (k, H, q, q)
    outputs = (decayed.view(by_head), dscores, dsums)
    spread(_decay_backward, k * scores.shape[1], d.numel(), 1, scores, sums, d.view(by_head), *outputs)
    return decayed, dscores.flatten(0, 1), dsums


def pass_on(states: Tensor, past: Tensor) -> None:
    chunks, batch, H = len(states) - 1, *states.shape[1:3]
    spread(_pass_on, batch * H, states.numel(), 1, states.flatten(3).flatten(1, 2), past.view(chunks, -1))


def pass_back(dstates: Tensor, states: Tensor, past: Tensor) -> Tensor:
    flat = (len(states), states.shape[1] * states.shape[2], -1)
    dpast = torch.empty_like(past)
    arrays = (dstates.view(flat), states.view(flat), past.view(flat[0] - 1, -1), dpast.view(flat[0] - 1, -1))
    spread(_pass_back, flat[1], states.numel(), 1, *arrays)
    return dpast


def add_up(near: Tensor, far: Tensor, past: Tensor, x: Tensor, D: Tensor) -> Tensor:
    (k, H, q), P = past.shape, x.shape[3]
    y = torch.empty_like(x)
    G = len(far) // k
    arrays = (near.view(k, H, q, P), far.view(k, G, q, H // G, P), past, x, D, y)
    spread(_add_up, k, x.numel(), 1, *arrays)
    return y


def add_up_backward(
    dnear: Tensor,
    dfar: Tensor,
    x: Tensor,
    step: Tensor,
    tail: Tensor,
    dy: Tensor,
    dy_past: Tensor,
    far: Tensor,
    D: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    (k, H, q), P = step.shape, x.shape[3]
    by_token = (k, len(far) // k, q, -1, P)
    dx, dD = torch.empty_like(x), step.new_empty(k, H)
    dstep, dpast, dtail = (torch.empty_like(step) for _ in range(3))
    far_ones = (dfar.view(by_token), dy_past.view(by_token), far.view(by_token))
    arrays = (dnear.view(k, H, q, P), *far_ones, x, dy, step, tail, D)
    spread(_add_up_backward, k, x.numel(), 1, *arrays, dx, dstep, dpast, dtail, dD)
    return dx, dstep, dpast, dtail, dD.sum(0)


@compiled
def _spread_out(
    x: ndarray,
    head_scale: ndarray,
    token_scale: ndarray,
    by_head: ndarray,
    by_token: ndarray,
    scratch: ndarray,
    first: int,
    last: int,
) -> None:
    batch, _, H, P = x.shape
    q, R = by_head.shape[2], by_token.shape[3]
    for k in range(first, last):
        c, b = k // batch, k % batch
        for h in range(H):
            for i in range(q):
                source, head, token = (
                    x[b, c * q + i, h],
                    by_head[k, h, i],
                    by_token[k, h // R, i, h % R],
                )
                s, t = head_scale[k, h, i], token_scale[k, h, i]
                for p in range(P):
                    head[p] = s * source[p]
                    token[p] = t * source[p]


def _exponential(a: np.float32) -> np.float32:
    """exp(a), 0 from FORGOTTEN down."""
    return ZERO if a <= LEAST else exp2(LOG2_E * a)


_decay_over = compiled(_exponential, exact=True)


@compiled
def _decay(scores: ndarray, sums: ndarray, out: ndarray, scratch: ndarray, first: int, last: int) -> None:
    H, q = sums.shape[1:]
    R = H // scores.shape[1]
    for s in range(first, last):
        k, h = s // H, s % H
        for i in range(q):
            sum_i, row, to = sums[k, h, i], scores[k, h // R, i], out[k, h, i]
            for j in range(i):
                to[j] = row[j] * _decay_over(sum_i - sums[k, h, j])
            to[i] = row[i]
            to[i + 1 :] = ZERO


@compiled
def _decay_backward(
    scores: ndarray,
    sums: ndarray,
    d: ndarray,
    decayed: ndarray,
    dscores: ndarray,
    dsums: ndarray,
    scratch: ndarray,
    first: int,
    last: int,
) -> None:
    H, q = sums.shape[1:]
    G = scores.shape[1]
    R = H // G
    for s in range(first, last):
        k, g = s // G, s % G
        dscores[k, g] = ZERO
        for h in range(g * R, (g + 1) * R):
            gained = dsums[k, h]
            gained[:] = ZERO
            for i in range(q):
                sum_i, lost = sums[k, h, i], ZERO
                row, drow = scores[k, g, i], dscores[k, g, i]
                to, d_i = decayed[k, h, i], d[k, h, i]
                for j in range(i):
                    weight = _decay_over(sum_i - sums[k, h, j])
                    to[j] = row[j] * weight
                    drow[j] += d_i[j] * weight
                    gain = d_i[j] * to[j]
                    gained[j] += gain
                    lost += gain
                to[i] = row[i]
                drow[i] += d_i[i]
                to[i + 1 :] = ZERO
                gained[i] -= lost


@compiled
def _pass_on(states: ndarray, past: ndarray, scratch: ndarray, first: int, last: int) -> None:
    for s in range(first, last):
        for c in range(len(past)):
            before, after, kept = states[c, s], states[c + 1, s], past[c, s]
            for n in range(len(before)):
                after[n] += kept * before[n]


@compiled
def _pass_back(
    dstates: ndarray,
    states: ndarray,
    past: ndarray,
    dpast: ndarray,
    scratch: ndarray,
    first: int,
    last: int,
) -> None:
    for s in range(first, last):
        for c in range(len(past) - 1, -1, -1):
            dbefore, dafter, before = dstates[c, s], dstates[c + 1, s], states[c, s]
            kept, total = past[c, s], ZERO
            for n in range(len(before)):
                total += dafter[n] * before[n]
                dbefore[n] += kept * dafter[n]
            dpast[c, s] = kept * total


@compiled
def _add_up(
    near: ndarray,
    far: ndarray,
    past: ndarray,
    x: ndarray,
    D: ndarray,
    y: ndarray,
    scratch: ndarray,
    first: int,
    last: int,
) -> None:
    batch, _, H, P = x.shape
    q, R = near.shape[2], far.shape[3]
    for k in range(first, last):
        c, b = k // batch, k % batch
        for i in range(q):
            for h in range(H):
                near_i, far_i, kept, d = near[k, h, i], far[k, h // R, i, h % R], past[k, h, i], D[h]
                x_i, y_i = x[b, c * q + i, h], y[b, c * q + i, h]
                for p in range(P):
                    y_i[p] = near_i[p] + kept * far_i[p] + d * x_i[p]


@compiled
def _add_up_backward(
    dnear: ndarray,
    dfar: ndarray,
    dy_past: ndarray,
    far: ndarray,
    x: ndarray,
    dy: ndarray,
    step: ndarray,
    tail: ndarray,
    D: ndarray,
    dx: ndarray,
    dstep: ndarray,
    dpast: ndarray,
    dtail: ndarray,
    dD: ndarray,
    scratch: ndarray,
    first: int,
    last: int,
) -> None:
    batch, _, H, P = x.shape
    q, R = dnear.shape[2], far.shape[3]
    for k in range(first, last):
        c, b = k // batch, k % batch
        dD[k] = ZERO
        for i in range(q):
            for h in range(H):
                g, r, t = h // R, h % R, c * q + i
                dnear_i, dfar_i, dy_past_i, far_i = (
                    dnear[k, h, i],
                    dfar[k, g, i, r],
                    dy_past[k, g, i, r],
                    far[k, g, i, r],
                )
                x_i, dy_i, dx_i = x[b, t, h], dy[b, t, h], dx[b, t, h]
                step_i, tail_i, skip = step[k, h, i], tail[k, h, i], D[h]
                total, late, early, through = ZERO, ZERO, ZERO, ZERO
                for p in range(P):
                    d = dnear_i[p] + tail_i * dfar_i[p]
                    total += d * x_i[p]
                    late += dfar_i[p] * x_i[p]
                    early += dy_past_i[p] * far_i[p]
                    through += dy_i[p] * x_i[p]
                    dx_i[p] = step_i * d + skip * dy_i[p]
                dstep[k, h, i] = total
                dtail[k, h, i] = late * tail_i * step_i
                dpast[k, h, i] = early
                dD[k, h] += through
