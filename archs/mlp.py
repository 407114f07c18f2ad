"""Channel mixers: what happens to each token by itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archs.context import Context
from archs.init import check_scheme, init_linear, residual_gain

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,  # x * Phi(x), exact (BERT)
    "gelu_tanh": partial(F.gelu, approximate="tanh"),  # GPT-2's approximation of it
    "relu": F.relu,
    "silu": F.silu,
}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    if name not in ACTIVATIONS:
        raise ValueError(f"act={name!r} is not one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


class _ChannelMixer(nn.Module):
    """A sublayer without a state. `up` widens, `down` comes back."""

    up: nn.Linear
    down: nn.Linear

    def __init__(self, hidden: int, act: str, dropout: float, init: str) -> None:
        super().__init__()
        if hidden < 1:
            raise ValueError(f"hidden={hidden} must be at least 1, or null for what an MLP of its kind takes")
        self.hidden, self.act = hidden, activation(act)
        self.dropout, self.init = nn.Dropout(dropout), check_scheme(init)

    def reset_parameters(self, depth: int) -> None:
        init_linear(self.up, self.init)
        init_linear(self.down, self.init, residual_gain(self.init, depth))

    def init_state(
        self, batch: int, max_len: int, device: torch.device | str, dtype: torch.dtype
    ) -> tuple[()]:
        return ()

    def state_bytes(self, T: int, S: int = 0, dtype: torch.dtype = torch.float32) -> int:
        return 0

    def flops(self, T: int, S: int = 0) -> int:
        """Forward, one sequence of T tokens."""
        return 2 * T * (self.up.weight.numel() + self.down.weight.numel())


class MLP(_ChannelMixer):
    """down(act(up(x))). hidden None: 4 dim. dropout: of the inner activations (T5)."""

    def __init__(
        self,
        dim: int,
        hidden: int | None = None,
        act: str = "gelu",
        bias: bool = True,
        dropout: float = 0.0,
        init: str = "normal",
    ) -> None:
        super().__init__(4 * dim if hidden is None else hidden, act, dropout, init)
        self.up = nn.Linear(dim, self.hidden, bias)
        self.down = nn.Linear(self.hidden, dim, bias)

    def forward(
        self, x: Tensor, ctx: Context, state: tuple[()] | None = None
    ) -> tuple[Tensor, tuple[()] | None]:
        h = self.act(self.up(x))
        return self.down(self.dropout(h) if self.training else h), state


class GatedMLP(_ChannelMixer):
    """down(act(gate(x)) * value(x)) (Shazeer 2020). `up` holds gate and value, in this order.

    hidden None: 8/3 dim, rounded up to a multiple of 8, so that three matrices cost what MLP's two do.
    """

    def __init__(
        self,
        dim: int,
        hidden: int | None = None,
        act: str = "silu",
        bias: bool = False,
        dropout: float = 0.0,
        init: str = "normal",
    ) -> None:
        super().__init__(-(-dim // 3) * 8 if hidden is None else hidden, act, dropout, init)
        self.up = nn.Linear(dim, 2 * self.hidden, bias)
        self.down = nn.Linear(self.hidden, dim, bias)

    def forward(
        self, x: Tensor, ctx: Context, state: tuple[()] | None = None
    ) -> tuple[Tensor, tuple[()] | None]:
        gate, value = self.up(x).chunk(2, -1)
        h = self.act(gate) * value
        return self.down(self.dropout(h) if self.training else h), state
