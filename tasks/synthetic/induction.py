"""Induction heads with a marker (Gu and Dao 2023, "Mamba", arXiv 2312.00752, section 4.1.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archs.contract import Family

from ..example import Examples
from ..tokenizer import N_SPECIAL
from .generated import GeneratedTask
from .guessing import uniform
from .lengths import further, named, number, trained

MARKER = 0  # the symbol that announces what must be remembered


class Induction(GeneratedTask):
    """Among random symbols stands a marker, once; at the end it stands again: name what followed it.

        position  0  1  2  3  4  5  6  7
        source    c  a  *  b  a  d  b  *        length = 8, "*" is the marker
        target                         b        read in place, at = [7]

    The marker is symbol 0, the others are drawn uniformly from [1, vocab), and the marker's first place is
    uniform among those that leave room for what follows it. What matters can stand anywhere, so that a model
    must choose by content what to keep; time-invariant recurrences cannot.
    """

    name = "induction"

    def __init__(
        self,
        *,
        family: Family,
        start: int | None = None,
        vocab: int = 16,
        length: int | Sequence[int] = 256,
        beyond: Sequence[int] = (512,),
        validation_examples: int = 1000,
        test_examples: int = 1000,
        quick_examples: int = 256,
    ) -> None:
        """length: one, or several that are trained on in turn. beyond: lengths that are only evaluated."""
        lengths = trained("length", length, 3)
        longer = further("beyond", beyond, "length", lengths)
        if vocab < 3:
            raise ValueError(
                f"task.vocab={vocab} must be at least 3: the marker and two symbols to tell apart"
            )
        self.vocab = vocab
        super().__init__(
            family=family,
            start=start,
            parameters={"vocab": vocab},
            alphabet=vocab,
            source_len=max(lengths),
            answer_len=1,
            in_place=True,
            slices=named("length", lengths),
            beyond=named("length", longer),
            labels=np.arange(N_SPECIAL + 1, N_SPECIAL + vocab),
            validation_examples=validation_examples,
            test_examples=test_examples,
            quick_examples=quick_examples,
        )

    def draw(self, part: str, rng: np.random.Generator, count: int) -> Examples:
        length, rows = number(part), np.arange(count)
        source = rng.integers(1, self.vocab, (count, length))
        place = rng.integers(0, length - 2, count)
        source[rows, place] = source[:, -1] = MARKER
        target = source[rows, place + 1][:, None]
        at = np.full((count, 1), length - 1)
        return Examples(source + N_SPECIAL, target + N_SPECIAL, at)

    def baselines(self, split: str, *, quick: bool = False) -> dict[str, dict[str, float]]:
        """chance: any symbol but the marker."""
        return {"chance": uniform(self.examples(split), self.vocab - 1)}
