"""What a backbone asks of its token ids and masks before it reads them."""

from __future__ import annotations

import torch
from torch import Tensor


def check_tokens(tokens: Tensor, keep: Tensor | None, vocab_size: int, name: str = "tokens") -> None:
    """Raise ValueError, in one line, unless tokens are ids (B, T) of the vocabulary and keep is their mask.

    name: of the argument, for the message.
    """
    if tokens.ndim != 2 or tokens.numel() == 0 or tokens.dtype not in (torch.int64, torch.int32):
        raise ValueError(
            f"{name} are {tokens.dtype} {tuple(tokens.shape)}: expected torch.int64 (batch, length), "
            "both at least 1"
        )
    if keep is not None and (keep.shape != tokens.shape or keep.dtype != torch.bool):
        raise ValueError(
            f"the keep mask of {name} is {keep.dtype} {tuple(keep.shape)}: "
            f"expected torch.bool {tuple(tokens.shape)}"
        )
    if tokens.device.type == "cpu":  # elsewhere looking would stall the device
        low, high = (int(n) for n in tokens.aminmax())
        if low < 0 or high >= vocab_size:
            raise ValueError(f"{name} hold ids from {low} to {high}: expected 0 to {vocab_size - 1}")
