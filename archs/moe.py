"""A mixture of experts: many MLPs, of which each token uses few."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from archs.context import Context
from archs.init import check_scheme, init_linear, init_weight, residual_gain
from archs.mlp import activation


class MoE(nn.Module):
    """Gated MLPs, each token through the top_k that its router scores highest (Jiang et al. 2024, Mixtral).

    x (B, T, D) ─ router ─ softmax ─ top k ─┐ weights, summing to 1
              └─ experts e_1 .. e_k ─────── * ─ sum ─       expert: down(act(gate(x)) * value(x))

    hidden   inner width of one expert; None: 8/3 dim, rounded up to a multiple of 8.
    balance  weight of the loss that keeps experts equally busy, `Output.aux["balance"]`: with E experts,
             E * sum_e share_e * probability_e over all tokens and layers, where share_e is the number of
             assignments to e per token and probability_e its mean router probability; k if balanced.
    """

    reads_position = False

    def __init__(
        self,
        dim: int,
        hidden: int | None = None,
        experts: int = 8,
        top_k: int = 2,
        act: str = "silu",
        balance: float = 0.001,
        init: str = "normal",
    ) -> None:
        super().__init__()
        if not 1 <= top_k <= experts:
            raise ValueError(f"top_k={top_k} must be between 1 and experts={experts}")
        if hidden is not None and hidden < 1:
            raise ValueError(f"hidden={hidden} must be at least 1, or null for what an MLP of its kind takes")
        self.hidden = -(-dim // 3) * 8 if hidden is None else hidden
        self.experts, self.top_k, self.balance = experts, top_k, balance
        self.act, self.init = activation(act), check_scheme(init)
        self.router = nn.Linear(dim, experts, bias=False)
        self.up = nn.Parameter(torch.empty(experts, 2 * self.hidden, dim))  # gate rows, then value rows
        self.down = nn.Parameter(torch.empty(experts, dim, self.hidden))

    def reset_parameters(self, depth: int) -> None:
        init_linear(self.router, self.init)
        init_weight(self.up, self.init)
        init_weight(self.down, self.init, residual_gain(self.init, depth))

    def forward(
        self, x: Tensor, ctx: Context, state: tuple[()] | None = None
    ) -> tuple[Tensor, tuple[()] | None]:
        rows = rearrange(x, "b t d -> (b t) d")
        scores = self.router(rows)
        # In float32 or better, over all experts before the choice, as Mixtral does.
        probabilities = scores.to(torch.promote_types(scores.dtype, torch.float32)).softmax(-1)
        weights, chosen = probabilities.topk(self.top_k)  # (B T, k)
        weights = (weights / weights.sum(-1, keepdim=True)).to(x.dtype)
        if self.balance and (self.training or ctx.seen is None):  # decoding trains nothing
            self._account(probabilities, chosen, ctx)
        return self._mix(rows, weights, chosen).view_as(x), state

    def _mix(self, rows: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        """rows (R, D), weights and chosen (R, k) to (R, D): sorted by expert, one product each."""
        expert = chosen.flatten()
        order = expert.argsort(stable=True)
        row = order // self.top_k
        busy = expert.bincount(minlength=self.experts) if not expert.is_meta else None
        # The meta device knows no choices: there, assignments count as balanced.
        share = -(-len(expert) // self.experts)
        sizes = busy.tolist() if busy is not None else [len(c) for c in expert.split(share)]
        pieces = [self._expert(e, piece) for e, piece in enumerate(rows[row].split(sizes)) if len(piece)]
        y = torch.cat(pieces) * weights.flatten()[order, None]
        return torch.zeros_like(rows, dtype=y.dtype).index_add(0, row, y)

    def _expert(self, e: int, x: Tensor) -> Tensor:
        gate, value = F.linear(x, self.up[e]).chunk(2, -1)
        return F.linear(self.act(gate) * value, self.down[e])

    def _account(self, probabilities: Tensor, chosen: Tensor, ctx: Context) -> None:
        """Sums over kept tokens, for the loss that all layers share."""
        keep = torch.ones_like(probabilities[:, 0]) if ctx.keep is None else ctx.keep.flatten()
        keep = keep.to(probabilities.dtype)[:, None]  # (B T, 1)
        ones = keep.expand(-1, self.top_k).flatten()
        assigned = torch.zeros_like(probabilities[0]).index_add(0, chosen.flatten(), ones)
        terms = torch.stack([assigned, (probabilities * keep).sum(0), keep.sum().expand(self.experts)])
        ctx.collect("balance", partial(_balance, weight=self.balance), terms)

    @property
    def idle_parameters(self) -> int:
        """Parameters that one token leaves unused."""
        return (self.experts - self.top_k) * (self.up[0].numel() + self.down[0].numel())

    def init_state(
        self, batch: int, max_len: int, device: torch.device | str, dtype: torch.dtype
    ) -> tuple[()]:
        return ()

    def state_bytes(self, T: int, S: int = 0, dtype: torch.dtype = torch.float32) -> int:
        return 0

    def flops(self, T: int, S: int = 0) -> int:
        """Forward, one sequence of T tokens: the router, and top_k experts each."""
        expert = self.up[0].numel() + self.down[0].numel()
        return 2 * T * (self.router.weight.numel() + self.top_k * expert)


def _balance(layers: list[Tensor], weight: float) -> Tensor:
    """Terms (3, E) per layer (assignments, summed probabilities, tokens) to the weighted loss."""
    assigned, probability, tokens = torch.stack(layers).sum(0)
    tokens = tokens.clamp(min=1)  # a batch of pads alone
    return weight * len(assigned) * (assigned / tokens * probability / tokens).sum()
