"""A sequence written out again: copied, reversed or sorted.

Copying: Jelassi et al. 2024, "Repeat After Me", arXiv 2402.01032. Reversing and (bucket) sorting: Deletang
et al. 2022, "Neural Networks and the Chomsky Hierarchy", arXiv 2207.02098.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from archs.contract import Family

from ..example import Examples
from ..layout import Laid, layout, longest
from ..tokenizer import EOS, N_SPECIAL
from .generated import GeneratedTask
from .lengths import further, named, number, trained


class Rewriting(GeneratedTask):
    """Base: random symbols, and an answer of as many symbols that follows them.

    An answer is judged as a whole (exact match); token accuracy is given the gold prefix, for families that
    see it. With several lengths, those of one batch are laid out for the longest: shorter answers end in
    <eos>. A length beyond training has answers of its own length.
    """

    def __init__(
        self,
        *,
        family: Family,
        start: int | None = None,
        vocab: int = 26,
        length: int | Sequence[int] = 32,
        beyond: Sequence[int] = (64,),
        validation_examples: int = 1000,
        test_examples: int = 1000,
        quick_examples: int = 256,
    ) -> None:
        """vocab: how many symbols. length: of the sequence; one, or several that are trained on in turn.
        beyond: lengths that are only evaluated."""
        lengths = trained("length", length, 1)
        longer = further("beyond", beyond, "length", lengths)
        if vocab < 2:
            raise ValueError(f"task.vocab={vocab} must be at least 2")
        self.vocab = vocab
        symbols = np.arange(N_SPECIAL, N_SPECIAL + vocab)
        super().__init__(
            family=family,
            start=start,
            parameters={"vocab": vocab},
            alphabet=vocab,
            source_len=max(lengths),
            answer_len=max(lengths),
            in_place=False,
            slices=named("length", lengths),
            beyond=named("length", longer),
            labels=symbols if len(lengths) == 1 else np.append(symbols, EOS),
            validation_examples=validation_examples,
            test_examples=test_examples,
            quick_examples=quick_examples,
        )

    @abstractmethod
    def rewritten(self, symbols: np.ndarray) -> np.ndarray:
        """The answers (N, L) to sequences (N, L)."""

    def draw(self, part: str, rng: np.random.Generator, count: int) -> Examples:
        symbols = rng.integers(0, self.vocab, (count, number(part)))
        return Examples(symbols + N_SPECIAL, self.rewritten(symbols) + N_SPECIAL)

    def laid(self, examples: Examples) -> Laid:
        answer_len = max(self.answer_len, examples.target.shape[1])  # beyond training: as long as the source
        return layout(self.family, examples, answer_len, self.start)

    def positions(self, examples: Examples) -> int:
        length = int(examples.source_lengths.max())
        return longest(self.family, length, max(self.answer_len, length), False)

    def baselines(self, split: str, *, quick: bool = False) -> dict[str, dict[str, float]]:
        """chance: any label for every answer token, ends included."""
        choices = float(len(self.labels))
        scored = np.minimum(self.examples(split).target_lengths + 1, self.answer_len)
        return {"chance": {"accuracy": 1 / choices, "exact_match": float(np.mean(choices**-scored))}}


class Copy(Rewriting):
    """Say the sequence again.

        source  d  a  c  a          length = 4
        target  d  a  c  a          follows the source

    All of it has to be kept, so that a state of fixed size must fail from some length on while attention,
    which looks back, need not.
    """

    name = "copy"

    def rewritten(self, symbols: np.ndarray) -> np.ndarray:
        return symbols

    def answer_depths(self, examples: Examples) -> np.ndarray:
        """Answer i stands at place i of the source."""
        return 100 * np.arange(examples.target.shape[1]) / examples.source_lengths[:, None]


class Reverse(Rewriting):
    """Say the sequence backwards.

        source  d  a  c  b          length = 4
        target  b  c  a  d          follows the source

    A stack's task: what came last is asked first.
    """

    name = "reverse"

    def rewritten(self, symbols: np.ndarray) -> np.ndarray:
        return symbols[:, ::-1]


class Sort(Rewriting):
    """Say the symbols in order, as often as they occur.

        source  d  a  c  a          length = 4
        target  a  a  c  d          follows the source

    With few symbols and long sequences it is counting; with many symbols it is ranking.
    """

    name = "sort"

    def rewritten(self, symbols: np.ndarray) -> np.ndarray:
        return np.sort(symbols, axis=1)
