"""Softmax attention as pure functions: who may attend to whom, and how that is computed.

All shapes are (B, H, T, Dh) for queries and (B, Hkv, S, Dh) for keys and values; Hkv divides H.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
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
    if mask is None:
        return None if bias is None else bias.to(dtype)
    mask = _some(mask)
    return mask if bias is None else bias.to(dtype).masked_fill(~mask, -torch.inf)


def _some(mask: Tensor) -> Tensor:
    """The mask (..., T, S), all True in rows that were all False."""
    return mask | ~mask.any(-1, keepdim=True)


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
    mask: Tensor,
    dropout: float = 0.0,
) -> Tensor:
    """Attention to keys less than `window` away, equal to masking with `allowed`, linear in S.

    Tokens are cut into blocks of `window`; a block reads itself and its neighbours, since nothing
    further can be allowed:

        causal         q block i  x  k blocks i-1, i          (n, W, 2W) instead of (S, S)
        bidirectional  q block i  x  k blocks i-1, i, i+1

    k, v are of S >= T tokens, q of the last T of them; mask from `window_mask`.
    """
    (B, kv_heads, S, _), T = k.shape, q.shape[2]
    q = F.pad(q, (0, 0, S - T, -S % window))
    # Blocks take the place of heads, heads that of rows: the keys around all blocks are then a view of the
    # keys, in which neighbours overlap, and none is stored twice.
    q = rearrange(q, "b (h g) (n w) d -> (b h) n (g w) d", h=kv_heads, w=window)
    k, v = (_around(t.flatten(0, 1), window, causal) for t in (k, v))
    y = attend(q, k, v, scale=scale, mask=mask, dropout=dropout)
    return rearrange(y, "(b h) n (g w) d -> b (h g) (n w) d", b=B, w=window)[:, :, S - T : S]


def window_mask(
    k: Tensor,
    heads: int,
    *,
    window: int,
    causal: bool,
    keep: Tensor | None = None,
    bias: Callable[[Tensor, Tensor], Tensor | None] | None = None,
) -> Tensor:
    """What `attend_window` adds to its scores for keys k (B, Hkv, S, Dh): (1 | B Hkv, n, G W, reach W).

    G = heads / Hkv; keep (B, S) masks keys; bias as `Position.bias`. With a narrow head it is larger than all
    that a layer keeps of its tokens: layers alike should share it.
    """
    B, kv_heads, S, _ = k.shape
    own = torch.arange(window, device=k.device)  # the first block, (W), and what is around it, (reach W)
    near = torch.arange(-window, (_reach(causal) - 1) * window, device=k.device)
    read = allowed(own + window, near + window, causal, window)  # alike in all blocks
    place = torch.arange(0, S, window, device=k.device)[:, None] + near
    there = (place >= 0) & (place < S)  # (n, reach W)
    mask = (read & there[:, None])[None, None, :, None]
    if keep is not None:
        mask = mask & rearrange(_around(keep[..., None], window, causal), "b n s 1 -> b 1 n 1 1 s")
    scores = bias(own[None], near[None]) if bias is not None else None
    if scores is None:
        scores = k.new_zeros(())  # torch would make numbers of a bool mask, for every layer anew
    else:
        scores = rearrange(scores, "1 (h g) w s -> 1 h 1 g w s", h=kv_heads)
    mask = scores.to(k.dtype).masked_fill(~_some(mask), -torch.inf)  # (B | 1, Hkv | 1, n, G | 1, W, reach W)
    rows = (1, 1) if mask.shape[:2] == (1, 1) else (B, kv_heads)
    mask = mask.expand(*rows, -1, heads // kv_heads, -1, -1)
    return rearrange(mask, "b h n g w s -> (b h) n (g w) s")


def _around(k: Tensor, window: int, causal: bool) -> Tensor:
    """Keys (B, S, D) to those around each block of `window`, a view (B, n, reach W, D) of them padded."""
    reach = _reach(causal)
    after = -k.shape[1] % window + (reach - 2) * window
    return F.pad(k, (0, 0, window, after)).unfold(1, reach * window, window).mT


def _reach(causal: bool) -> int:
    """Blocks that a block reads."""
    return 2 if causal else 3
