"""What `archs.kernels.ssd_chunked` does between its matrix products, as plain tensor operations.

Axes: k = (chunk, sequence), H heads in G groups, q tokens of a chunk, P channels of a head. Tensors
by head are (k H, q, P), by token (k G, q, H/G P), scalars (k, H, q); x and y are (batch, T, H, P).
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

FORGOTTEN = -60.0  # exponents from here down count as 0, or products of 1e-38 would slow a CPU sevenfold


def exponential(a: Tensor) -> Tensor:
    """exp(a) for sums of log decays; 0 (a relative 1e-26) where they are FORGOTTEN or less."""
    return F.threshold(a, FORGOTTEN, -torch.inf).exp_()


def spread_out(x: Tensor, head_scale: Tensor, token_scale: Tensor, G: int) -> tuple[Tensor, Tensor]:
    """x in chunks, by head times one scalar per token and head, and by token times another."""
    q = head_scale.shape[2]
    by_head = rearrange(x, "b (c q) h p -> (c b) h q p", q=q)
    by_token = by_head * token_scale[..., None]
    by_head = by_head * head_scale[..., None]
    return by_head.flatten(0, 1), rearrange(by_token, "k (g r) q p -> (k g) q (r p)", g=G)


def decay(scores: Tensor, sums: Tensor) -> Tensor:
    """(k G, q, q) to (k H, q, q): times exp(s_i - s_j) where j <= i, else 0."""
    k, H, q = sums.shape
    out = _decays(sums).view(k, len(scores) // k, -1, q, q)
    return out.mul_(scores.view(k, -1, 1, q, q)).view(k * H, q, q)


def decay_backward(scores: Tensor, sums: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What `decay` gave, the gradient of its scores, and da as differences: dsums_j - dsums_i.

    d (k H, q, q) is the gradient of what it gave. Of dsums, entry j gets what it is in as s_j and
    loses what it is in as s_i; the diagonal, where the two cancel, is left out.
    """
    k, H, q = sums.shape
    scores = scores.view(k, -1, 1, q, q)
    decays = _decays(sums).view(k, scores.shape[1], -1, q, q)
    d = d.view_as(decays) * decays
    dscores = d.sum(2)
    d = (d * scores).tril_(-1)
    dsums = (d.sum(-2) - d.sum(-1)).view(k, H, q)
    return (decays * scores).view(k * H, q, q), dscores.view(-1, q, q), dsums


def _decays(sums: Tensor) -> Tensor:
    """(k, H, q, q): exp(s_i - s_j) for j <= i, else 0, whatever the exponential is there."""
    differences = sums[..., None] - sums[..., None, :]
    return F.threshold(differences, FORGOTTEN, -torch.inf, inplace=True).exp_().tril_()


def pass_on(states: Tensor, past: Tensor) -> None:
    """In place: states (c + 1, batch, H, P, N), [0] a state and [1:] what chunks add, to the states after."""
    past = past.view(len(states) - 1, *states.shape[1:3], 1, 1)
    for c in range(len(past)):
        states[c + 1].addcmul_(states[c], past[c])


def pass_back(dstates: Tensor, states: Tensor, past: Tensor) -> Tensor:
    """The same backwards: dstates in place, [:-1] what chunks add; gives the gradient of log past (k, H)."""
    past = past.view(len(states) - 1, *states.shape[1:3], 1, 1)
    for c in reversed(range(len(past))):
        dstates[c].addcmul_(dstates[c + 1], past[c])
    return (torch.einsum("cbhpn,cbhpn->cbh", dstates[1:], states[:-1]) * past[..., 0, 0]).flatten(0, 1)


def add_up(near: Tensor, far: Tensor, past: Tensor, x: Tensor, D: Tensor) -> Tensor:
    """y = near (by head) + past * far (by token) + D x."""
    far = rearrange(far, "(k g) q (r p) -> k (g r) q p", k=len(past), p=x.shape[3])
    y = torch.addcmul(near.view_as(far), far, past[..., None])
    return torch.addcmul(rearrange(y, "(c b) h q p -> b (c q) h p", b=len(x)), x, D[:, None])


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
    """dx; dstep, the gradients of log past and of log tail, each (k, H, q); dD.

    Of step * x: dnear by head, and by token dfar, which tail * step * x met. dy_past is dy * past by token.
    """
    k, H, q = step.shape
    chunked = {"p": x.shape[3], "k": k}
    dnear = dnear.view(k, H, q, -1)
    dfar = rearrange(dfar, "(k g) q (r p) -> k (g r) q p", **chunked)
    x_ = rearrange(x, "b (c q) h p -> (c b) h q p", q=q)
    d = torch.addcmul(dnear, dfar, tail[..., None])  # gradient of step * x
    dstep = (d * x_).sum(-1)
    dtail = (dfar * x_).sum(-1) * tail * step
    dpast = rearrange((dy_past * far), "(k g) q (r p) -> k (g r) q p", **chunked).sum(-1)
    dx = torch.addcmul(rearrange(d * step[..., None], "(c b) h q p -> b (c q) h p", b=len(x)), dy, D[:, None])
    return dx, dstep, dpast, dtail, (dy * x).sum((0, 1, 3))
