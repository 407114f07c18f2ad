"""Attention as a mixer: projections, grouped key-value heads, and the cache that decoding goes on from."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from archs.attend import additive, allowed, attend, attend_window, window_mask
from archs.context import Context
from archs.init import check_scheme, init_linear, init_weight, residual_gain


class KV(NamedTuple):
    """Keys and values (B, Hkv, slots, Dh) of the tokens seen so far: position p lives in slot p % slots.

    What a slot holds follows from how many tokens a row has seen, which the Stack keeps for all layers.
    """

    k: Tensor
    v: Tensor


class Memory(NamedTuple):
    """Keys and values (B, Hkv, S, Dh) of an encoder's output, and which of them are real, (B, S)."""

    k: Tensor
    v: Tensor
    keep: Tensor


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017) with grouped key-value heads (Ainslie et al. 2023).

    x (B, T, D) ─ q, k, v ─ rotate ─ softmax(q k^T * scale + bias) v ─ out (B, T, D)

    causal    a token reads itself and what stands before it. The wiring decides.
    cross     queries read ctx.memory instead of x, without positions. The wiring decides.
    kv_heads  query head h reads key-value head h // (heads / kv_heads); None: as many as heads.
    head_dim  None: dim / heads; otherwise heads * head_dim may differ from dim (T5).
    window    only keys less than this far away, itself included; None: all.
    scale     None: head_dim^-0.5; T5 has 1.
    bias      of the four projections.
    dropout   of the attention probabilities, in training.
    init      see archs.init; under fan_in, what the scores are not scaled by, the queries start scaled by.
    """

    state_knobs = ("kv_heads", "window")  # what the size of the state follows from

    def __init__(
        self,
        dim: int,
        causal: bool,
        heads: int,
        cross: bool = False,
        kv_heads: int | None = None,
        head_dim: int | None = None,
        window: int | None = None,
        scale: float | None = None,
        bias: bool = True,
        dropout: float = 0.0,
        init: str = "normal",
    ) -> None:
        super().__init__()
        kv_heads = heads if kv_heads is None else kv_heads
        if min(heads, kv_heads, 1 if head_dim is None else head_dim) < 1:
            raise ValueError(f"heads={heads}, kv_heads={kv_heads}, head_dim={head_dim} must be at least 1")
        if head_dim is None and dim % heads:
            raise ValueError(
                f"dim={dim} does not divide into heads={heads}; set head_dim to choose another width"
            )
        if heads % kv_heads:
            raise ValueError(f"heads={heads} do not divide into kv_heads={kv_heads} groups")
        if window is not None and window < 1:
            raise ValueError(f"window={window} must be at least 1, or null for all")
        self.dim, self.causal, self.cross = dim, causal, cross
        self.heads, self.kv_heads, self.head_dim = heads, kv_heads, head_dim or dim // heads
        self.window, self.dropout, self.init = window, dropout, check_scheme(init)
        self.scale = self.head_dim**-0.5 if scale is None else scale
        queries, keys = self.heads * self.head_dim, 2 * self.kv_heads * self.head_dim
        if cross:
            self.q = nn.Linear(dim, queries, bias)
            self.kv = nn.Linear(dim, keys, bias)
        else:
            self.qkv = nn.Linear(dim, queries + keys, bias)
        self.out = nn.Linear(queries, dim, bias)

    @property
    def reads_position(self) -> bool:
        return not self.cross

    def reset_parameters(self, depth: int) -> None:
        for linear in (self.q, self.kv) if self.cross else (self.qkv,):
            init_linear(linear, self.init)
        if self.init == "fan_in":
            queries = (self.q if self.cross else self.qkv).weight[: self.heads * self.head_dim]
            init_weight(queries, self.init, self.head_dim**-0.5 / self.scale)
        init_linear(self.out, self.init, residual_gain(self.init, depth))

    def forward(
        self, x: Tensor, ctx: Context, state: KV | Memory | None = None
    ) -> tuple[Tensor, KV | Memory | None]:
        """x (B, T, D) to (B, T, D), and the state that also holds these tokens if one went in."""
        if self.cross:
            assert not isinstance(state, KV)
            memory = state or self.remember(ctx.memory, ctx.memory_keep)
            (q,) = self._split(self.q(x), self.heads)
            y = self._read(q, memory, ctx)
        else:
            assert not isinstance(state, Memory)
            y, state = self._mix(x, ctx, state)
        return self.out(y.transpose(1, 2).flatten(2)), state

    def _split(self, x: Tensor, *heads: int) -> list[Tensor]:
        """(B, T, sum(heads) Dh) to one (B, h, T, Dh) for every h of heads.

        Cut before heads and tokens change places: the gradients are then put together in x's own order.
        """
        parts = x.view(*x.shape[:2], -1, self.head_dim).split_with_sizes(heads, 2)
        return [part.transpose(1, 2) for part in parts]

    @property
    def _drop(self) -> float:
        return self.dropout if self.training else 0.0

    # Self-attention ------------------------------------------------------------------------------

    def _mix(self, x: Tensor, ctx: Context, state: KV | None) -> tuple[Tensor, KV | None]:
        q, k, v = self._split(self.qkv(x), self.heads, self.kv_heads, self.kv_heads)
        q, k = (ctx.position.rotate(t, ctx, self.window is not None) for t in (q, k))
        if state is None:
            return self._parallel(q, k, v, ctx), None
        if ctx.level == 0:  # nothing seen yet: a prompt is read as in training
            return self._parallel(q, k, v, ctx), self._write(state, k, v, ctx)
        if q.shape[2] == 1 and ctx.keep is None:
            return self._newest(q, k, v, ctx, state)
        return self._continue(q, k, v, ctx, state)

    def _parallel(self, q: Tensor, k: Tensor, v: Tensor, ctx: Context) -> Tensor:
        """All tokens at once, from an empty state."""
        # Pads stand at the end: no kept query of a causal mixer ever reaches one.
        keep = None if self.causal else ctx.keep
        if self.window is not None and q.shape[2] > self.window:
            return self._in_blocks(q, k, v, ctx, keep)

        def scores() -> tuple[bool, Tensor | None]:
            mask = None if keep is None else keep[:, None, None]
            bias = ctx.position.bias(ctx.pos, ctx.pos)
            if bias is not None and self.causal:
                mask = allowed(ctx.pos, ctx.pos, causal=True)
            return self.causal and bias is None, additive(mask, bias, q.dtype)

        causal, mask = ctx.once(("parallel", self.causal, q.dtype), scores)
        return attend(q, k, v, scale=self.scale, causal=causal, mask=mask, dropout=self._drop)

    def _in_blocks(self, q: Tensor, k: Tensor, v: Tensor, ctx: Context, keep: Tensor | None = None) -> Tensor:
        assert self.window is not None
        about: dict[str, Any] = {"window": self.window, "causal": self.causal}
        key = ("blocks", *about.values(), self.heads, k.shape, k.dtype)
        bias = ctx.position.bias
        mask = ctx.once(key, lambda: window_mask(k, self.heads, keep=keep, bias=bias, **about))
        return attend_window(q, k, v, mask=mask, scale=self.scale, dropout=self._drop, **about)

    def _continue(self, q: Tensor, k: Tensor, v: Tensor, ctx: Context, state: KV) -> tuple[Tensor, KV]:
        """From a state that has seen tokens. Reads as many slots as have been used, not all there are."""
        slots = state.k.shape[2]
        assert ctx.seen is not None
        seen, new_pos = ctx.seen, ctx.pos

        if self.window is None:  # slot = position, so that the cache itself is the sequence of keys
            state = self._write(state, k, v, ctx)
            keys, values = state.k[:, :, : ctx.end], state.v[:, :, : ctx.end]
            k_pos = torch.arange(ctx.end, device=q.device)[None]
        else:  # a new token may push out a key that an earlier new one still reads: read, then write
            used, oldest = (slots, 0) if ctx.level is None else (min(ctx.level, slots), ctx.level % slots)
            old = [t[:, :, :used].roll(-oldest, 2) for t in state]
            keys, values = (torch.cat([t, new], 2) for t, new in zip(old, (k, v), strict=True))
            last = seen[:, None] - 1
            old_pos = (last - (last - torch.arange(used, device=q.device)) % slots).roll(-oldest, 1)
            k_pos = torch.cat([old_pos, new_pos.expand(len(seen), -1)], 1)
            state = self._write(state, k, v, ctx)
            if ctx.level is not None and q.shape[2] > self.window:  # keys in order, for all rows alike
                return self._in_blocks(q, keys, values, ctx), state

        def scores() -> Tensor | None:
            mask = allowed(new_pos, k_pos, causal=True, window=self.window)[:, None]
            return additive(mask, ctx.position.bias(new_pos, k_pos), q.dtype)

        mask = ctx.once(("continue", self.window, slots, q.dtype), scores)
        return attend(q, keys, values, scale=self.scale, mask=mask, dropout=self._drop), state

    def _newest(self, q: Tensor, k: Tensor, v: Tensor, ctx: Context, state: KV) -> tuple[Tensor, KV]:
        """One more token on every row, which reads all there is: what it pushes out is beyond its window."""
        state = self._write(state, k, v, ctx)
        slots = state.k.shape[2]
        used = min(ctx.end, slots)

        def scores() -> Tensor | None:
            k_pos = ctx.pos - (ctx.pos - torch.arange(used, device=q.device)) % slots
            mask = None if ctx.level is not None else (k_pos >= 0)[:, None, None]
            return additive(mask, ctx.position.bias(ctx.pos, k_pos), q.dtype)

        mask = ctx.once(("newest", slots, q.dtype), scores)
        keys, values = (t.narrow(2, 0, used) for t in state)
        return attend(q, keys, values, scale=self.scale, mask=mask, dropout=self._drop), state

    def _write(self, state: KV, k: Tensor, v: Tensor, ctx: Context) -> KV:
        """The state with the kept ones of these keys and values in their slots.

        Without autograd it is written in place, so that a step costs nothing for what is already there;
        with it, into a copy, since the backward pass still needs the old one.
        """
        slots = state.k.shape[2]
        if ctx.end > slots and (self.window is None or slots < self.window):
            raise ValueError(
                f"the state has room for {slots} tokens, not {ctx.end}: start(max_len=...) decides"
            )
        if torch.is_grad_enabled():
            state = KV(state.k.clone(), state.v.clone())
        k, v = k.to(state.k.dtype), v.to(state.v.dtype)
        if ctx.keep is None and ctx.level is not None:
            where = ctx.once(("slots", slots), lambda: ctx.pos[0, -slots:] % slots)
            if k.shape[2] > slots:
                k, v = k[:, :, -slots:], v[:, :, -slots:]
            state.k.index_copy_(2, where, k)
            state.v.index_copy_(2, where, v)
        else:
            row, column, slot = ctx.once(("places", slots), lambda: self._places(ctx, len(k), slots))
            state.k[row, :, slot] = k[row, :, column]
            state.v[row, :, slot] = v[row, :, column]
        return state

    def _places(self, ctx: Context, batch: int, slots: int) -> tuple[Tensor, Tensor, Tensor]:
        """Row and column of every kept token that is still needed, and its slot."""
        pos = ctx.pos.expand(batch, -1)
        assert ctx.seen is not None
        after = ctx.seen + (pos.shape[1] if ctx.keep is None else ctx.keep.sum(1))
        needed = (pos < after[:, None]) & (pos >= after[:, None] - slots)
        row, column = needed.nonzero(as_tuple=True)
        return row, column, pos[row, column] % slots

    # Cross-attention -----------------------------------------------------------------------------

    def remember(self, memory: Tensor | None, keep: Tensor | None) -> Memory:
        """The keys and values of memory (B, S, D): all that decoding needs of it."""
        if memory is None:
            raise ValueError("cross-attention has no memory to read: pass source=, or a state from start()")
        k, v = self._split(self.kv(memory), self.kv_heads, self.kv_heads)
        if keep is None:
            keep = torch.ones(memory.shape[:2], dtype=torch.bool, device=memory.device)
        return Memory(k, v, keep)

    def _read(self, q: Tensor, memory: Memory, ctx: Context) -> Tensor:
        def scores() -> Tensor | None:
            if q.device.type == "cpu" and bool(memory.keep.all()):  # elsewhere looking would stall the device
                return None
            return additive(memory.keep[:, None, None], None, q.dtype)

        mask = ctx.once(("memory", q.dtype), scores)  # a stack has one memory
        return attend(q, memory.k, memory.v, scale=self.scale, mask=mask, dropout=self._drop)

    # State and cost ------------------------------------------------------------------------------

    def init_state(self, batch: int, max_len: int, device: torch.device | str, dtype: torch.dtype) -> KV:
        """Room for max_len tokens, or for a window of them."""
        slots = max_len if self.window is None else min(max_len, self.window)
        k, v = torch.zeros(2, batch, self.kv_heads, slots, self.head_dim, device=device, dtype=dtype)
        return KV(k, v)

    def state_bytes(self, T: int, S: int = 0, dtype: torch.dtype = torch.float32) -> int:
        """Keys and values of T tokens or of the window; across, of S source tokens, and their mask."""
        tokens = S if self.cross else min(T, self.window or T)
        return 2 * self.kv_heads * self.head_dim * tokens * dtype.itemsize + (S if self.cross else 0)

    def flops(self, T: int, S: int = 0) -> int:
        """Forward, one sequence: T new tokens after S in the state, or reading S source tokens."""
        queries, keys = self.heads * self.head_dim, 2 * self.kv_heads * self.head_dim
        projections = 2 * self.dim * (2 * queries * T + keys * (S if self.cross else T))
        return projections + 4 * queries * self._pairs(T, S)

    def _pairs(self, T: int, S: int) -> int:
        """How many (query, key) pairs `allowed` allows."""
        if self.cross:
            return T * S
        reach = self.window or S + T
        if not self.causal:
            apart = min(reach, T) - 1  # the largest distance that is read
            return T + 2 * sum(T - d for d in range(1, apart + 1))
        full = max(0, min(T, S + T - reach))  # queries that see a whole window
        rest = T - full  # the i-th of the others sees S + i keys
        return full * reach + rest * S + rest * (rest + 1) // 2
