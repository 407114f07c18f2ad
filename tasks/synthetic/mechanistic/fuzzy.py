"""Fuzzy in-context recall: keys and values of several symbols (Poli et al. 2024, MAD, arXiv 2403.17844)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from archs.contract import Family

from ...example import Examples
from ...tokenizer import N_SPECIAL
from ..guessing import in_sight
from ..lengths import number
from .base import Mechanistic, first_seen, one_of, packed


class Pairs(NamedTuple):
    """Keys and values of N examples of P pairs; symbols behind a string's length mean nothing.

    keys (N, P, key_len), key_lens (N, P), values (N, P, value_len), value_lens (N, P)
    again (N, P) the key came before: its value is asked for; used (N, P) the pair is part of the example
    """

    keys: np.ndarray
    key_lens: np.ndarray
    values: np.ndarray
    value_lens: np.ndarray
    again: np.ndarray
    used: np.ndarray


class FuzzyRecall(Mechanistic):
    """Keys and values are strings; where a key comes again, the model names its value, symbol by symbol.

        position   0  1  2  3  4  5  6  7  8  9 10 11
        source     .  a  b  x  c  y  z  a  b  .  .  .      key_len = 2, value_len = 3, length = 12
        target                                x            keys "a b" and "c", values "x" and "y z"
                                                           read in place, at = [9]; "." is filler

    A key is 1 to key_len distinct symbols of [0, vocab / 2), a value 1 to value_len distinct symbols of
    [vocab / 2, vocab - 1), lengths uniform; the last symbol is filler. Where a key comes again, value_len
    fillers follow it, however long its value is: filler says that the key is complete, and its i-th is read
    for symbol i of the value, as far as the value goes. The last key is one that was seen. What remains of
    `length` is filled on the left.
    Published: 16 symbols, strings of up to 3, 128 tokens, 12,800 training examples; then 32, 64, 128 symbols;
    256, 512, 1024 tokens; 6400, 3200, 1600, 800 examples.

    Differs from the published task, besides what all six do (see Mechanistic): values are written once, since
    an encoder would read them to the right of where they are asked for, and symbols of a value are named
    without having seen those before; published keys have full length in the test split only, here lengths are
    drawn alike everywhere; only answers are trained on.
    train_on="all" is the published protocol, for decoders alone: values are written every time, and every
    next token is a target in training. Judged are the values of keys of full length, the only ones of which a
    decoder can know that they are complete; to have one, the first key has full length, and the last asks for
    such a key.
    """

    name = "fuzzy_recall"

    def __init__(
        self,
        *,
        family: Family,
        start: int | None = None,
        vocab: int = 16,
        key_len: int = 3,
        value_len: int = 3,
        length: int = 128,
        beyond: Sequence[int] = (),
        train_examples: int | None = 12800,
        train_on: str = "answers",
        validation_examples: int = 1000,
        test_examples: int = 1000,
        quick_examples: int = 256,
    ) -> None:
        """key_len, value_len: most symbols of a key and of a value."""
        self.keys, self.values = vocab // 2, vocab - 1 - vocab // 2
        self.filler = vocab - 1
        self.key_len, self.value_len = key_len, value_len
        self.written = train_on == "all"
        for key, most, symbols in (("key_len", key_len, self.keys), ("value_len", value_len, self.values)):
            if not 1 <= most <= symbols:
                raise ValueError(
                    f"task.{key}={most} must be from 1 to {symbols}, the symbols of task.vocab={vocab} for it"
                )
        super().__init__(
            family=family,
            start=start,
            parameters={"vocab": vocab, "key_len": key_len, "value_len": value_len, "train_on": train_on},
            alphabet=vocab,
            length=length,
            beyond=beyond,
            shortest=2 * (key_len + value_len),
            train_examples=train_examples,
            train_on=train_on,
            validation_examples=validation_examples,
            test_examples=test_examples,
            quick_examples=quick_examples,
        )

    @property
    def choices(self) -> int:
        return self.values

    def draw(self, part: str, rng: np.random.Generator, count: int) -> Examples:
        length, rows = number(part), np.arange(count)
        room = length - self.key_len - self.value_len  # so that one more pair fits behind
        key_lens = rng.integers(1, self.key_len + 1, (count, length // 2), dtype=np.int32)
        most = 1 + ((key_lens + 1).cumsum(axis=1) <= room).sum(axis=1).max()  # of pairs; a value has a symbol
        key_lens = key_lens[:, :most]
        if self.written:
            key_lens[:, 0] = self.key_len
        value_lens = rng.integers(1, self.value_len + 1, (count, most), dtype=np.int32)
        keys = strings(rng, (count, most), self.keys, self.key_len)
        values = strings(rng, (count, most), self.values, self.value_len) + self.keys

        first = first_seen(self.codes(keys, key_lens))
        again = first < np.arange(most)
        value_lens = np.take_along_axis(value_lens, first, 1)
        sizes = key_lens + (value_lens if self.written else np.where(again, self.value_len, value_lens))
        fit = sizes.cumsum(axis=1) <= room
        candidates = fit & ~again
        if self.written:
            candidates &= key_lens == self.key_len
        last, probed = fit.sum(axis=1), one_of(rng, candidates)
        for part_of in (keys, key_lens, value_lens):
            part_of[rows, last] = part_of[rows, probed]
        first[rows, last], again[rows, last] = probed, True
        values = np.take_along_axis(values, first[..., None], 1)
        pairs = Pairs(keys, key_lens, values, value_lens, again, np.arange(most) <= last[:, None])
        return self.assembled(length, Pairs(*(part_of[:, : last.max() + 1] for part_of in pairs)))

    def baselines(self, split: str, *, quick: bool = False) -> dict[str, dict[str, float]]:
        """chance; in sight: the value that stands there most often, whatever the key. More needs the key."""
        common = in_sight(self.examples(split), self.keys, self.keys + self.values)
        return {**super().baselines(split, quick=quick), "in sight": common}

    def codes(self, keys: np.ndarray, lens: np.ndarray) -> np.ndarray:
        """Keys (N, P, key_len) of lengths (N, P) as numbers (N, P), equal for equal keys."""
        digits = np.where(np.arange(self.key_len) < lens[..., None], keys + 1, 0)
        return sum(digits[..., i].astype(np.int64) * (self.keys + 1) ** i for i in range(self.key_len))

    def assembled(self, length: int, pairs: Pairs) -> Examples:
        """One pair after another, up to the right end."""
        probe = np.broadcast_to(pairs.again[..., None], pairs.values.shape)
        named = np.arange(self.value_len) < pairs.value_lens[..., None]
        asked = probe & named
        if self.written:
            asked &= (pairs.key_lens == self.key_len)[..., None]
        slots = named if self.written else named | probe
        shown = pairs.values if self.written else np.where(probe, self.filler, pairs.values)
        none = np.zeros(pairs.keys.shape, dtype=bool)

        def flat(of_keys: np.ndarray, of_values: np.ndarray) -> np.ndarray:
            return np.concatenate([of_keys, of_values], axis=2).reshape(len(probe), -1)

        inside = flat(np.arange(self.key_len) < pairs.key_lens[..., None], slots)
        inside &= np.repeat(pairs.used, self.key_len + self.value_len, axis=1)
        ahead = int(self.written)  # a written symbol is read one place before it
        right = np.arange(length + ahead) >= length + ahead - inside.sum(axis=1)[:, None]

        def aligned(symbols: np.ndarray, fill: int) -> np.ndarray:
            """What is inside, on the right."""
            out = np.full(right.shape, fill, dtype=symbols.dtype)
            out[right] = symbols[inside]
            return out

        source, truth = (aligned(flat(pairs.keys, of), self.filler) for of in (shown, pairs.values))
        places, counts = packed(aligned(flat(none, asked), False))
        target = np.take_along_axis(truth, places, 1)
        source, target = (ids.astype(np.int64) + N_SPECIAL for ids in (source[:, :length], target))
        return Examples(source, target, places - ahead, target_len=counts)


def strings(rng: np.random.Generator, shape: tuple[int, int], symbols: int, length: int) -> np.ndarray:
    """(*shape, length) of range(symbols), distinct within a string, every string as likely as any other."""
    out = np.empty((*shape, length), dtype=np.int32)
    for i in range(length):
        left = rng.integers(0, symbols - i, shape, dtype=np.int32)  # which of those that are left, in order
        for taken in np.moveaxis(np.sort(out[..., :i], axis=-1), -1, 0):
            left += left >= taken
        out[..., i] = left
    return out
