"""Selective scan in plain PyTorch, anywhere: parallel inside a chunk, sequential over chunks.

Inside a chunk the recurrence is a prefix scan by doubling (Hillis & Steele 1986) over pairs (a, b)
that stand for h -> a h + b. Every product of decays is formed from the left and lies in [0, 1], so
nothing is ever divided by a vanishing cumulative product.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

CHUNK = 32  # steps held at once: memory is (batch, CHUNK, E, N) times a few


def scan(
    x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    """As `archs.kernels.scan.reference`. Backward recomputes each chunk from the state it began with."""
    outputs = []
    for piece in zip(*(t.split(CHUNK, dim=1) for t in (x, delta, B, C)), strict=True):
        if torch.is_grad_enabled():
            y, h = checkpoint(_chunk, A, h, *piece, use_reentrant=False, preserve_rng_state=False)
        else:
            y, h = _chunk(A, h, *piece)
        outputs.append(y)
    return torch.cat(outputs, 1) + D * x, h


def _chunk(A: Tensor, h: Tensor, x: Tensor, delta: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
    """x, delta (batch, K, E), B, C (batch, K, N), h (batch, E, N) to y (batch, K, E) and the last h."""
    a = torch.exp(delta[..., None] * A)  # (batch, K, E, N)
    b = (delta * x)[..., None] * B[:, :, None]
    b = torch.cat([b[:, :1] + a[:, :1] * h[:, None], b[:, 1:]], 1)
    reach = 1  # b_t is the state that the last `reach` inputs give, a_t their decay
    while reach < x.shape[1]:
        b = torch.cat([b[:, :reach], b[:, reach:] + a[:, reach:] * b[:, :-reach]], 1)
        a = torch.cat([a[:, :reach], a[:, reach:] * a[:, :-reach]], 1)
        reach *= 2
    return torch.einsum("bken,bkn->bke", b, C), b[:, -1].clone()
