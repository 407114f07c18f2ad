"""Multi-query associative recall (Arora et al. 2023, "Zoology", arXiv 2312.04927)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archs.contract import Family

from .example import Examples
from .generated import GeneratedTask
from .tokenizer import N_SPECIAL

FILLER = 0  # the symbol that stands where nothing is said; an ordinary one


class MQAR(GeneratedTask):
    """Key-value pairs, then some of the keys again; at each of these the model names the key's value.

        position  0  1  2  3  4  5  6  7  8  9 10 11
        source    k1 v1 k2 v2 k1  .  .  .  k2 .  .  .      pairs = 2, length = 12, "." is filler
        target                v1           v2              read in place, at = [4, 8]

    Keys are distinct symbols from [1, vocab / 2), values distinct ones from [vocab / 2, vocab). Pair j is
    asked for once, by its key alone, in slot s_j of the (length - 2 pairs) / 2 two-token slots behind the
    pairs; slots are drawn without replacement with p(i) proportional to i^(power_a - 1), i = 1, 2, ..., so
    that most queries come soon after the pairs and few late. The value is not written after the query.

    A decoder reads the source causally; an encoder reads it with both sides in sight; an encoder-decoder's
    encoder reads it, and its decoder re-reads it causally. All are read at the queries. A prediction is the
    argmax over the task's whole alphabet, for every family. Consumed tokens are source and answers.
    """

    name = "mqar"

    def __init__(
        self,
        *,
        family: Family,
        start: int | None = None,
        vocab: int = 8192,
        length: int = 64,
        pairs: int | Sequence[int] = 4,
        power_a: float = 0.01,
        random_non_queries: bool = False,
        validation_examples: int = 1000,
        test_examples: int = 1000,
        quick_examples: int = 256,
    ) -> None:
        """pairs: how many, or several numbers, that are trained on in turn and reported apart.
        random_non_queries: filler is a random symbol, which may happen to be a live key or value."""
        self.pairs = (pairs,) if isinstance(pairs, int) else tuple(pairs)
        check(vocab, length, self.pairs, power_a)
        self.vocab, self.length = vocab, length
        self.power_a, self.random_non_queries = power_a, random_non_queries
        super().__init__(
            family=family,
            start=start,
            parameters={
                "vocab": vocab,
                "length": length,
                "power_a": power_a,
                "random_non_queries": random_non_queries,
            },
            alphabet=vocab,
            source_len=length,
            answer_len=max(self.pairs),
            in_place=True,
            slices=[f"pairs_{n}" for n in self.pairs],
            validation_examples=validation_examples,
            test_examples=test_examples,
            quick_examples=quick_examples,
        )

    def draw(self, part: str, rng: np.random.Generator, count: int) -> Examples:
        pairs = self.pairs[self.slices.index(part)]
        V, L = self.vocab, self.length
        keys = distinct(rng, count, V // 2 - 1, pairs) + 1
        values = distinct(rng, count, V - V // 2, pairs) + V // 2
        slots = self.query_slots(rng, count, (L - 2 * pairs) // 2, pairs)
        at = 2 * pairs + 2 * slots

        source = np.full((count, L), FILLER)
        source[:, 0 : 2 * pairs : 2] = keys
        source[:, 1 : 2 * pairs : 2] = values
        np.put_along_axis(source, at, keys, axis=1)
        if self.random_non_queries:
            source = np.where(source == FILLER, rng.integers(0, V, source.shape), source)

        order = np.argsort(at, axis=1)  # answers from left to right
        at, target = np.take_along_axis(at, order, 1), np.take_along_axis(values, order, 1)
        return Examples(source + N_SPECIAL, target + N_SPECIAL, at)

    def query_slots(self, rng: np.random.Generator, count: int, slots: int, pairs: int) -> np.ndarray:
        """(count, pairs) distinct slots: the first `pairs` of exponential clocks with rates p(i) to ring,
        which is successive drawing without replacement."""
        rate = np.arange(1, slots + 1) ** (self.power_a - 1.0)
        ring = rng.standard_exponential((count, slots), dtype=np.float32) / rate.astype(np.float32)
        first = np.argpartition(ring, pairs - 1, axis=1)[:, :pairs]
        order = np.argsort(np.take_along_axis(ring, first, 1), axis=1)
        return np.take_along_axis(first, order, 1)

    def baselines(self, split: str, *, quick: bool = False) -> dict[str, dict[str, float]]:
        """chance: one of the values of the example, without knowing which belongs to the key asked for."""
        asked = self.examples(split).target_lengths
        return {"chance": {"accuracy": len(asked) / float(asked.sum())}}


def distinct(rng: np.random.Generator, count: int, space: int, n: int) -> np.ndarray:
    """(count, n) integers of range(space), distinct within a row, every ordered choice equally likely.

    Floyd's sampling (Bentley and Floyd 1987), a whole column at a time, then a shuffle of each row.
    """
    out = np.empty((count, n), dtype=np.int64)
    for j, top in enumerate(range(space - n, space)):
        drawn = rng.integers(0, top + 1, count)
        taken = (out[:, :j] == drawn[:, None]).any(axis=1)
        out[:, j] = np.where(taken, top, drawn)
    return rng.permuted(out, axis=1)


def check(vocab: int, length: int, pairs: tuple[int, ...], power_a: float) -> None:
    """Raises ValueError for parameters of which no example can be made."""
    if not pairs or min(pairs) < 1:
        raise ValueError(f"task.pairs={list(pairs)}: at least one pair is needed")
    if length % 2 or length < 4 * max(pairs):
        raise ValueError(
            f"task.length={length} must be even and at least {4 * max(pairs)}, "
            f"room for {max(pairs)} pairs and their queries"
        )
    if vocab <= length:
        raise ValueError(f"task.vocab={vocab} must be more than task.length={length}")
    if power_a <= 0:
        raise ValueError(f"task.power_a={power_a} must be positive (1 is uniform)")
