"""State tracking: what a sequence has come to, asked at every place.

Deletang et al. 2022, arXiv 2207.02098 (parity check, modular arithmetic); Merrill et al. 2024, arXiv
2404.08819 (asked after every prefix); Grazzi et al. 2024, arXiv 2411.12537 (what linear recurrences count).

Deletang and Grazzi ask once, after sequences of every length up to a longest one; Merrill asks after every
prefix, and so do we: it is the same question at all those lengths at once, without padding, with an answer at
every place to learn from, and a model that manages short prefixes only is seen to. Beyond training, only
prefixes longer than any trained on are asked, so that guessing stays at chance there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archs.contract import Family

from ..example import Examples
from ..tokenizer import N_SPECIAL
from .generated import GeneratedTask
from .guessing import majority, uniform
from .lengths import further, named, number, trained


def check_modulus(modulus: int) -> None:
    if modulus < 2:
        raise ValueError(f"task.modulus={modulus} must be at least 2")


class Parity(GeneratedTask):
    """The sum of all symbols so far, modulo `modulus`: of two, whether the number of ones is odd.

        position  0  1  2  3  4  5
        source    1  0  1  1  0  1          modulus = 2, length = 6
        target    1  1  0  1  1  0          read in place, everywhere

    Symbols are uniform, hence so is every answer, whatever came before. Linear recurrences with eigenvalues
    in [0, 1] cannot do it for 2; counting modulo 3 also needs more than eigenvalues in [-1, 1].
    """

    name = "parity"

    def __init__(
        self,
        *,
        family: Family,
        start: int | None = None,
        modulus: int = 2,
        length: int | Sequence[int] = 40,
        beyond: Sequence[int] = (80, 160),
        validation_examples: int = 1000,
        test_examples: int = 1000,
        quick_examples: int = 256,
    ) -> None:
        """length: one, or several that are trained on in turn. beyond: lengths that are only evaluated."""
        lengths = trained("length", length, 1)
        longer = further("beyond", beyond, "length", lengths)
        check_modulus(modulus)
        self.modulus, self.longest = modulus, max(lengths)
        super().__init__(
            family=family,
            start=start,
            parameters={"modulus": modulus, "longest": self.longest},
            alphabet=modulus,
            source_len=self.longest,
            answer_len=self.longest,
            in_place=True,
            slices=named("length", lengths),
            beyond=named("length", longer),
            validation_examples=validation_examples,
            test_examples=test_examples,
            quick_examples=quick_examples,
        )

    def draw(self, part: str, rng: np.random.Generator, count: int) -> Examples:
        length = number(part)
        steps = rng.integers(0, self.modulus, (count, length))
        first = 0 if length <= self.longest else self.longest
        at = np.tile(np.arange(first, length), (count, 1))
        target = np.cumsum(steps, axis=1)[:, first:] % self.modulus
        return Examples(steps + N_SPECIAL, target + N_SPECIAL, at)

    def baselines(self, split: str, *, quick: bool = False) -> dict[str, dict[str, float]]:
        """chance: any of the values."""
        return {"chance": uniform(self.examples(split), self.modulus)}


class ModularArithmetic(GeneratedTask):
    """The value so far of an expression in +, - and x, modulo `modulus`; x binds tighter.

        position  0  1  2  3  4  5  6
        source    3  +  4  x  2  -  1       modulus = 5, length = 7
        target    3     2     1     0       read in place at the numbers, at = [0, 2, 4, 6]

    Numbers and operators are uniform. A product is more often 0 than anything else, so that answers are not
    balanced: compare with the majority. What must be kept is a sum and a product, modulus^2 states.
    """

    name = "modular_arithmetic"

    def __init__(
        self,
        *,
        family: Family,
        start: int | None = None,
        modulus: int = 5,
        length: int | Sequence[int] = 39,
        beyond: Sequence[int] = (79, 159),
        validation_examples: int = 1000,
        test_examples: int = 1000,
        quick_examples: int = 256,
    ) -> None:
        """length: in tokens, hence odd; one, or several that are trained on in turn. beyond: lengths that are
        only evaluated."""
        lengths = trained("length", length, 3, even=False)
        longer = further("beyond", beyond, "length", lengths, even=False)
        check_modulus(modulus)
        self.modulus, self.longest = modulus, max(lengths)
        super().__init__(
            family=family,
            start=start,
            parameters={"modulus": modulus, "longest": self.longest},
            alphabet=modulus + 3,
            source_len=self.longest,
            answer_len=(self.longest + 1) // 2,
            in_place=True,
            slices=named("length", lengths),
            beyond=named("length", longer),
            labels=np.arange(N_SPECIAL, N_SPECIAL + modulus),
            validation_examples=validation_examples,
            test_examples=test_examples,
            quick_examples=quick_examples,
        )

    def draw(self, part: str, rng: np.random.Generator, count: int) -> Examples:
        length = number(part)
        terms = rng.integers(0, self.modulus, ((length + 1) // 2, count))
        operators = rng.integers(0, 3, (length // 2, count))
        source = np.empty((count, length), dtype=np.int64)
        source[:, 0::2], source[:, 1::2] = terms.T, operators.T + self.modulus
        first = 0 if length <= self.longest else (self.longest + 1) // 2
        target = values(terms, operators, self.modulus).T[:, first:]
        at = np.tile(np.arange(2 * first, length, 2), (count, 1))
        return Examples(source + N_SPECIAL, target + N_SPECIAL, at)

    def baselines(self, split: str, *, quick: bool = False) -> dict[str, dict[str, float]]:
        """chance: any of the numbers; majority: always the commonest."""
        examples = self.examples(split)
        return {"chance": uniform(examples, self.modulus), "majority": majority(examples)}


def values(terms: np.ndarray, operators: np.ndarray, modulus: int) -> np.ndarray:
    """(n, N) value after each of n terms (n, N), with operators (n - 1, N) between them: 0 is +, 1 -, 2 x."""
    out = np.empty_like(terms)
    total, product = np.zeros_like(terms[0]), terms[0]  # what is finished, and the product still going on
    out[0] = product
    for i, operator in enumerate(operators, start=1):
        times = operator == 2
        total = np.where(times, total, total + product)
        product = np.where(times, product * terms[i], np.where(operator == 1, -terms[i], terms[i])) % modulus
        out[i] = (total + product) % modulus
    return out
