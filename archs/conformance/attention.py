"""Where softmax attention happens, so that it can be counted and computed another way."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from archs.attend import attend

FUSED = F.scaled_dot_product_attention
Answer = Callable[..., Tensor]  # of scaled_dot_product_attention's arguments


class _Fused(TorchFunctionMode):
    """Lets `answer` stand in for torch's scaled_dot_product_attention."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is FUSED:
            return self.answer(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


@contextmanager
def attention_by(answer: Answer) -> Iterator[None]:
    """All attention within is what `answer` makes of it: archs.attend's, and calls of torch's own.

    Those of torch's layers are found under their name, imported ones by the mode; layers go their slow way,
    since the fast one calls nothing that can be seen.
    """

    def instead(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        scale: float,
        causal: bool = False,
        mask: Tensor | None = None,
        dropout: float = 0.0,
    ) -> Tensor:
        return answer(q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=causal, scale=scale)

    fast = torch.backends.mha.get_fastpath_enabled()
    with pytest.MonkeyPatch.context() as patch, _Fused(answer):
        patch.setattr(F, "scaled_dot_product_attention", answer)
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] == "archs" and vars(module).get("attend") is attend:
                patch.setattr(module, "attend", instead)
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)


def eager(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(q k^T * scale + mask) v, as the formula stands."""
    k, v = (t.repeat_interleave(q.shape[-3] // t.shape[-3], -3) for t in (k, v))
    scores = q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        scores = scores.masked_fill(~torch.ones_like(scores, dtype=torch.bool).tril(), -torch.inf)
    elif attn_mask is not None and attn_mask.dtype is torch.bool:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return scores.softmax(-1) @ v


class Pairs:
    """Counts the FLOPs of attention by the (query, key) pairs that are read: those masked are not."""

    def __init__(self) -> None:
        self.flops = 0

    def __call__(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        *heads, T, width = q.shape
        read = torch.ones(*heads, T, k.shape[-2], dtype=torch.bool)
        if is_causal:
            read = read.tril()
        elif attn_mask is not None:
            read = read & (attn_mask if attn_mask.dtype is torch.bool else attn_mask > -torch.inf)
        self.flops += 2 * (width + v.shape[-1]) * int(read.sum())
        return q.new_zeros(*heads, T, v.shape[-1])  # no value matters here, and no product is counted
