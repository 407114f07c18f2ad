"""A gated convolutional encoder (after Dauphin et al. 2017), as a class of its own."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archs import Family, Output
from archs.inputs import check_tokens
from archs.residual import compact


class Block(nn.Module):
    """x + down(value * sigmoid(gate)), where value and gate are maps of a window of tokens."""

    def __init__(self, channels: int, taps: int, expansion: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.window = nn.Conv1d(channels, channels, taps, padding=taps // 2, groups=channels)
        self.up, self.down = nn.Linear(channels, 2 * expansion), nn.Linear(expansion, channels)

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        y = self.norm(x)
        if keep is not None:
            y = y * keep[..., None]  # beyond the last token there is nothing, as beyond the end of the tensor
        value, gate = self.up(self.window(y.mT).mT).chunk(2, -1)
        return x + self.down(value * torch.sigmoid(gate))

    def flops(self, T: int) -> int:
        weights = (self.window.weight, self.up.weight, self.down.weight)
        return 2 * T * sum(weight.numel() for weight in weights)


class Convolutional(nn.Module):
    family = Family.ENCODER
    max_len = None

    def __init__(self, vocab_size: int, channels: int, depth: int, taps: int, expansion: int) -> None:
        super().__init__()
        if taps % 2 == 0:
            raise ValueError(f"taps={taps} must be odd: a token stands in the middle of its window")
        self.vocab_size = vocab_size
        self.embedding = nn.Embedding(vocab_size, channels)
        self.blocks = nn.ModuleList(Block(channels, taps, expansion) for _ in range(depth))
        self.norm = nn.LayerNorm(channels)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(
        self,
        tokens: Tensor,
        keep: Tensor | None = None,
        *,
        source: Tensor | None = None,
        source_keep: Tensor | None = None,
        state: Any = None,
    ) -> Output:
        if source is not None or source_keep is not None or state is not None:
            raise ValueError("an encoder takes neither a source nor a state")
        check_tokens(tokens, keep, self.vocab_size)
        x, keep, order = compact(self.embedding(tokens), keep)
        for block in self.blocks:
            x = block(x, keep)
        x = self.norm(x)
        if order is not None:
            x = torch.empty_like(x).scatter(1, order[..., None].expand_as(x), x)
        return Output(x)

    def head(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.embedding.weight)

    def flops(self, T: int, S: int = 0, scored: int | None = None) -> int:
        head = 2 * self.embedding.weight.numel() * (T if scored is None else scored)
        return sum(block.flops(T) for block in self.blocks) + head

    def state_bytes(self, T: int, S: int = 0, dtype: torch.dtype = torch.float32) -> int:
        return 0
