"""ListOps (Nangia and Bowman 2018, arXiv 1804.06028) as drawn for Long Range Arena (Tay et al. 2020,
arXiv 2011.04006)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archs.contract import Family

from ..example import Examples
from ..tokenizer import N_SPECIAL
from .guessing import majority, uniform
from .kept import KeptTask

FOREST = 1024  # expressions drawn together; those of unwanted length are thrown away
PATIENCE = 128  # forests in a row without one of wanted length before there are none to be had
MIN, MAX, MED, SM = range(10, 14)  # symbols behind the ten digits
END = 14
LABELS = 15  # the first of ten symbols for the answers 0 to 9, which are none of the source's
DIGITS, NODES = 60, 80  # a node is NODE[i], i uniform: a digit with probability 0.75, then an operation
NODE = np.concatenate([np.tile(np.arange(10), 6), np.tile([MIN, MAX, MED, SM], 5)])


class ListOps(KeptTask):
    """A nested expression of list operations: name its value, a digit.

        source  [MAX 4 [SM 7 9 ] [MED 1 8 5 ] 0 ]
        target  6                                          follows the source, one of ten labels

    [MAX, [MIN, [MED (the median, rounded down) and [SM (the sum modulo 10) take 2 to `arguments` arguments.
    An argument is an operation with probability 0.25, unless it is at level `depth`, else a uniform digit;
    the whole is an operation. Sequences with min_length < tokens < max_length are kept; parentheses are not
    written. Source symbols are 15: digits, four operations, "]". Values are not balanced: compare with the
    majority.
    """

    name = "listops"
    version = 1

    def __init__(
        self,
        *,
        family: Family,
        cache_dir: str | Path,
        start: int | None = None,
        min_length: int = 50,
        max_length: int = 200,
        depth: int = 10,
        arguments: int = 10,
        train_examples: int | None = None,
        validation_examples: int = 1000,
        test_examples: int = 1000,
        quick_examples: int = 256,
    ) -> None:
        """train_examples: how many make an epoch; None for an endless supply."""
        if depth < 2 or arguments < 2:
            raise ValueError(f"task.depth={depth} and task.arguments={arguments} must be at least 2")
        if max_length < max(min_length, 3) + 4:  # with two arguments each, every third length is possible
            raise ValueError(
                f"task.max_length={max_length} must be at least {max(min_length, 3) + 4}, "
                f"4 more than task.min_length={min_length} and than 3"
            )
        self.min_length, self.max_length = min_length, max_length
        self.depth, self.arguments = depth, arguments
        super().__init__(
            cache_dir=cache_dir,
            family=family,
            start=start,
            parameters={
                "min_length": min_length,
                "max_length": max_length,
                "depth": depth,
                "arguments": arguments,
            },
            alphabet=LABELS + 10,
            source_len=max_length - 1,
            answer_len=1,
            in_place=False,
            slices=[f"length_{max_length}"],
            labels=np.arange(N_SPECIAL + LABELS, N_SPECIAL + LABELS + 10),
            train_examples=train_examples,
            validation_examples=validation_examples,
            test_examples=test_examples,
            quick_examples=quick_examples,
        )

    def draw(self, part: str, rng: np.random.Generator, count: int) -> Examples:
        found: list[Examples] = []
        idle = 0
        while sum(map(len, found)) < count:
            levels, tokens = forest(rng, FOREST, self.depth, self.arguments, self.max_length)
            fits = (tokens > self.min_length) & (tokens < self.max_length)
            if fits.any():
                found.append(examples([level.of(fits) for level in levels]))
            idle = 0 if fits.any() else idle + 1
            if idle == PATIENCE:
                raise ValueError(
                    f"task.min_length={self.min_length}: none of {PATIENCE * FOREST} expressions with "
                    f"task.depth={self.depth} and task.arguments={self.arguments} is longer and shorter than "
                    f"task.max_length={self.max_length}; lower the first or raise the others"
                )
        return Examples.concat(found).take(slice(count))

    def baselines(self, split: str, *, quick: bool = False) -> dict[str, dict[str, float]]:
        """chance: any digit; majority: always the commonest."""
        examples = self.examples(split)
        return {"chance": uniform(examples, 10), "majority": majority(examples)}


@dataclass(frozen=True)
class Level:
    """The nodes of many expressions that stand equally deep, from left to right.

    symbol (n,) digit or operation; arguments (n,) how many, 0 for a digit; tree (n,) the expression's number.
    Those of a node follow one another in the level below, in the order of the nodes.
    """

    symbol: np.ndarray
    arguments: np.ndarray
    tree: np.ndarray

    def of(self, wanted: np.ndarray) -> Level:
        """Its nodes in the expressions that are `wanted` (bool by expression), which are numbered anew."""
        keep = wanted[self.tree]
        anew = np.cumsum(wanted) - 1
        return Level(self.symbol[keep], self.arguments[keep], anew[self.tree[keep]])


def forest(
    rng: np.random.Generator, count: int, depth: int, arguments: int, enough: int
) -> tuple[list[Level], np.ndarray]:
    """`count` random expressions, level by level, and how many tokens each has. One that is known to have
    `enough` tokens is not drawn to its end."""
    tree = np.arange(count)
    tokens = np.ones(count, dtype=np.int64)
    levels: list[Level] = []
    for d in range(1, depth + 1):
        first, end = (DIGITS if d == 1 else 0), (DIGITS if d == depth else NODES)
        symbol = NODE[rng.integers(first, end, len(tree), dtype=np.uint8)]
        nested = np.flatnonzero(symbol >= MIN)
        number = np.zeros_like(symbol)
        number[nested] = rng.integers(2, arguments + 1, len(nested))
        # An operation adds its arguments and its end; an argument will have one token at least.
        tokens += np.bincount(tree[nested], 1 + number[nested], count).astype(np.int64)
        number[nested] *= (tokens < enough)[tree[nested]]
        levels.append(Level(symbol, number, tree))
        tree = np.repeat(tree, number)
    return levels, tokens


def examples(levels: list[Level]) -> Examples:
    """The expressions of finished levels, written out and evaluated."""
    sizes, values = zip(*evaluated(levels), strict=True)
    source_len, count = sizes[0], len(sizes[0])
    source = np.zeros((count, source_len.max()), dtype=np.int64)
    place = np.zeros(count, dtype=np.int64)  # of each node of a level
    for level, size, below in zip(levels, sizes, [*sizes[1:], None], strict=True):
        source[level.tree, place] = level.symbol + N_SPECIAL
        nested = level.arguments > 0
        source[level.tree[nested], (place + size - 1)[nested]] = END + N_SPECIAL
        if below is not None:  # an argument stands behind the operation and the arguments before it
            before = np.cumsum(below) - below
            first = np.cumsum(level.arguments) - level.arguments
            inside = before - np.repeat(before[first[nested]], level.arguments[nested])
            place = np.repeat(place, level.arguments) + 1 + inside
    target = values[0][:, None] + N_SPECIAL + LABELS
    return Examples(source, target, source_len=source_len)


def evaluated(levels: list[Level]) -> list[tuple[np.ndarray, np.ndarray]]:
    """For every level the tokens and the value of each of its nodes, both (n,)."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    sizes = values = np.zeros(0, dtype=np.int64)  # of the level below
    for level in reversed(levels):
        nested = level.arguments > 0
        size, value = np.ones_like(level.symbol), level.symbol.copy()
        if nested.any():
            arguments = level.arguments[nested]
            first = np.cumsum(arguments) - arguments
            size[nested] = 2 + np.add.reduceat(sizes, first)
            value[nested] = results(level.symbol[nested], values, first, arguments)
        sizes, values = size, value
        found.append((sizes, values))
    return found[::-1]


def results(
    operation: np.ndarray, values: np.ndarray, first: np.ndarray, arguments: np.ndarray
) -> np.ndarray:
    """(n,) what each operation makes of its arguments, `arguments` of the values from `first` on."""
    which = np.repeat(np.arange(len(first)), arguments)
    ordered = np.sort(10 * which + values) % 10  # within each operation
    last = first + arguments - 1
    median = (ordered[first + (arguments - 1) // 2] + ordered[first + arguments // 2]) // 2
    total = np.add.reduceat(values, first) % 10
    return np.choose(operation - MIN, [ordered[first], ordered[last], median, total])
