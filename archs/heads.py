"""From hidden vectors to logits."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archs.init import check_scheme, init_linear, init_weight
from archs.mlp import activation


class Transform(nn.Module):
    """norm(act(dense(x))): what BERT does to a hidden vector before it names a token."""

    def __init__(self, dim: int, act: str = "gelu", eps: float = 1e-12, bias: bool = True) -> None:
        super().__init__()
        self.dense, self.act = nn.Linear(dim, dim, bias), activation(act)
        self.norm = nn.LayerNorm(dim, eps, bias=bias)

    def reset_parameters(self, init: str) -> None:
        init_linear(self.dense, init)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.act(self.dense(x)))

    def flops(self, T: int) -> int:
        return 2 * T * self.dense.weight.numel()


class LMHead(nn.Module):
    """Logits over the vocabulary: hidden (..., D) to (..., V).

    tied       use the token embedding's weight (Press & Wolf 2017); otherwise an output embedding of its own.
    transform  a factory called with dim=, applied first (BERT); None: nothing.
    scaled     multiply hidden by D^-0.5 (T5: its embedding has unit variance, and logits should too).
    bias       a learned number per token of the vocabulary (BERT).
    fixed_bias a number per token that is loaded, never learned, and starts at 0 (BART).
    init       see archs.init.
    """

    def __init__(
        self,
        dim: int,
        vocab_size: int,
        tied: bool = True,
        transform: Callable[..., Transform] | None = None,
        scaled: bool = False,
        bias: bool = False,
        fixed_bias: bool = False,
        init: str = "normal",
    ) -> None:
        super().__init__()
        if bias and fixed_bias:
            raise ValueError("bias and fixed_bias are both true: the head has one bias, learned or fixed")
        self.dim, self.vocab_size, self.init = dim, vocab_size, check_scheme(init)
        self.scale = dim**-0.5 if scaled else 1.0
        self.transform = transform(dim=dim) if transform is not None else None
        self.output = None if tied else nn.Embedding(vocab_size, dim)
        self.bias: Tensor | None
        if fixed_bias:
            self.register_buffer("bias", torch.zeros(vocab_size))
        else:
            self.bias = nn.Parameter(torch.zeros(vocab_size)) if bias else None

    @property
    def takes_unit_embedding(self) -> bool:
        """May the embedding have unit variance? Not where it is the output weight as well, unscaled:
        logits would spread by sqrt(D)."""
        return self.output is not None or self.scale != 1.0

    def reset_parameters(self) -> None:
        if self.transform is not None:
            self.transform.reset_parameters(self.init)
        if self.output is not None:
            init_weight(self.output.weight, self.init)

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        """embedding (V, D): the token embedding, used when tied."""
        return F.linear(*self.readout(hidden, embedding))

    def readout(self, hidden: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """features (..., D), weight (V, D) and bias (V,) or None, whose linear map gives the logits."""
        if self.transform is not None:
            hidden = self.transform(hidden)
        if self.scale != 1.0:
            hidden = hidden * self.scale
        return hidden, embedding if self.output is None else self.output.weight, self.bias

    def flops(self, T: int) -> int:
        """Forward, of T positions."""
        before = 0 if self.transform is None else self.transform.flops(T)
        return 2 * T * self.dim * self.vocab_size + before
