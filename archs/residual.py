"""The one block of the library, and the stack of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from archs.context import Context
from archs.contract import Output
from archs.positions import Position

Factory = Callable[..., Any]  # a part's class with the user's choices bound; the wiring adds the rest


class Residual(nn.Module):
    """x + fn(norm(x)), or norm(x + fn(x)) when `post`: the only block in the library.

    x ─┬─ norm ─ fn ─ + ─        pre-norm (GPT-2, T5, Mamba)
       └──────────────┘
    """

    def __init__(self, norm: nn.Module, fn: nn.Module, dropout: float = 0.0, post: bool = False) -> None:
        super().__init__()
        self.norm, self.fn, self.dropout, self.post = norm, fn, nn.Dropout(dropout), post

    def forward(self, x: Tensor, ctx: Context, state: Any = None) -> tuple[Tensor, Any]:
        y, state = self.fn(x if self.post else self.norm(x), ctx, state)  # (B, T, D)
        x = x + (self.dropout(y) if self.training else y)
        return (self.norm(x) if self.post else x), state


class State(NamedTuple):
    """What decoding goes on from: a pytree of tensors whose first axis is the batch.

    seen    (B,) int64, kept tokens so far.
    layers  per layer, the state of each sublayer; () where it has none.

    Without autograd a step writes into the state that it is given, which must not be used again; copy
    it first (a tree map of clone) to go on from it in two ways.
    """

    seen: Tensor
    layers: tuple[tuple[Any, ...], ...]


class Stack(nn.Module):
    """Residual sublayers over embeddings, between a position scheme and a final norm.

    layers    one mapping per layer from a sublayer's name to its factory, called with dim=. Layers may
              differ: a hybrid is a pattern over them. A factory that gives None leaves its sublayer out.
    norm      called with dim=, once per sublayer and once for the end; position likewise.
    post_norm norms after each sum (BERT) instead of before each sublayer and at the end (GPT-2).
    embed_norm  norms the embeddings (BERT). Without post_norm the first sublayer then has no norm of its
              own, since it would norm what has just been normed (ModernBERT).
    dropout   of the embeddings and of each sublayer's output; final_dropout of the final norm's (T5).
    """

    activation_checkpointing = False  # see archs.checkpointing

    def __init__(
        self,
        dim: int,
        layers: Sequence[Mapping[str, Factory]],
        norm: Factory,
        position: Factory,
        *,
        causal: bool,
        post_norm: bool = False,
        embed_norm: bool = False,
        dropout: float = 0.0,
        final_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.position: Position = position(dim=dim, causal=causal)
        self.embed_norm = norm(dim=dim) if embed_norm else nn.Identity()
        self.embed_dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList()
        normed = embed_norm and not post_norm
        for layer in layers:
            sublayers = nn.ModuleDict()
            for name, factory in layer.items():
                fn = factory(dim=dim)
                if fn is not None:
                    own = nn.Identity() if normed else norm(dim=dim)
                    sublayers[name], normed = Residual(own, fn, dropout, post_norm), False
            self.layers.append(sublayers)
        self.final_norm = nn.Identity() if post_norm else norm(dim=dim)
        self.final_dropout = nn.Dropout(final_dropout)

        if not layers:
            raise ValueError("depth must be at least 1: a stack needs a layer")
        if not all(self._sublayers()):
            raise ValueError("a layer needs a mixer or an mlp: both are none")
        parts = self._parts()
        if self.position.acts_in_mixers and not any(getattr(part, "reads_position", False) for part in parts):
            raise ValueError(
                f"position {type(self.position).__name__} acts inside mixers, and none here reads positions: "
                "choose none, or one that is added to the embeddings (learned, sinusoidal)"
            )
        self.position.reset_parameters()
        # In a post-norm stack each norm starts the sum afresh: one sublayer adds to it, not all of them.
        depth = 1 if post_norm else len(parts)
        for part in parts:
            part.reset_parameters(depth)

    def _sublayers(self) -> list[list[Residual]]:
        return [list(layer.values()) for layer in cast(Any, self.layers)]

    def _parts(self) -> list[Any]:
        """The mixers and MLPs, in order."""
        return [sublayer.fn for layer in self._sublayers() for sublayer in layer]

    def forward(
        self,
        x: Tensor,
        keep: Tensor | None = None,
        *,
        memory: Tensor | None = None,
        memory_keep: Tensor | None = None,
        state: State | None = None,
    ) -> Output:
        """Embeddings (B, T, D) and keep (B, T) to hidden (B, T, D), and the state after if one went in."""
        x, keep, order = compact(x, keep)
        ctx = self._context(x, keep, memory, memory_keep, state)
        x = self.embed_norm(self.position.embed(x, ctx))
        x = self.embed_dropout(x) if self.training else x
        after = []
        recompute = self.activation_checkpointing and torch.is_grad_enabled()
        for i, layer in enumerate(self._sublayers()):
            before = (None,) * len(layer) if state is None else state.layers[i]
            if recompute:
                x, states, ctx = checkpoint(_alone, layer, x, ctx, before, use_reentrant=False)
            else:
                x, states = _through(layer, x, ctx, before)
            after.append(states)
        x = self.final_norm(x)
        x = self.final_dropout(x) if self.training else x
        if order is not None:
            x = torch.empty_like(x).scatter(1, order[..., None].expand_as(x), x)
        if state is not None:
            state = State(state.seen + (x.shape[1] if keep is None else keep.sum(1)), tuple(after))
        return Output(x, state, ctx.losses())

    def _context(
        self,
        x: Tensor,
        keep: Tensor | None,
        memory: Tensor | None,
        memory_keep: Tensor | None,
        state: State | None,
    ) -> Context:
        B, T, _ = x.shape
        if state is None:
            seen, low, high = None, 0, 0
        else:
            seen = state.seen
            if len(seen) != B:
                raise ValueError(f"the state is of {len(seen)} rows, tokens of {B}")
            low, high = (int(n) for n in seen.aminmax())
        if seen is None or low == high:
            level: int | None = low
            pos = torch.arange(low, low + T, device=x.device)[None]
        else:
            level = None
            pos = seen[:, None] + torch.arange(T, device=x.device)
        end = high + T
        if keep is not None:
            kept = keep.sum(1)
            end = int((kept if seen is None else seen + kept).max())
        limit = self.position.max_len
        if limit is not None and end > limit:
            raise ValueError(
                f"{end} tokens are more than the {limit} that the learned positions have a row for"
            )
        return Context(pos, keep, self.position, end, seen, level, memory, memory_keep)

    def start(
        self,
        batch: int,
        max_len: int,
        device: torch.device | str,
        dtype: torch.dtype,
        memory: Tensor | None = None,
        memory_keep: Tensor | None = None,
    ) -> State:
        """The state before the first token; cross-attention digests the memory here, once."""

        def begin(part: Any) -> Any:
            if getattr(part, "cross", False):
                return part.remember(memory, memory_keep)
            return part.init_state(batch, max_len, device, dtype)

        limit = self.position.max_len
        if limit is not None and max_len > limit:
            raise ValueError(f"max_len={max_len}, but the learned positions have {limit} rows")
        layers = tuple(tuple(begin(sublayer.fn) for sublayer in layer) for layer in self._sublayers())
        return State(torch.zeros(batch, dtype=torch.int64, device=device), layers)

    def flops(self, T: int, S: int = 0, memory: int = 0) -> int:
        """Forward, one sequence: T tokens after S in the state, reading `memory` tokens of source."""
        return sum(part.flops(T, memory if getattr(part, "cross", False) else S) for part in self._parts())

    def state_bytes(self, T: int, S: int = 0, dtype: torch.dtype = torch.float32) -> int:
        """What `start(1, max_len=T)` holds, with a memory of S: the sublayers' states and `seen`."""
        return torch.int64.itemsize + sum(part.state_bytes(T, S, dtype) for part in self._parts())


def _through(
    layer: list[Residual], x: Tensor, ctx: Context, before: tuple[Any, ...]
) -> tuple[Tensor, tuple[Any, ...]]:
    """One layer: x (B, T, D) to the same, and the states of its sublayers to those after."""
    after = []
    for sublayer, state in zip(layer, before, strict=True):
        x, state = sublayer(x, ctx, state)
        after.append(state)
    return x, tuple(after)


def _alone(
    layer: list[Residual], x: Tensor, ctx: Context, before: tuple[Any, ...]
) -> tuple[Tensor, tuple[Any, ...], Context]:
    """The same without a trace in `ctx`, but for the one that it gives back: computed again in the backward
    pass, it finds the tables that it found before, and no loss is collected twice."""
    ctx = ctx.fork()
    return *_through(layer, x, ctx, before), ctx


def compact(x: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Kept tokens to the front of each row, in order, so that mixers meet right-padding only.

    Gives x, keep and the order they are now in, (B, T) int64; None where nothing had to move.
    """
    if keep is None or bool(keep.all()):
        return x, None, None
    if bool((keep[:, 1:] <= keep[:, :-1]).all()):  # never kept after dropped
        return x, keep, None
    order = torch.argsort(~keep, dim=1, stable=True)
    return x.gather(1, order[..., None].expand_as(x)), keep.gather(1, order), order
