"""Both directions from a mixer that only looks back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from archs.context import Context
from archs.residual import Factory


class Bidirectional(nn.Module):
    """One mixer reads left to right, another of its kind right to left, and their outputs are added.

    x (B, T, D) ─┬─ forwards ─────────────────── + ─       so that an encoder can be made of recurrences
                 └─ reverse ─ backwards ─ reverse ┘        (Zhu et al. 2024, Vision Mamba; Schiff et al. 2024)

    mixer   a factory, called with dim= and causal=True, of a mixer that reads no positions (S6, SSD).
    """

    reads_position = False

    def __init__(self, dim: int, mixer: Factory, causal: bool = False, cross: bool = False) -> None:
        super().__init__()
        if causal or cross:
            raise ValueError("bidirectional mixers read both sides of their own sequence: only in an encoder")
        self.forwards, self.backwards = mixer(dim=dim, causal=True), mixer(dim=dim, causal=True)
        if getattr(self.forwards, "reads_position", False):
            name = type(self.forwards).__name__
            raise ValueError(f"bidirectional takes a mixer that only looks back (s6, ssd), not {name}")

    def reset_parameters(self, depth: int) -> None:
        for mixer in (self.forwards, self.backwards):
            mixer.reset_parameters(2 * depth)  # two of them add to the stream

    def forward(self, x: Tensor, ctx: Context, state: None = None) -> tuple[Tensor, None]:
        own = replace(ctx, memo={})  # what mixers share is shared within one direction
        back, _ = self.backwards(reverse(x, ctx.keep), own)
        return self.forwards(x, ctx)[0] + reverse(back, ctx.keep), None

    def flops(self, T: int, S: int = 0) -> int:
        return self.forwards.flops(T) + self.backwards.flops(T)

    def init_state(self, *room: Any) -> tuple[()]:
        return ()

    def state_bytes(self, T: int, S: int = 0, dtype: torch.dtype = torch.float32) -> int:
        """0: only an encoder has it, which carries nothing."""
        return 0


def reverse(x: Tensor, keep: Tensor | None) -> Tensor:
    """x (B, T, D) with the kept tokens of each row, which stand at its beginning, in reverse order."""
    if keep is None:
        return x.flip(1)
    t = torch.arange(x.shape[1], device=x.device)
    last = keep.sum(1, keepdim=True) - 1  # (B, 1)
    order = torch.where(t <= last, last - t, t)
    return x.gather(1, order[..., None].expand_as(x))
