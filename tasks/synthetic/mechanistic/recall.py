"""In-context recall, with and without noise (Poli et al. 2024, MAD, arXiv 2403.17844)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from archs.contract import Family

from ...example import Examples
from ...tokenizer import N_SPECIAL
from ..guessing import in_sight
from ..lengths import number
from .base import Mechanistic, first_seen, one_of, packed


class Recall(Mechanistic):
    """Base: keys with values, one pair after the other; where a key comes again, its value is asked for.

    A key is drawn uniformly for every step, a value uniformly when its key is first seen; two keys may share
    one. The last step's key is drawn from those seen, so that something is asked.
    """

    def __init__(
        self,
        *,
        vocab: int,
        noise_vocab: int,
        noise: float,
        train_on: str,
        parameters: Mapping[str, Any],
        **rest: Any,
    ) -> None:
        """noise_vocab: how many of the `vocab` symbols are noise. noise: share of steps that are noise."""
        self.keys = (vocab - noise_vocab) // 2
        self.values = vocab - noise_vocab - self.keys
        self.noise_vocab, self.noise = noise_vocab, noise
        self.filler = vocab
        if self.keys < 2:
            raise ValueError(
                f"task.vocab={vocab} must be at least {noise_vocab + 4}: two keys and two values"
            )
        self.written = train_on == "all"
        super().__init__(
            alphabet=vocab + 1,
            parameters={"vocab": vocab, "train_on": train_on, **parameters},
            shortest=4,
            even=True,
            train_on=train_on,
            **rest,
        )

    @property
    def choices(self) -> int:
        return self.values

    def draw(self, part: str, rng: np.random.Generator, count: int) -> Examples:
        steps = number(part) // 2
        keys = rng.integers(0, self.keys, (count, steps))
        noisy = self.noise_steps(rng, count, steps)
        first = first_seen(np.where(noisy, -1, keys))
        seen = ~noisy & (first == np.arange(steps))
        seen[:, -1] = False
        probed = one_of(rng, seen)
        rows = np.arange(count)
        keys[:, -1], first[:, -1] = keys[rows, probed], probed
        again = ~noisy & (first < np.arange(steps))

        values = np.take_along_axis(rng.integers(0, self.values, (count, steps)), first, 1) + self.keys
        shown = values if self.written else np.where(again, self.filler, values)
        pairs = np.stack([keys, shown], axis=2)
        if self.noise_vocab:
            low = self.keys + self.values
            pairs = np.where(noisy[..., None], rng.integers(low, low + self.noise_vocab, pairs.shape), pairs)
        places, counts = packed(again)
        target = np.take_along_axis(values, places, 1)
        source = pairs.reshape(count, 2 * steps)[:, :-1]  # the last value is not written: nothing follows
        return Examples(source + N_SPECIAL, target + N_SPECIAL, 2 * places, target_len=counts)

    def baselines(self, split: str, *, quick: bool = False) -> dict[str, dict[str, float]]:
        """chance; in sight: the value that stands there most often, whatever the key. More needs the key."""
        common = in_sight(self.examples(split), self.keys, self.keys + self.values)
        return {**super().baselines(split, quick=quick), "in sight": common}

    def noise_steps(self, rng: np.random.Generator, count: int, steps: int) -> np.ndarray:
        """(count, steps) bool; the last step is none, nor is one of the others."""
        noisy = np.zeros((count, steps), dtype=bool)
        if self.noise_vocab:
            noisy = rng.random((count, steps)) < self.noise
            noisy[np.arange(count), rng.integers(0, steps - 1, count)] = False
            noisy[:, -1] = False
        return noisy


class InContextRecall(Recall):
    """Keys with values; where a key comes again, the model names the value it came with before.

        position  0  1  2  3  4  5  6  7  8
        source    k1 v1 k2 v2 k1  .  k3 v3 k2      length = 10, of which the last is not written
        target                v1           v2      read in place, at = [4, 8]; "." is filler

    Keys are symbols of [0, vocab / 2), values of [vocab / 2, vocab).
    Published: 16 symbols, 128 tokens, 12,800 training examples; then 32, 64, 128 symbols; 256, 512, 1024
    tokens; 6400, 3200, 1600, 800 examples.

    Differs from the published task, besides what all six do (see Mechanistic): a value is written once, where
    its key is first seen, and filler stands where it is asked for; published sequences write it every time,
    one place to the right of where it is asked for, where an encoder would look it up. Only answers are
    trained on; published is every next token.
    train_on="all" is the published protocol, for decoders alone: values are written every time, every next
    token is a target in training, and recalled values are what is judged.
    """

    name = "in_context_recall"

    def __init__(
        self,
        *,
        family: Family,
        start: int | None = None,
        vocab: int = 16,
        length: int = 128,
        beyond: Sequence[int] = (),
        train_examples: int | None = 12800,
        train_on: str = "answers",
        validation_examples: int = 1000,
        test_examples: int = 1000,
        quick_examples: int = 256,
    ) -> None:
        super().__init__(
            family=family,
            start=start,
            vocab=vocab,
            noise_vocab=0,
            noise=0.0,
            parameters={},
            length=length,
            beyond=beyond,
            train_examples=train_examples,
            train_on=train_on,
            validation_examples=validation_examples,
            test_examples=test_examples,
            quick_examples=quick_examples,
        )


class NoisyRecall(Recall):
    """In-context recall among steps that mean nothing.

        position  0  1  2  3  4  5  6  7  8  9 10
        source    k1 v1 n7 n3 k2 v2 k1  .  n1 n7 k2      length = 12, of which the last is not written
        target                      v1           v2      read in place, at = [6, 10]; "." is filler

    Noise is `noise_vocab` symbols of their own, the last of the `vocab`; keys are the first half of the
    others, values the second. A step is two random noise symbols with probability `noise`, but for one random
    step and the last.
    Published: 32 symbols, 16 of them noise, noise 0.2, 128 tokens, 12,800 training examples; then 48, 80, 144
    symbols; 256, 512, 1024 tokens; 6400, 3200, 1600, 800 examples; noise 0.4, 0.6, 0.8.

    Differs from the published task as in-context recall does: a value is written once; train_on="all" is the
    published protocol, for decoders alone.
    """

    name = "noisy_recall"

    def __init__(
        self,
        *,
        family: Family,
        start: int | None = None,
        vocab: int = 32,
        noise_vocab: int = 16,
        noise: float = 0.2,
        length: int = 128,
        beyond: Sequence[int] = (),
        train_examples: int | None = 12800,
        train_on: str = "answers",
        validation_examples: int = 1000,
        test_examples: int = 1000,
        quick_examples: int = 256,
    ) -> None:
        if noise_vocab < 1:
            raise ValueError(f"task.noise_vocab={noise_vocab} must be at least 1")
        if not 0 <= noise <= 1:
            raise ValueError(f"task.noise={noise} must be from 0 to 1, a share of the steps")
        super().__init__(
            family=family,
            start=start,
            vocab=vocab,
            noise_vocab=noise_vocab,
            noise=noise,
            parameters={"noise_vocab": noise_vocab, "noise": noise},
            length=length,
            beyond=beyond,
            train_examples=train_examples,
            train_on=train_on,
            validation_examples=validation_examples,
            test_examples=test_examples,
            quick_examples=quick_examples,
        )
