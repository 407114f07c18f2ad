"""Next-token prediction, plain and with the middle moved to the end."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from archs.contract import Family

from ..rows import IGNORE, PAD, Batch, Row
from ..tokenizer import SENTINELS
from .base import Objective, left_to_right, mask, tensor

PRE, SUF, MID, END = SENTINELS[:4]


class Causal(Objective):
    """Name every next token: T - 1 positions and T - 1 targets per window of T.

    reads   w0 w1 w2 w3
    names   w1 w2 w3 w4
    """

    name = "causal"
    families = frozenset({Family.DECODER})
    continues = True

    def batch(self, windows: np.ndarray, rng: np.random.Generator, *, vocab_size: int) -> Batch:
        windows = windows.astype(np.int64)
        return Batch(tensor(windows[:, :-1]), tensor(windows[:, 1:]), consumed=windows.size)

    def continuation_prompt(self, context: np.ndarray, scored: np.ndarray) -> list[Row]:
        return [left_to_right(context, scored)]

    def infill_prompt(self, left: np.ndarray, span: np.ndarray, right: np.ndarray) -> list[Row]:
        return [left_to_right(left, span)]


class FillInTheMiddle(Causal):
    """Causal, a share `rate` of the windows with their middle moved behind their end.

    Prefix, suffix, middle ("PSM") with the first four sentinels as markers, cut at two places drawn
    uniformly (Bavarian et al. 2022, arXiv 2207.14255, who recommend a rate of 0.5 to 0.9):

        window   w0 w1 w2 w3 w4          cut before w1 and w3
        names    <0> w0 <1> w3 w4 <2> w1 w2 <3>

    T + 3 positions and targets per moved window, T - 1 per other. Continuation is asked causally.
    """

    name = "fim"
    markers = 3
    continues = False
    infill_context: ClassVar[Literal["both", "left"]] = "both"

    def __init__(self, rate: float = 0.5, *, family: Family, start: int | None = None) -> None:
        super().__init__(family=family, start=start)
        if not 0 < rate <= 1:
            raise ValueError(f"objective.rate={rate} is not a share of the windows above 0 and at most 1")
        self.rate = rate

    def batch(self, windows: np.ndarray, rng: np.random.Generator, *, vocab_size: int) -> Batch:
        B, T = windows.shape
        moved = rng.random((B,)) < self.rate
        first, last = np.sort(rng.integers(0, T + 1, size=(2, B)), axis=0)[..., None]  # (B, 1) each
        j = np.arange(T)
        middle = T + 3 - last + j  # where token j of the middle goes: behind suffix and three markers
        place = np.where(j < first, 1 + j, np.where(j < last, middle, 2 + first - last + j))
        place = np.where(moved[:, None], place, j)

        rows = np.full((B, T + 4), PAD, dtype=np.int64)
        np.put_along_axis(rows, place, windows.astype(np.int64), axis=1)
        at = np.flatnonzero(moved)
        rows[at, 0], rows[at, T + 3] = PRE, END
        rows[at, 1 + first[at, 0]] = SUF
        rows[at, 2 + (first + T - last)[at, 0]] = MID

        length = np.where(moved, T + 4, T)[:, None]
        width = int(length.max())
        targets = np.where(np.arange(1, width) < length, rows[:, 1:width], IGNORE)
        keep = np.arange(width - 1) < length - 1
        return Batch(tensor(rows[:, : width - 1]), tensor(targets), mask(keep), consumed=windows.size)

    def infill_prompt(self, left: np.ndarray, span: np.ndarray, right: np.ndarray) -> list[Row]:
        return [left_to_right(np.concatenate([[PRE], left, [SUF], right, [MID]]), span)]
