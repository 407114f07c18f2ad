"""Masked language modelling."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from archs.contract import Family

from ..rows import IGNORE, Batch, Row
from ..tokenizer import MASK, N_SPECIAL
from .base import Objective, tensor


class Masked(Objective):
    """Name the tokens at a share `rate` of the positions (Devlin et al. 2019, arXiv 1810.04805).

    Of these positions 80% read <mask>, 10% a random ordinary token and 10% the token itself. Special
    tokens are never chosen and never drawn. T positions and round(rate * T) targets per window of T,
    fewer only where a window holds fewer ordinary tokens.

        reads   w0 <mask> w2 w9 w4
        names      w1        w3
    """

    name = "masked"
    families = frozenset({Family.ENCODER})
    infill_context: ClassVar[Literal["both", "left"]] = "both"

    def __init__(self, rate: float = 0.15, *, family: Family, start: int | None = None) -> None:
        super().__init__(family=family, start=start)
        if not 0 < rate < 1:
            raise ValueError(f"objective.rate={rate} is not a share of the positions between 0 and 1")
        self.rate = rate

    @property
    def asked(self) -> str:
        return f"{self.name}, {self.rate:.0%}"

    def batch(self, windows: np.ndarray, rng: np.random.Generator, *, vocab_size: int) -> Batch:
        windows = windows.astype(np.int64)
        count = max(1, round(self.rate * windows.shape[1]))
        draw = rng.random(windows.shape)
        draw[windows < N_SPECIAL] = np.inf
        threshold = np.partition(draw, count - 1, axis=1)[:, count - 1 : count]
        chosen = (draw <= threshold) & (windows >= N_SPECIAL)

        how = rng.random(windows.shape)
        other = rng.integers(N_SPECIAL, vocab_size, windows.shape)
        tokens = np.where(chosen & (how < 0.8), MASK, windows)
        tokens = np.where(chosen & (how >= 0.9), other, tokens)
        targets = np.where(chosen, windows, IGNORE)
        return Batch(tensor(tokens), tensor(targets), consumed=windows.size)

    def continuation_prompt(self, context: np.ndarray, scored: np.ndarray) -> list[Row]:
        """One row per scored token: the true text so far, one <mask> at the end and nothing after it."""
        text = np.concatenate([context, scored])
        ends = len(context) + np.arange(len(scored))
        return [Row(np.append(text[:end], MASK), np.array([end]), text[end : end + 1]) for end in ends]

    def infill_prompt(self, left: np.ndarray, span: np.ndarray, right: np.ndarray) -> list[Row]:
        """The chain rule left to right, one row per token, the rest of the span masked."""
        text = np.concatenate([left, span, right])
        stop = len(left) + len(span)
        rows = []
        for at in range(len(left), stop):
            tokens = text.copy()
            tokens[at:stop] = MASK
            rows.append(Row(tokens, np.array([at]), text[at : at + 1]))
        return rows
