"""How weights start. Each part resets its own, so that a part means the same in whatever holds it.

normal  N(0, 0.02), GPT-2 and BERT. What ends in the residual stream is divided by sqrt(depth), where
        depth is the number of sublayers that add to one stream (GPT-2: 2 per layer). A post-norm stack
        norms after each of them, so that its depth is 1: BERT's rule needs no name of its own.
fan_in  N(0, 1 / fan_in), T5 (Raffel et al. 2020, appendix; the released code). No depth scaling. The
        embedding is N(0, 1), but N(0, 1 / dim) where a tied head uses it unscaled.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

STD = 0.02
SCHEMES = ("normal", "fan_in")


def check_scheme(scheme: str) -> str:
    if scheme not in SCHEMES:
        raise ValueError(f"init={scheme!r} is not one of {', '.join(SCHEMES)}")
    return scheme


@torch.no_grad()
def init_weight(weight: Tensor, scheme: str, gain: float = 1.0) -> None:
    """weight (..., out, in) <- N(0, std^2), std 0.02 or 1 / sqrt(in), times gain."""
    std = STD if scheme == "normal" else weight.shape[-1] ** -0.5
    weight.normal_(0.0, std * gain)


def init_linear(linear: nn.Linear, scheme: str, gain: float = 1.0) -> None:
    """Its weight as above, its bias zero."""
    init_weight(linear.weight, scheme, gain)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)


def residual_gain(scheme: str, depth: int) -> float:
    """What the last map of a sublayer is scaled by, so that `depth` of them add up to one."""
    return depth**-0.5 if scheme == "normal" else 1.0
