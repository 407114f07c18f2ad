"""Memorization: facts that stand in no input (Poli et al. 2024, MAD, arXiv 2403.17844)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archs.contract import Family

from ...example import Examples
from ...streams import stream
from ...tokenizer import N_SPECIAL
from ..lengths import number
from .base import Mechanistic


class Memorization(Mechanistic):
    """Every key has one value, in all examples alike, which the weights have to hold.

        position  0  1  2  3  4  5
        source    k5 ?  k1 ?  k5 ?          length = 6, "?" is where a value is asked for
        target       v5    v1    v5         read in place, at = [1, 3, 5]

    Keys are uniform from the first half of the vocab - 1 symbols before "?", values are the other half, and
    the map from one to the other is one random pairing, the same for every seed, split and model.
    Its test is its training map: what is asked in the test split was shown in training, which is the point,
    and its splits are not held apart.
    Published: 256 symbols, 32 tokens, 256 training examples; then 512 to 8192 symbols, each twice the last.
    The 256 examples show all of the 127 keys, but of the 4095 keys of 8192 symbols only 63%: that bounds what
    can be reached.

    Sequence and training are the published ones, which train on answers only; the pairing is another random
    one, and what all six do differs (see Mechanistic).
    """

    name = "memorization"
    test_is_training_map = True

    def __init__(
        self,
        *,
        family: Family,
        start: int | None = None,
        vocab: int = 256,
        length: int = 32,
        beyond: Sequence[int] = (),
        train_examples: int | None = 256,
        validation_examples: int = 1000,
        test_examples: int = 1000,
        quick_examples: int = 256,
    ) -> None:
        if vocab < 5:
            raise ValueError(f'task.vocab={vocab} must be at least 5: two keys, two values and "?"')
        self.keys, self.ask = (vocab - 1) // 2, vocab - 1
        pairing = stream(self.name, {"vocab": vocab}, "pairing")
        self.value_of = self.keys + pairing.permutation(vocab - 1 - self.keys)[: self.keys]
        super().__init__(
            family=family,
            start=start,
            parameters={"vocab": vocab},
            alphabet=vocab,
            length=length,
            beyond=beyond,
            shortest=2,
            even=True,
            train_examples=train_examples,
            validation_examples=validation_examples,
            test_examples=test_examples,
            quick_examples=quick_examples,
        )

    @property
    def choices(self) -> int:
        return self.ask - self.keys

    def draw(self, part: str, rng: np.random.Generator, count: int) -> Examples:
        length = number(part)
        keys = rng.integers(0, self.keys, (count, length // 2))
        source = np.full((count, length), self.ask)
        source[:, ::2] = keys
        at = np.broadcast_to(np.arange(1, length, 2), keys.shape)
        return Examples(source + N_SPECIAL, self.value_of[keys] + N_SPECIAL, at)
