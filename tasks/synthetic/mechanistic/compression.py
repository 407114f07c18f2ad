"""Compression: a sequence in one vector (Poli et al. 2024, MAD, arXiv 2403.17844)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archs.contract import Backbone, Family

from ...example import Examples
from ...tokenizer import N_SPECIAL
from ..bottleneck import bottleneck
from ..lengths import number
from .base import Mechanistic


class Compression(Mechanistic):
    """Read random symbols; from the hidden vector of the last token alone, a probe names all of them.

        position  0  1  2  3  4
        source    c  a  b  a  |          length = 5, "|" is the end, whose hidden vector is read
        target    c  a  b  a             token i from that vector and position i, through an MLP

    Symbols are uniform from [0, vocab - 1). The layout is `bottleneck` for every family (see
    tasks.synthetic.bottleneck): nothing of the sequence reaches an answer but through that one vector, an
    encoder-decoder's being its decoder's last, which has re-read the source.
    Published: 16 symbols (the end among them), 32 tokens, 12,800 training examples; then 32, 64, 128 symbols;
    64, 128, 256 tokens; 6400, 3200, 1600, 800 examples.

    Differs from the published task, besides what all six do (see Mechanistic): the end, which is always the
    same, is not asked for; the probe ends in a norm and the backbone's own head.
    """

    name = "compression"

    def __init__(
        self,
        *,
        family: Family,
        start: int | None = None,
        vocab: int = 16,
        length: int = 32,
        beyond: Sequence[int] = (),
        train_examples: int | None = 12800,
        validation_examples: int = 1000,
        test_examples: int = 1000,
        quick_examples: int = 256,
    ) -> None:
        if vocab < 3:
            raise ValueError(f"task.vocab={vocab} must be at least 3: two symbols and the end")
        self.symbols, self.end = vocab - 1, vocab - 1
        super().__init__(
            family=family,
            start=start,
            parameters={"vocab": vocab},
            alphabet=vocab,
            length=length,
            beyond=beyond,
            shortest=2,
            train_examples=train_examples,
            validation_examples=validation_examples,
            test_examples=test_examples,
            quick_examples=quick_examples,
        )
        self.asked = "bottleneck"

    @classmethod
    def wrap(cls, backbone: Backbone) -> Backbone:
        return bottleneck(backbone)

    @property
    def choices(self) -> int:
        return self.symbols

    def draw(self, part: str, rng: np.random.Generator, count: int) -> Examples:
        length = number(part)
        source = rng.integers(0, self.symbols, (count, length)) + N_SPECIAL
        source[:, -1] = self.end + N_SPECIAL
        at = np.broadcast_to(np.arange(length - 1), (count, length - 1))
        return Examples(source, source[:, :-1], at)
