"""A whole sequence squeezed into one vector, and read back from it (Poli et al. 2024, arXiv 2403.17844)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from archs.contract import Backbone, Family, LinearHead, Output

INNER = 4  # width of the probe's hidden layer, in widths of the backbone


class Bottleneck(nn.Module):
    """A backbone of which only the last token's hidden vector is seen; an archs.contract.Backbone itself.

        backbone   x0 x1 x2 ... x_last  ->  h                    one vector (D,), of the last kept token
        hidden     MLP(h + position 0), MLP(h + position 1), ...   token i is read from the i-th of them

    Positions are sines and cosines, the MLP is Linear(D, 4 D), GELU, Linear(4 D, D), LayerNorm, the same at
    every position and of the same form for every architecture; the backbone's own head, which is used to
    normed vectors, names the token. An encoder-decoder's vector is its decoder's last, which has re-read the
    source.

    It reads whole sequences: no state goes in, and it cannot write on from one.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        assert isinstance(backbone, nn.Module)
        self.backbone: Any = backbone
        self.family, self.vocab_size, self.max_len = backbone.family, backbone.vocab_size, backbone.max_len
        like = next(backbone.parameters())
        self.dim = width(backbone, like.device)
        self.probe = nn.Sequential(
            nn.Linear(self.dim, INNER * self.dim),
            nn.GELU(),
            nn.Linear(INNER * self.dim, self.dim),
            nn.LayerNorm(self.dim),
        ).to(like)

    def forward(
        self,
        tokens: Tensor,
        keep: Tensor | None = None,
        *,
        source: Tensor | None = None,
        source_keep: Tensor | None = None,
        state: Any = None,
    ) -> Output:
        if state is not None:
            raise ValueError("a bottleneck reads whole sequences: it takes no state")
        hidden, _, aux = self.backbone(tokens, keep, source=source, source_keep=source_keep)
        kept = torch.ones_like(tokens, dtype=torch.bool) if keep is None else keep
        last = (kept * torch.arange(tokens.shape[1], device=tokens.device)).amax(dim=1)
        vector = hidden[torch.arange(len(tokens), device=tokens.device), last]
        places = sinusoids(kept.cumsum(dim=1) - 1, self.dim).to(vector.dtype)
        return Output(self.probe(vector[:, None] + places), None, aux)

    def head(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.backbone.head(hidden)
        return logits

    def flops(self, T: int, S: int = 0, scored: int | None = None) -> int:
        """The backbone's, and the probe's at all T positions."""
        return int(self.backbone.flops(T, S, scored)) + T * 2 * 2 * INNER * self.dim**2

    def state_bytes(self, T: int, S: int = 0, dtype: torch.dtype = torch.float32) -> int:
        return int(self.backbone.state_bytes(T, S, dtype))


class LinearBottleneck(Bottleneck):
    """Of a backbone with a linear head, which it lays open as well (archs.contract.LinearHead)."""

    def readout(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        opened: tuple[Tensor, Tensor, Tensor | None] = self.backbone.readout(hidden)
        return opened


def bottleneck(backbone: Backbone) -> Bottleneck:
    """`backbone` seen through the hidden vector of its last token."""
    return (LinearBottleneck if isinstance(backbone, LinearHead) else Bottleneck)(backbone)


@torch.no_grad()
def width(backbone: nn.Module, device: torch.device) -> int:
    """D of the hidden vectors: one token is read, since the contract does not name it."""
    token = torch.zeros(1, 1, dtype=torch.int64, device=device)
    training = backbone.training
    backbone.eval()
    source = token if backbone.family is Family.ENCODER_DECODER else None
    hidden: Tensor = backbone(token, source=source).hidden
    backbone.train(training)
    return hidden.shape[-1]


def sinusoids(positions: Tensor, dim: int) -> Tensor:
    """positions (..., T) to (..., T, dim): sin, then cos of position / 10000^(2j / dim)."""
    half = -(-dim // 2)
    rates = 10000.0 ** (-torch.arange(half, device=positions.device) / half)
    angles = positions[..., None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)[..., :dim]
