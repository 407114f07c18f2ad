"""How a sequence knows its order: one base class, three hooks, of which a scheme overrides one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from archs.context import Context


class Position(nn.Module):
    """No positions at all, and the base of all schemes.

    embed   adds to the embeddings, once (learned, sinusoidal).
    rotate  turns queries and keys, in every self-attention (rotary).
    bias    adds to the scores, in every self-attention (T5, ALiBi).

    max_len: the longest sequence the scheme can name; None where there is no end.
    """

    max_len: int | None = None

    def __init__(self, dim: int, causal: bool) -> None:
        super().__init__()

    @property
    def acts_in_mixers(self) -> bool:
        """Does the scheme need a mixer that reads positions?"""
        return type(self).rotate is not Position.rotate or type(self).bias is not Position.bias

    def reset_parameters(self) -> None:
        """Schemes with a table fill it."""

    def embed(self, x: Tensor, ctx: Context) -> Tensor:
        """x (B, T, D) to the same."""
        return x

    def rotate(self, x: Tensor, ctx: Context, local: bool = False) -> Tensor:
        """Queries or keys (B, H, T, Dh) of this call's tokens to the same. local: the mixer has a window."""
        return x

    def bias(self, q_pos: Tensor, k_pos: Tensor) -> Tensor | None:
        """q_pos (B | 1, T), k_pos (B | 1, S) to (B | 1, H, T, S). Depends on k_pos - q_pos alone."""
        return None


class Learned(Position):
    """A learned vector per position, added to the embedding (GPT-2; BERT).

    BERT adds one more vector, the embedding of token type 0, to every position. With a single type
    that is a constant: it lives in this table, and the function is the same.
    """

    def __init__(self, dim: int, causal: bool, max_len: int) -> None:
        super().__init__(dim, causal)
        self.max_len = max_len
        self.table = nn.Embedding(max_len, dim)

    def reset_parameters(self) -> None:
        nn.init.normal_(self.table.weight, std=0.02)

    def embed(self, x: Tensor, ctx: Context) -> Tensor:
        # A pad may stand beyond the table; what it is given is read by nobody.
        pos = ctx.pos if ctx.keep is None else ctx.pos.clamp(max=self.table.num_embeddings - 1)
        return x + self.table(pos)


class Sinusoidal(Position):
    """sin and cos of pos / 10000^(2j / dim), added to the embedding (Vaswani et al. 2017, 3.5).

    The first half of the width holds the sines, the second the cosines: a fixed permutation of the
    paper's interleaving, which the first linear map absorbs.
    """

    def __init__(self, dim: int, causal: bool) -> None:
        super().__init__(dim, causal)
        if dim % 2:
            raise ValueError(f"sinusoidal positions need an even width: dim={dim}")

    def embed(self, x: Tensor, ctx: Context) -> Tensor:
        angles = _angles(ctx.pos, x.shape[-1], 10000.0)
        return x + torch.cat([angles.sin(), angles.cos()], -1).to(x.dtype)


class Rotary(Position):
    """Rotates pairs (j, j + Dh/2) of queries and keys by pos * theta^(-2j / Dh) (Su et al. 2021).

    The half-split pairing of Llama and GPT-NeoX; tables in float32, exact at any position.

    local_theta  theta in mixers with a window, which need to tell near positions apart only
                 (ModernBERT); None: theta.
    fraction     the share of Dh, from its beginning, that turns, in whole pairs; the rest knows no position
                 (GPT-NeoX).
    """

    def __init__(
        self,
        dim: int,
        causal: bool,
        theta: float = 10000.0,
        local_theta: float | None = None,
        fraction: float = 1.0,
    ) -> None:
        super().__init__(dim, causal)
        if theta <= 0 or (local_theta is not None and local_theta <= 0):
            raise ValueError(f"theta={theta} and local_theta={local_theta} must be above 0")
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction={fraction} of head_dim that turns must be above 0 and at most 1")
        self.theta, self.local_theta, self.fraction = theta, local_theta, fraction

    def rotate(self, x: Tensor, ctx: Context, local: bool = False) -> Tensor:
        theta = self.local_theta if local and self.local_theta is not None else self.theta
        width = 2 * int(x.shape[-1] * self.fraction / 2)
        if x.shape[-1] % 2 or width == 0:
            raise ValueError(
                f"rotary positions need an even head_dim, of which to turn {width}: not {x.shape[-1]}"
            )
        cos, sin = ctx.once(("rotary", theta, width, x.dtype), lambda: self._tables(x, ctx.pos, width, theta))
        turn = _Turn.apply if torch.is_grad_enabled() else _turn  # a step of decoding counts its calls
        y: Tensor = turn(x, cos, sin)
        return y

    def _tables(self, x: Tensor, pos: Tensor, width: int, theta: float) -> tuple[Tensor, Tensor]:
        """cos (B | 1, 1, T, Dh), 1 where nothing turns, and sin (B | 1, 1, T, width / 2), in x's dtype."""
        angles = _angles(pos, width, theta)[:, None]
        cos = F.pad(torch.cat(2 * [angles.cos()], -1), (0, x.shape[-1] - width), value=1.0)
        return cos.to(x.dtype), angles.sin().to(x.dtype)


class _Turn(torch.autograd.Function):
    """Rotates pairs (j, j + width/2) of x (B, H, T, Dh), with the tables of `Rotary`.

    The gradient is the rotation back. Written out, since autograd would keep, negate and join halves: more
    than twice the passes over memory. Each way the result lies in memory as its reader likes it: head by
    head for attention, token by token for the projections.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turn(x, cos, sin)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None]:
        dy, cos, sin = (t.transpose(1, 2) for t in (dy, *ctx.saved_tensors))
        return _turn(dy, cos, -sin).transpose(1, 2), None, None


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """A contiguous result."""
    half = sin.shape[-1]
    first, second = slice(half), slice(half, 2 * half)
    y = torch.mul(x, cos, out=torch.empty(x.shape, dtype=x.dtype, device=x.device))
    y[..., first].addcmul_(x[..., second], sin, value=-1)
    y[..., second].addcmul_(x[..., first], sin)
    return y


class T5Bias(Position):
    """A learned number per head and bucket of k - q, added to the scores (Raffel et al. 2020, 2.1).

    Near distances have a bucket each, far ones share buckets that grow logarithmically up to
    max_distance. An encoder splits the buckets between the two directions; a decoder looks back.
    One table per stack, which all its layers share.
    """

    # It is a bias, by another name: decaying it would pull towards ignoring distance.
    no_weight_decay = ("table.weight",)

    def __init__(
        self, dim: int, causal: bool, heads: int, buckets: int = 32, max_distance: int = 128
    ) -> None:
        super().__init__(dim, causal)
        exact = (buckets if causal else buckets // 2) // 2
        if not 0 < exact < max_distance:
            raise ValueError(
                f"T5Bias: buckets={buckets} must be at least 4, and max_distance={max_distance} above the "
                f"{exact} distances that have a bucket each"
            )
        self.dim, self.causal = dim, causal
        self.buckets, self.max_distance = buckets, max_distance
        self.table = nn.Embedding(buckets, heads)

    def reset_parameters(self) -> None:
        nn.init.normal_(self.table.weight, std=self.dim**-0.5)

    def bucket(self, relative: Tensor) -> Tensor:
        """k - q (int64, any shape) to bucket numbers.

        The order of operations and the float32 are T5's own: distances 16, 32 and 64 land exactly on
        whole numbers, and another order would round them to the neighbour.
        """
        buckets = self.buckets if self.causal else self.buckets // 2
        if self.causal:
            offset, distance = torch.zeros_like(relative), (-relative).clamp(min=0)
        else:
            offset, distance = (relative > 0) * buckets, relative.abs()
        exact = buckets // 2
        log = torch.log(distance.float() / exact) / math.log(self.max_distance / exact)
        far = (exact + (log * (buckets - exact)).long()).clamp(max=buckets - 1)
        return offset + torch.where(distance < exact, distance, far)

    def bias(self, q_pos: Tensor, k_pos: Tensor) -> Tensor:
        return _by_distance(lambda relative: self.table(self.bucket(relative)), q_pos, k_pos)


class Alibi(Position):
    """-slope * |q - k| added to the scores, one slope per head (Press et al. 2022).

    Slopes are 2^(-8 i / H); where H is no power of two, those of the power below, then every other
    one of the power above.
    """

    def __init__(self, dim: int, causal: bool, heads: int) -> None:
        super().__init__(dim, causal)
        if heads < 1:
            raise ValueError(f"Alibi: heads={heads} must be at least 1")
        power = 2 ** int(math.log2(heads))
        self.slopes = [2 ** (-8 * i / power) for i in range(1, power + 1)]
        self.slopes += [2 ** (-4 * i / power) for i in range(1, 2 * (heads - power), 2)]

    def bias(self, q_pos: Tensor, k_pos: Tensor) -> Tensor:
        slopes = torch.tensor(self.slopes, device=q_pos.device)
        return _by_distance(lambda relative: -slopes * relative.abs()[..., None], q_pos, k_pos)


def _by_distance(numbers: Callable[[Tensor], Tensor], q_pos: Tensor, k_pos: Tensor) -> Tensor:
    """What `numbers` gives distances k - q (...), a number per head (..., H), as `Position.bias`.

    Where positions follow each other, every query has the numbers of the one before it, shifted by one:

        k - q   -3 -2 -1  0  1  2  3        of T + S - 1 distances instead of T S pairs
        q = 3   [---------]
        q = 2      [---------]   ...
    """
    if not (_follow(q_pos) and _follow(k_pos)):
        return rearrange(numbers(k_pos[:, None, :] - q_pos[:, :, None]), "b t s h -> b h t s")
    T, S = q_pos.shape[1], k_pos.shape[1]
    distances = k_pos[0, 0] - q_pos[0, -1] + torch.arange(T + S - 1, device=q_pos.device)
    row = numbers(distances).mT.contiguous()  # (H, T + S - 1)
    return row.unfold(1, S, 1).flip(1)[None]


def _follow(pos: Tensor) -> bool:
    """Are positions (B, T) those of one sequence without gaps? Looking would stall another device: False."""
    return len(pos) == 1 and pos.device.type == "cpu" and bool((pos.diff() == 1).all())


def _angles(pos: Tensor, dim: int, theta: float) -> Tensor:
    """pos (B, T) to pos * theta^(-2j / dim) less whole turns, (B, T, dim / 2), float32.

    Before the turns are taken off it is in float64: float32 is 0.03 wrong about an angle of a million.
    """
    exponent = torch.arange(0, dim, 2, device=pos.device, dtype=torch.float64) / dim
    return (pos[..., None] * theta**-exponent).remainder(2 * math.pi).float()
