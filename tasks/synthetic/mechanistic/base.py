"""What the six mechanistic tasks share: one length that is trained, longer ones beyond it, and packing."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from archs.contract import Family

from ..generated import GeneratedTask
from ..guessing import uniform
from ..lengths import further, named, trained


class Mechanistic(GeneratedTask):
    """Base of the tasks of "Mechanistic Design and Scaling of Hybrid Architectures" (Poli et al. 2024, MAD,
    arXiv 2403.17844). Defaults are the published baseline settings; from there the published suite changes
    one variable at a time.

    What differs from the published protocol in all six:
    - every family is asked, not decoders alone, so that answers are read in place and stand nowhere to the
      right of where they are read;
    - accuracy is over all answers alike (micro); published is the mean over the symbols of the alphabet
      (macro), taken batch by batch;
    - examples belong to a split by their hash, so that none is in two; published splits are independent draws
      and may overlap;
    - the test examples are the same for every training seed;
    - the published score is the best of six rates and decays on the test split; here rates are chosen on
      validation, like everybody's.
    As published, `train_examples` examples are repeated in epochs (200 of them, in batches of 128).
    """

    def __init__(
        self,
        *,
        family: Family,
        start: int | None,
        parameters: Mapping[str, Any],
        alphabet: int,
        length: int,
        beyond: Sequence[int],
        shortest: int,
        even: bool | None = None,
        train_examples: int | None,
        validation_examples: int,
        test_examples: int,
        quick_examples: int,
        train_on: str = "answers",
    ) -> None:
        """length: of the sequence; beyond: lengths that are only evaluated; shortest: what makes sense."""
        lengths = trained("length", length, shortest, even=even)
        longer = further("beyond", beyond, "length", lengths, even=even)
        super().__init__(
            family=family,
            start=start,
            parameters=parameters,
            alphabet=alphabet,
            source_len=length,
            answer_len=length,
            in_place=True,
            slices=named("length", lengths),
            beyond=named("length", longer),
            train_examples=train_examples,
            validation_examples=validation_examples,
            test_examples=test_examples,
            quick_examples=quick_examples,
            train_on=train_on,
        )

    @property
    @abstractmethod
    def choices(self) -> int:
        """Symbols that an answer may be."""

    def baselines(self, split: str, *, quick: bool = False) -> dict[str, dict[str, float]]:
        """chance: any symbol that may be an answer, one as likely as the other."""
        return {"chance": uniform(self.examples(split), self.choices)}


def packed(flags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of flags (N, T): the places of those that are set (N, A), in order, and how many (N,).

    A is the largest number; behind its own number a row holds places that are not set.
    """
    counts = flags.sum(axis=1)
    return np.argsort(~flags, axis=1, kind="stable")[:, : counts.max()], counts


def first_seen(codes: np.ndarray) -> np.ndarray:
    """(N, P) whole numbers to (N, P): where in its row each of them stands first."""
    order = np.argsort(codes, axis=1, kind="stable")
    ordered = np.take_along_axis(codes, order, 1)
    begins = np.zeros(codes.shape, dtype=np.int64)
    begins[:, 1:] = np.where(ordered[:, 1:] != ordered[:, :-1], np.arange(1, codes.shape[1]), 0)
    heads = np.take_along_axis(order, np.maximum.accumulate(begins, axis=1), 1)
    first = np.empty_like(order)
    np.put_along_axis(first, order, heads, axis=1)
    return first


def one_of(rng: np.random.Generator, flags: np.ndarray) -> np.ndarray:
    """(N,) the place of one of the set flags (N, P) of each row, every one as likely; each row has one."""
    return np.where(flags, rng.random(flags.shape), -1.0).argmax(axis=1)
