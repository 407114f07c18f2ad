"""The contract between a backbone and everything that uses one.

A backbone maps token ids to hidden vectors. It never sees labels and never computes a loss, so
that every family is trained and judged by the same code; `Family` is all that code may ask about.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor


class Family(StrEnum):
    """What a backbone can see, which decides the objectives and layouts it can be asked.

    ENCODER sees both sides of a position; DECODER only the left (attention or state-space alike);
    ENCODER_DECODER reads a source with both sides and writes a target left to right.
    """

    ENCODER = "encoder"
    DECODER = "decoder"
    ENCODER_DECODER = "encoder-decoder"


class Output(NamedTuple):
    """What a forward pass gives.

    hidden  (B, T, D), ready for `backbone.head`.
    state   None unless a state went in; then the state after these tokens, a pytree of tensors: no views of
            more than they hold, which would stay alive as long as the state.
    aux     weighted scalar losses by name that training adds to its own (expert balancing).
    """

    hidden: Tensor
    state: Any = None
    aux: dict[str, Tensor] = {}  # noqa: RUF012  (never written to: a NamedTuple's default)


@runtime_checkable
class Backbone(Protocol):
    """What every architecture implements, built-in or plugin (an `nn.Module` with these members).

    A position with keep=False changes no hidden value at a kept position and no state.
    """

    family: Family
    vocab_size: int
    max_len: int | None  # longest sequence the positions can name; None where there is no end

    def forward(
        self,
        tokens: Tensor,
        keep: Tensor | None = None,
        *,
        source: Tensor | None = None,
        source_keep: Tensor | None = None,
        state: Any = None,
    ) -> Output:
        """tokens (B, T) int64 and keep (B, T) bool to hidden (B, T, D).

        source (B, S) and source_keep (B, S) are for ENCODER_DECODER alone.
        """

    def head(self, hidden: Tensor) -> Tensor:
        """hidden (..., D) to logits (..., vocab_size)."""

    def flops(self, T: int, S: int = 0, scored: int | None = None) -> int:
        """Floating-point operations of one forward pass over one sequence of T tokens.

        S: tokens of context already in the state (DECODER) or of source (ENCODER_DECODER).
        scored: positions the head reads; None for all T. One multiply-add counts as 2.
        """

    def state_bytes(self, T: int, S: int = 0, dtype: torch.dtype = torch.float32) -> int:
        """Bytes of state that decoding must hold for one sequence after T tokens (S of source)."""


@runtime_checkable
class LinearHead(Protocol):
    """A backbone whose logits are a linear map, which it lays open so that logits need not be stored.

    With a large vocabulary they are the largest tensor of a training step; the loss can be computed
    from `readout` a piece at a time. Optional: others are read through `head`.
    """

    def readout(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """hidden (..., D) to features (..., F), weight (V, F), bias (V,) or None.

        head(hidden) == F.linear(features, weight, bias).
        """


@runtime_checkable
class Checkpointable(Protocol):
    """A module that computes its activations again in the backward pass where it is told to.

    Any module of a backbone may be one (`archs.Stack` is); `archs.checkpointing` tells them all. The values,
    gradients and draws of dropout are those of a pass that keeps everything. Optional.
    """

    activation_checkpointing: bool


@runtime_checkable
class Autoregressive(Backbone, Protocol):
    """A backbone that can go on from where it stopped: every family but ENCODER."""

    def start(
        self,
        batch: int,
        *,
        source: Tensor | None = None,
        source_keep: Tensor | None = None,
        max_len: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Any:
        """The state before the first token, with room for max_len tokens; the source is read here."""

    def step(self, tokens: Tensor, state: Any, keep: Tensor | None = None) -> Output:
        """`forward` from `state` on, for any T >= 1. Positions count kept tokens."""
