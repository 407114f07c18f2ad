"""Dyck languages: brackets of several kinds, nested (Hewitt et al. 2020, arXiv 2010.07515, Dyck-(k, m))."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archs.contract import Family

from ..example import Examples
from ..tokenizer import N_SPECIAL
from .generated import GeneratedTask
from .guessing import uniform
from .lengths import further, named, number, trained


class Dyck(GeneratedTask):
    """Closing brackets are all written alike: name the kind that each of them closes.

        position  0  1  2  3  4  5  6  7
        source    (  [  {  |  |  [  |  |        kinds = 3, depth = 3, length = 8, "|" closes
        target                [        (        read in place, at = [4, 7]

    The literature shows the closing brackets and asks for the next one. Written alike they tell no less about
    what is open, and no answer is in the source, whichever sides of it a model sees. A bracket that closes
    right behind its opening needs no memory and is not asked; the others are of a kind that is independent of
    everything between, so that the latest opening is no better than a guess.

    Every sequence is a balanced word: two brackets open it, then each symbol opens or closes with equal
    probability where the rest of the length and `depth` leave a choice; kinds are uniform. Deeper ones
    (`beyond_depth`) begin with that many openings, so that they are as deep as their name says.
    """

    name = "dyck"

    def __init__(
        self,
        *,
        family: Family,
        start: int | None = None,
        kinds: int = 8,
        depth: int = 4,
        length: int | Sequence[int] = 64,
        beyond: Sequence[int] = (128,),
        beyond_depth: Sequence[int] = (8,),
        validation_examples: int = 1000,
        test_examples: int = 1000,
        quick_examples: int = 256,
    ) -> None:
        """depth: most brackets open at once. length: one, or several that are trained on in turn. beyond and
        beyond_depth: lengths, and depths at the longest length, that are only evaluated."""
        lengths = trained("length", length, 4, even=True)
        longer = further("beyond", beyond, "length", lengths, even=True)
        deeper = further("beyond_depth", beyond_depth, "depth", trained("depth", depth, 2))
        self.kinds, self.depth, self.longest = kinds, depth, max(lengths)
        if kinds < 2:
            raise ValueError(f"task.kinds={kinds} must be at least 2")
        for key, most, room in (
            ("depth", depth, min(lengths)),
            ("beyond_depth", max(deeper, default=0), self.longest),
        ):
            if most > room // 2:
                raise ValueError(f"task.{key}={most} does not fit task.length={room}: at most half of it")
        super().__init__(
            family=family,
            start=start,
            parameters={"kinds": kinds, "depth": depth, "longest": self.longest},
            alphabet=kinds + 1,
            source_len=self.longest,
            answer_len=self.longest // 2,
            in_place=True,
            slices=named("length", lengths),
            beyond=[*named("length", longer), *named("depth", deeper)],
            labels=np.arange(N_SPECIAL, N_SPECIAL + kinds),
            validation_examples=validation_examples,
            test_examples=test_examples,
            quick_examples=quick_examples,
        )

    def draw(self, part: str, rng: np.random.Generator, count: int) -> Examples:
        if part.startswith("depth"):
            length, depth, first = self.longest, number(part), number(part)
        else:
            length, depth, first = number(part), self.depth, 2
        opens = walk(rng, count, length, depth, first)
        kinds = nested(opens, rng.integers(0, self.kinds, (length, count)), depth).T  # (count, length)
        opens = opens.T
        source = np.where(opens, kinds, self.kinds)
        asked = np.zeros_like(opens)
        asked[:, 1:] = ~opens[:, 1:] & ~opens[:, :-1]
        target_len = asked.sum(axis=1)
        at = np.argsort(~asked, axis=1, kind="stable")[:, : target_len.max()]  # asked places, left to right
        inside = np.arange(at.shape[1]) < target_len[:, None]
        target = np.where(inside, np.take_along_axis(kinds, at, axis=1) + N_SPECIAL, 0)
        return Examples(source + N_SPECIAL, target, at * inside, target_len=target_len)

    def baselines(self, split: str, *, quick: bool = False) -> dict[str, dict[str, float]]:
        """chance: any of the kinds."""
        return {"chance": uniform(self.examples(split), self.kinds)}


def walk(rng: np.random.Generator, count: int, length: int, depth: int, first: int) -> np.ndarray:
    """(length, count) bool, where brackets open in balanced words that begin with `first` openings."""
    opens = rng.integers(0, 2, (length, count), dtype=np.int8).astype(bool)
    height = np.zeros(count, dtype=np.int64)
    for t in range(length):
        up = np.ones(count, dtype=bool) if t < first else opens[t] | (height == 0)
        opens[t] = up & (height < min(depth, length - t))
        height += np.where(opens[t], 1, -1)
    return opens


def nested(opens: np.ndarray, fresh: np.ndarray, depth: int) -> np.ndarray:
    """(length, count) the kind of the bracket that opens or closes at each place; one that opens has the kind
    that `fresh` (length, count) gives it."""
    stack = np.zeros((depth, opens.shape[1]), dtype=np.int64)
    columns = np.arange(opens.shape[1])
    height = np.zeros(opens.shape[1], dtype=np.int64)
    kinds = np.empty_like(fresh)
    for t, up in enumerate(opens):
        top = np.where(up, height, height - 1)  # where the bracket is, or was
        kinds[t] = stack[top, columns] = np.where(up, fresh[t], stack[top, columns])
        height = np.where(up, height + 1, height - 1)
    return kinds
