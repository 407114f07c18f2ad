"""Linear attention with a gate that forgets (after Yang et al. 2024, with one gate per head): a mixer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archs import Context


class GatedLinear(nn.Module):
    """S = a S_before + k v^T, y = q S: a matrix of `memory` x dim / heads numbers per head.

    All tokens at once it is attention without a softmax, whose weight from t to s is the product of the gates
    between them: exp(c_t - c_s) with c the running sum of their logarithms, which never exceeds 1.
    """

    reads_position = False

    def __init__(
        self, dim: int, causal: bool = True, cross: bool = False, heads: int = 4, memory: int = 16
    ) -> None:
        super().__init__()
        if cross or not causal:
            raise ValueError("GatedLinear only looks back, at its own input: use it in a decoder")
        if dim % heads:
            raise ValueError(f"dim={dim} does not divide into heads={heads}")
        self.dim, self.heads, self.memory = dim, heads, memory
        self.q, self.k = (nn.Linear(dim, heads * memory, bias=False) for _ in range(2))
        self.v, self.out = (nn.Linear(dim, dim, bias=False) for _ in range(2))
        self.gate = nn.Linear(dim, heads)
        self.reset_parameters(depth=1)

    @torch.no_grad()
    def reset_parameters(self, depth: int) -> None:
        for linear in (self.q, self.k, self.v, self.out, self.gate):
            linear.reset_parameters()
        self.out.weight.mul_(depth**-0.5)
        self.gate.bias.copy_(torch.linspace(1.0, 5.0, self.heads))  # heads that remember 3 to 150 tokens

    def forward(self, x: Tensor, ctx: Context, state: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        q, k, v = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.q, self.k, self.v)
        )
        log_gate = F.logsigmoid(self.gate(x)).transpose(1, 2)  # (B, H, T)
        if ctx.keep is not None:
            log_gate, k = log_gate * ctx.keep[:, None], k * ctx.keep[:, None, :, None]
        before = (
            k.new_zeros(len(x), self.heads, self.memory, v.shape[-1]) if state is None else state.to(k.dtype)
        )
        c = log_gate.cumsum(-1)
        apart = (c[..., :, None] - c[..., None, :]).tril().exp().tril()  # (B, H, T, T)
        y = (q @ k.mT * self.memory**-0.5 * apart) @ v
        y = y + (q * (self.memory**-0.5 * c.exp())[..., None]) @ before
        left = (c[..., -1:] - c).exp()[..., None]
        after = c[..., -1, None, None].exp() * before + (k * left).mT @ v
        return self.out(y.transpose(1, 2).flatten(2)), None if state is None else after.to(state.dtype)

    def init_state(
        self, batch: int, max_len: int, device: torch.device | str, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        return torch.zeros(batch, self.heads, self.memory, self.dim // self.heads, device=device, dtype=dtype)

    def flops(self, T: int, S: int = 0) -> int:
        keys = self.heads * self.memory
        maps = 2 * T * self.dim * (2 * keys + 2 * self.dim + self.heads)
        return maps + 2 * T * T * (keys + self.dim) + 2 * 2 * T * self.memory * self.dim

    def state_bytes(self, T: int, S: int = 0, dtype: torch.dtype = torch.float32) -> int:
        return self.memory * self.dim * dtype.itemsize
