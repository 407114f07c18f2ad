"""The loss that every family is trained with, without storing the logits where that can be helped."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from archs.contract import Backbone, LinearHead

# On a CPU, logits of this many numbers at a time (8 MB in float32) stay in the cache, and are not so large
# that the allocator asks the system for fresh pages at every step; fewer than 256 rows make slow products.
LOGITS = 2**21
ROWS = 256


def cross_entropy(backbone: Backbone, hidden: Tensor, targets: Tensor, *, chunked: bool = True) -> Tensor:
    """Mean cross-entropy in nats of backbone.head(hidden), hidden (N, D), against targets (N,).

    Where the head is linear, a piece of the rows at a time: value and gradients are the same, and the
    (N, V) logits, the largest tensor of a step, never exist. Unless `chunked`, they do.
    """
    if not chunked or not isinstance(backbone, LinearHead):
        return F.cross_entropy(backbone.head(hidden), targets)
    features, weight, bias = backbone.readout(hidden)
    dtype, device = features.dtype, features.device.type
    if torch.is_autocast_enabled(device):  # which the pieces do not see: cast what F.linear would
        dtype = torch.get_autocast_dtype(device)
    if dtype == torch.float16:
        # Pieces have their gradients computed before the loss is scaled, where float16 would lose them.
        return F.cross_entropy(F.linear(features, weight, bias), targets)
    return F.linear_cross_entropy(
        features.to(dtype),
        weight.to(dtype),
        targets,
        linear_bias=None if bias is None else bias.to(dtype),
        options=torch.nn.LinearCrossEntropyOptions(
            acc_policy="accurate",  # pieces of a gradient are added up in float32, in half precision too
            batch_chunk_size=max(ROWS, LOGITS // len(weight)) if device == "cpu" else None,
        ),
    )
