"""Generated tasks: an endless supply of examples, or a fixed number of them repeated in epochs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from archs.contract import Family

from ..example import Examples
from ..supervised import SOLVED, SupervisedTask, digest, shuffled
from ..tokenizer import EOS, N_SPECIAL
from .generator import BLOCK, fixed_examples, training_block


class GeneratedTask(SupervisedTask):
    """Base of synthetic tasks: a subclass says how examples are drawn, and nothing else.

    slices  names of the parts that are drawn in turn and reported apart: example i of a batch, of training
            or evaluation alike, belongs to slices[i % len(slices)]. A name is "<axis>_<number>" (pairs_8,
            length_128), so that a plot can show the metric against the number.
    beyond  parts that are only evaluated, longer or harder than what is trained on, and no part of the
            headline metrics.
    """

    solved_from = SOLVED
    test_is_training_map = False  # memorization: what is asked is what was shown, by definition

    def __init__(
        self,
        *,
        family: Family,
        start: int | None,
        parameters: Mapping[str, Any],
        alphabet: int,
        source_len: int,
        answer_len: int,
        in_place: bool,
        slices: Sequence[str],
        validation_examples: int,
        test_examples: int,
        quick_examples: int,
        beyond: Sequence[str] = (),
        labels: np.ndarray | None = None,
        train_examples: int | Mapping[str, int] | None = None,
        curriculum: bool = False,
        train_on: str = "answers",
    ) -> None:
        """parameters: what the examples depend on, by name (plain numbers). alphabet: its symbols, which
        are the ids N_SPECIAL .. N_SPECIAL + alphabet - 1. labels: None for all of them (and <eos>, where
        an answer may end before answer_len).

        train_examples: None for an endless supply, or how many of each slice make an epoch. curriculum: an
        epoch walks through the slices in their order and no batch mixes them; else it is shuffled.
        """
        counts = {"validation": validation_examples, "test": test_examples}
        for key, count in (*counts.items(), ("quick", quick_examples)):
            if count < len(slices):
                raise ValueError(
                    f"task.{key}_examples={count} must be at least {len(slices)}, one for each of: "
                    f"{', '.join(slices)}"
                )
        if isinstance(train_examples, int) and train_examples < 1:
            raise ValueError(f"task.train_examples={train_examples} must be at least 1, or null: endless")
        if curriculum and train_examples is None:
            raise ValueError("task.curriculum needs task.train_examples, since it orders an epoch")
        super().__init__(
            family=family,
            start=start,
            vocab_size=N_SPECIAL + alphabet,
            source_len=source_len,
            answer_len=answer_len,
            in_place=in_place,
            labels=symbols(alphabet, ends=not in_place and answer_len > 1) if labels is None else labels,
            train_on=train_on,
        )
        if self.test_is_training_map:
            self.asked += ", what was shown"
        self.slices, self.beyond = tuple(slices), tuple(beyond)
        self.quick_examples = quick_examples
        self.curriculum = curriculum
        self.train_examples = (
            dict.fromkeys(slices, train_examples) if isinstance(train_examples, int) else train_examples
        )
        self._names = (self.name, dict(parameters))
        self._held = {split: self._fixed(split, self.slices, count) for split, count in counts.items()}
        self._further = {
            split: {part: self._fixed(split, [part], -(-count // len(slices))) for part in beyond}
            for split, count in counts.items()
        }
        held = chain(
            *self._held.values(), *(part for parts in self._further.values() for part in parts.values())
        )
        self.digests = {"examples": digest(held)}
        self._latest: tuple[tuple[int, int], Examples] | None = None
        self._epoch: tuple[int, dict[str, Examples]] | None = None

    @abstractmethod
    def draw(self, part: str, rng: np.random.Generator, count: int) -> Examples:
        """`count` examples of slice `part`; every random choice comes from `rng`."""

    def examples(self, split: str) -> Examples:
        """The fixed examples of "validation" or "test", slices in turn."""
        return self._held[split]

    def parts(self, split: str) -> dict[str, slice]:
        k = len(self.slices)
        return {part: slice(i, None, k) for i, part in enumerate(self.slices)} if k > 1 or self.beyond else {}

    def further(self, split: str) -> dict[str, Examples]:
        return self._further[split]

    def quick(self, examples: Examples) -> Examples:
        return examples.take(slice(self.quick_examples))

    def training(self, seed: int, index: int, size: int) -> Examples:
        """Examples index * size and on of the training sequence, whatever the batch size."""
        if self.train_examples is None:
            self._check(size)
            return self._endless(seed, index * size, size)
        if self.curriculum:
            return self._walked(seed, index, size)
        whole = self._training_set(seed)[""]
        return whole.take(shuffled(self._names, seed, len(whole), index, size))

    def train_tokens(self) -> int | None:
        if self.train_examples is None:
            return None
        seed = 0 if self._epoch is None else self._epoch[0]  # seeds hardly differ in how much they hold
        return sum(part.tokens for part in self._training_set(seed).values())

    def typical(self, size: int, count: int) -> list[int]:
        """A curriculum's batches change along an epoch, so that they are looked at evenly over one."""
        if not self.curriculum or self.train_examples is None:
            return super().typical(size, count)
        batches = sum(number // size for number in self.train_examples.values())
        return [i * batches // count for i in range(count)]

    def _endless(self, seed: int, first: int, count: int) -> Examples:
        found = []
        while count:
            block, place = divmod(first, BLOCK * len(self.slices))
            here = self._block(seed, block).take(slice(place, place + count))
            found.append(here)
            first, count = first + len(here), count - len(here)
        return Examples.concat(found)

    def _block(self, seed: int, block: int) -> Examples:
        """BLOCK examples of each slice, in turn; the latest is kept, since batches come one after another."""
        if self._latest is None or self._latest[0] != (seed, block):
            parts = [self._drawn(part, seed, block) for part in self.slices]
            self._latest = (seed, block), Examples.in_turn(parts)
        return self._latest[1]

    def _drawn(self, part: str, seed: int, block: int) -> Examples:
        names = (*self._names, part)
        return training_block(partial(self.draw, part), names, seed, block, shared=self.test_is_training_map)

    def _training_set(self, seed: int) -> dict[str, Examples]:
        """The examples of an epoch: slice by slice for a curriculum, else all of them under ""."""
        if self._epoch is None or self._epoch[0] != seed:
            assert self.train_examples is not None
            parts = {}
            for part, count in self.train_examples.items():
                blocks = [self._drawn(part, seed, block) for block in range(-(-count // BLOCK))]
                parts[part] = Examples.concat(blocks).take(slice(count))
            self._epoch = seed, parts if self.curriculum else {"": Examples.concat(list(parts.values()))}
        return self._epoch[1]

    def _walked(self, seed: int, index: int, size: int) -> Examples:
        """Batch `index` of a curriculum: every epoch in the same order, from the first slice to the last.

        What does not fill a batch at the end of a slice is left out.
        """
        parts = self._training_set(seed)
        batches = {part: len(examples) // size for part, examples in parts.items()}
        if not all(batches.values()):
            raise ValueError(f"batch_size={size} is more than the task.train_examples of a slice")
        place = index % sum(batches.values())
        for part, count in batches.items():
            if place < count:
                return parts[part].take(slice(place * size, (place + 1) * size))
            place -= count
        raise AssertionError("a place behind the last batch of an epoch")

    def _fixed(self, split: str, parts: Sequence[str], count: int) -> Examples:
        share = -(-count // len(parts))
        drawn = [
            fixed_examples(
                partial(self.draw, part), (*self._names, part), split, share, shared=self.test_is_training_map
            )
            for part in parts
        ]
        return Examples.in_turn(drawn).take(slice(count))

    def _check(self, size: int) -> None:
        if size % len(self.slices):
            parts = ", ".join(self.slices)
            raise ValueError(f"batch_size={size} is no multiple of the {len(self.slices)} slices ({parts})")


def symbols(alphabet: int, ends: bool) -> np.ndarray:
    """The ids of a task's alphabet, with <eos> where answers end."""
    return np.concatenate([[EOS] if ends else [], np.arange(N_SPECIAL, N_SPECIAL + alphabet)]).astype(
        np.int64
    )
