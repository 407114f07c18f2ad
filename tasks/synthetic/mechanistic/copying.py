"""Selective copying (Gu and Dao 2023, arXiv 2312.00752; as in Poli et al. 2024, MAD, arXiv 2403.17844)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archs.contract import Family

from ...example import Examples
from ...tokenizer import N_SPECIAL
from ..lengths import number
from .base import Mechanistic


class SelectiveCopying(Mechanistic):
    """Symbols scattered among blanks; at the end the model names them in order.

        position  0  1  2  3  4  5  6  7  8
        source    .  b  .  .  a  >  .  .          tokens = 2, length = 8; "." is blank, ">" says copy
        target                      b  a          read in place, at = [6, 7]

    Symbols are uniform from [0, vocab - 2). Of the length - 2 tokens - 1 blanks before the mark, each stands
    before a symbol drawn uniformly, so that the last symbol is always next to the mark.
    Published: 16 symbols (blank and mark among them), 256 tokens, 16 to copy, 12,800 training examples; then
    32, 64, 128 symbols; 512, 1024 tokens; 6400, 3200, 1600, 800 examples; 32, 64, 96 to copy.

    Sequence and training are the published ones, which ask at blanks and train on answers only; what differs
    is what all six do (see Mechanistic).
    """

    name = "selective_copying"

    def __init__(
        self,
        *,
        family: Family,
        start: int | None = None,
        vocab: int = 16,
        tokens: int = 16,
        length: int = 256,
        beyond: Sequence[int] = (),
        train_examples: int | None = 12800,
        validation_examples: int = 1000,
        test_examples: int = 1000,
        quick_examples: int = 256,
    ) -> None:
        """tokens: how many are copied."""
        if vocab < 4:
            raise ValueError(f"task.vocab={vocab} must be at least 4: two symbols, the blank and the mark")
        if tokens < 1:
            raise ValueError(f"task.tokens={tokens} must be at least 1")
        self.symbols, self.blank, self.mark = vocab - 2, vocab - 2, vocab - 1
        self.tokens = tokens
        super().__init__(
            family=family,
            start=start,
            parameters={"vocab": vocab, "tokens": tokens},
            alphabet=vocab,
            length=length,
            beyond=beyond,
            shortest=2 * tokens + 1,
            train_examples=train_examples,
            validation_examples=validation_examples,
            test_examples=test_examples,
            quick_examples=quick_examples,
        )

    @property
    def choices(self) -> int:
        return self.symbols

    def draw(self, part: str, rng: np.random.Generator, count: int) -> Examples:
        length, n = number(part), self.tokens
        symbols = rng.integers(0, self.symbols, (count, n))
        before = rng.multinomial(length - 2 * n - 1, np.full(n, 1 / n), size=count)  # blanks, by symbol
        source = np.full((count, length), self.blank)
        np.put_along_axis(source, np.arange(n) + before.cumsum(axis=1), symbols, axis=1)
        source[:, length - n - 1] = self.mark
        at = np.broadcast_to(np.arange(length - n, length), (count, n))
        return Examples(source + N_SPECIAL, symbols + N_SPECIAL, at)
