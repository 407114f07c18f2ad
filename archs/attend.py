"""Softmax attention as pure functions: who may attend to whom, and how that is computed.

All shapes are (B, H, T, Dh) for queries and (B, Hkv, S, Dh) for keys and values; Hkv divides H.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor


def allowed(q_pos: Tensor, k_pos: Tensor, causal: bool, window: int | None = None) -> Tensor:
    """May the query at q_pos (..., T) read the key at k_pos (..., S)? Bool (..., T, S).

    causal: only what stands at or before it. window: only what stands less than `window` away, so
    that a causal query sees `window` keys, itself included (Mistral's rule). No position lies below
    0: a negative k_pos is an empty place in a cache or beside a block.
    """
    behind = q_pos[..., :, None] - k_pos[..., None, :]
    may = (k_pos >= 0)[..., None, :].expand_as(behind)
    if causal:
        may = may & (behind >= 0)
    if window is not None:
        may = may & (behind.abs() < window)
    return may


def additive(mask: Tensor | None, bias: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """What `attend` takes as `mask`: bool where there is no bias, else the bias with -inf where masked.

    A query that may read nothing (a pad) reads everything instead: softmax over nothing is NaN, which
    would reach the gradients, while what a pad reads is read by nobody.
    """
    if mask is not None:
        mask = mask | ~mask.any(-1, keepdim=True)
    if bias is None:
        return mask
    bias = bias.to(dtype)
    return bias if mask is None else bias.masked_fill(~mask, -torch.inf)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float,
    causal: bool = False,
    mask: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """softmax(q k^T * scale + mask) v, (B, H, T, Dh). The one place that knows how torch computes it.

    causal: T == S and key j is read by queries i >= j; then mask must be None, and nothing of size
    (T, S) is ever built. mask: broadcastable to (B, H, T, S), bool (True = read) or added to the scores.
    """
    learned = mask is not None and mask.requires_grad and dropout == 0 and q.device.type == "cpu"
    y = F.scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=mask.detach() if mask is not None and learned else mask,
        dropout_p=dropout,
        is_causal=causal,
        scale=scale,
        enable_gqa=k.shape[1] != q.shape[1],
    )
    return _LearnedBias.apply(y, q, k, v, mask, scale) if learned else y


class _LearnedBias(torch.autograd.Function):
    """Passes y = attend(q, k, v, bias) through, and gives bias the gradient that torch's fused kernel omits.

    On a CPU, torch leaves that kernel when a bias is learned, and materialises (B, H, T, S) several
    times over. Here the kernel stays, and the backward pass computes P again, a head of a row at a time,
    which stays in the cache: dbias = P * (dP - sum(dy * y)), where P = softmax(q k^T * scale + bias) and
    dP = dy v^T.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(y, q, k, v, bias)
        ctx.scale = scale
        return y.view_as(y)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        y, q, k, v, bias = ctx.saved_tensors
        wide = torch.promote_types(bias.dtype, torch.float32)
        y, q, k, v, dy_ = (t.to(wide) for t in (y, q, k, v, dy))
        delta = (dy_ * y).sum(-1, keepdim=True)
        total = torch.zeros(bias.shape, dtype=wide)
        group = q.shape[1] // k.shape[1]
        for head, row in product(range(q.shape[1]), range(len(q))):
            at, kv = (row if len(bias) > 1 else 0, head), (row, head // group)
            scores = q[row, head] @ k[kv].mT
            P = torch.add(bias[at], scores, alpha=ctx.scale, out=scores).softmax(-1)
            total[at].addcmul_(P, (dy_[row, head] @ v[kv].mT).sub_(delta[row, head]))
        return dy, None, None, None, total.to(bias.dtype), None


def attend_window(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    window: int,
    causal: bool,
    scale: float,
    keep: Tensor | None = None,
    bias: Callable[[Tensor, Tensor], Tensor | None] | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Attention to keys less than `window` away, equal to masking with `allowed`, linear in S.

    Tokens are cut into blocks of `window`; a block reads itself and its neighbours, since nothing
    further can be allowed:

        causal         q block i  x  k blocks i-1, i          (n, W, 2W) instead of (S, S)
        bidirectional  q block i  x  k blocks i-1, i, i+1

    k, v are of S >= T tokens, q of the last T of them; keep (B, S) masks keys; bias as `Position.bias`.
    """
    (B, H, T, _), S = q.shape, k.shape[2]
    reach = 2 if causal else 3
    tail = -S % window
    blocks = (S + tail) // window
    q = F.pad(q, (0, 0, S - T, tail))
    around = (0, 0, window, tail + (reach - 2) * window)
    k, v = F.pad(k, around), F.pad(v, around)
    # Blocks become the batch, and rows go beside the heads: one mask per block then serves all rows.
    q = rearrange(q, "b h (n w) d -> n (b h) w d", w=window)
    k = _neighbours(k, window, reach, H)
    v = _neighbours(v, window, reach, H)

    own = torch.arange(blocks * window, device=q.device).view(blocks, window)
    near = own[:, :1] - window + torch.arange(reach * window, device=q.device)  # (n, reach W)
    mask = (allowed(own, near, causal, window) & (near < S)[:, None])[:, None]  # (n, 1, W, reach W)
    if keep is not None:
        kept = F.pad(keep, around[2:]).unfold(1, reach * window, window)  # (B, n, reach W)
        mask = mask & repeat(kept, "b n s -> n (b h) 1 s", h=H)
    scores = bias(own[:1], near[:1]) if bias is not None else None  # alike in all blocks
    if scores is not None:
        scores = repeat(scores, "1 h w s -> 1 (b h) w s", b=B)
    y = attend(q, k, v, scale=scale, mask=additive(mask, scores, q.dtype), dropout=dropout)
    return rearrange(y, "n (b h) w d -> b h (n w) d", b=B)[:, :, S - T : S]


def _neighbours(k: Tensor, window: int, reach: int, heads: int) -> Tensor:
    """Padded keys (B, Hkv, (n + reach - 1) W, Dh) to those around each block, (n, B H, reach W, Dh)."""
    blocks = k.unfold(2, reach * window, window)
    return repeat(blocks, "b h n d s -> n (b h g) s d", g=heads // k.shape[1])
