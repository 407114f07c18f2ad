"""Prefix language modelling: read the beginning, name the rest."""

from __future__ import annotations

import numpy as np

from archs.contract import Family

from ..rows import IGNORE, PAD, Batch, Row
from .base import Objective, left_to_right, mask, tensor


class Prefix(Objective):
    """Name the tokens behind a split drawn uniformly from the window (Raffel et al. 2020, arXiv 1910.10683).

    A decoder attends causally and is scored on the suffix alone: T - 1 positions. An encoder-decoder
    reads the prefix into its encoder and its decoder emits the suffix: T positions before padding,
    at most 1.25 T with it. (T - 1) / 2 or T / 2 targets per window of T on average.

                 decoder                 encoder-decoder
        reads    w0 w1 w2 w3 w4          w0 w1 | <start> w2 w3 w4
        names       w2 w3 w4 w5                  w2      w3 w4 w5
    """

    name = "prefix"
    families = frozenset({Family.DECODER, Family.ENCODER_DECODER})

    def batch(self, windows: np.ndarray, rng: np.random.Generator, *, vocab_size: int) -> Batch:
        windows = windows.astype(np.int64)
        B, T = windows.shape
        if self.family is Family.DECODER:
            split = rng.integers(1, T, size=(B, 1))
            targets = np.where(np.arange(1, T) >= split, windows[:, 1:], IGNORE)
            return Batch(tensor(windows[:, :-1]), tensor(targets), consumed=windows.size)

        split = splits_of_one_quarter(rng, B, T)[:, None]
        column = np.arange(split.max())
        source_keep = column < split
        source = np.where(source_keep, windows[:, : split.max()], PAD)

        place = split + np.arange(T - split.min())
        keep = place < T
        suffix = np.take_along_axis(windows, np.minimum(place, T - 1), axis=1)
        tokens = np.where(keep, self.shifted(suffix), PAD)
        targets = np.where(keep, suffix, IGNORE)
        return Batch(
            tensor(tokens), tensor(targets), mask(keep), tensor(source), mask(source_keep), windows.size
        )

    def continuation_prompt(self, context: np.ndarray, scored: np.ndarray) -> list[Row]:
        if self.family is Family.DECODER:
            return [left_to_right(context, scored)]
        return [Row(self.decoder_inputs(scored), np.arange(len(scored)), scored, source=context)]

    def infill_prompt(self, left: np.ndarray, span: np.ndarray, right: np.ndarray) -> list[Row]:
        return self.continuation_prompt(left, span)


def splits_of_one_quarter(rng: np.random.Generator, count: int, T: int) -> np.ndarray:
    """`count` splits in 1..T-1, each uniform, but all from one quarter of the window.

    Sources and targets of a batch then differ in length by T / 4 at most, which is what padding wastes;
    independent splits would waste as much again as they compute.
    """
    quarter = rng.integers(0, T - 1) * 4 // (T - 1)
    low, high = (-(-q * (T - 1) // 4) for q in (quarter, quarter + 1))
    return 1 + rng.integers(low, high, size=count)
