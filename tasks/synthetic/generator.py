"""Generated examples: reproducible streams, and splits that cannot overlap.

A task draws examples from a random stream addressed by (task, parameters, split, block of examples), plus
the seed in the training split only, so that what is drawn depends neither on workers nor on global random
state, and validation and test are the same for every seed. Which split an example belongs to is decided by
a hash of its source: a draw that belongs elsewhere is thrown away, and splits are disjoint by construction.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..example import Examples
from ..streams import stream

SPLITS = ("test", "validation", "train")
BELONGS = np.array([0, 1, 2, 2, 2, 2, 2, 2])  # split by hash modulo 8: 1/8 test, 1/8 validation, 6/8 train
BLOCK = 1024  # training examples drawn together, so that drawing is vectorised
PATIENCE = 64  # draws of BLOCK examples in a row without a new one before a space counts as used up

# How many examples to draw from a random generator
Draw = Callable[[np.random.Generator, int], Examples]


def fingerprints(examples: Examples) -> np.ndarray:
    """A 64-bit hash of every source (N,): equal for equal sources, otherwise as good as random."""
    width = examples.source.shape[1]
    inside = np.arange(width) < examples.source_lengths[:, None]
    sources = np.where(inside, examples.source + 1, 0).astype(np.uint64)
    odd = stream("fingerprint").integers(0, 2**63, width, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    h = mixed(sources * odd).sum(axis=1, dtype=np.uint64)  # wraps around: arithmetic modulo 2^64
    return mixed(h)


def mixed(x: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele et al. 2014): every bit of x (uint64) moves every bit of the result."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def belong(hashes: np.ndarray, split: str) -> np.ndarray:
    """Which examples (N,) bool are of `split`, given their fingerprints."""
    return BELONGS[hashes % np.uint64(len(BELONGS))] == SPLITS.index(split)


def training_block(draw: Draw, names: tuple, seed: int, block: int, *, shared: bool = False) -> Examples:
    """BLOCK training examples: a pure function of its arguments.

    names: what addresses the stream, the task and its parameters. shared: splits are not held apart.
    Raises ValueError where the space is so small that no example of it falls to the training split.
    """
    rng = stream(*names, "train", block, seed)
    if shared:
        return draw(rng, BLOCK)
    found: list[Examples] = []
    for _ in range(PATIENCE):
        drawn = draw(rng, BLOCK)
        found.append(drawn.take(np.flatnonzero(belong(fingerprints(drawn), "train"))))
        if sum(map(len, found)) >= BLOCK:
            return Examples.concat(found).take(slice(BLOCK))
    raise ValueError(
        f"{spelled(names)}: too few distinct examples exist to train on; enlarge the task's space"
    )


def fixed_examples(draw: Draw, names: tuple, split: str, count: int, *, shared: bool = False) -> Examples:
    """`count` distinct examples of "validation" or "test", the same for every seed.

    Raises ValueError where the space holds fewer.
    """
    seen: set[int] = set()
    found: list[Examples] = []
    block = idle = 0
    while len(seen) < count:
        drawn = draw(stream(*names, split, block), BLOCK)
        hashes = fingerprints(drawn)
        _, firsts = np.unique(hashes, return_index=True)
        own = firsts if shared else firsts[belong(hashes[firsts], split)]
        new = np.sort([i for i in own if int(hashes[i]) not in seen]).astype(np.int64)
        seen |= {int(hashes[i]) for i in new}
        found.append(drawn.take(new))
        idle = 0 if len(new) else idle + 1
        if idle == PATIENCE:
            raise ValueError(
                f"{spelled(names)}: only {len(seen)} distinct examples exist for {split}, not {count}; "
                "ask for fewer or enlarge the task's space"
            )
        block += 1
    return Examples.concat(found).take(slice(count))


def spelled(names: tuple) -> str:
    """("mqar", {"vocab": 16}, "pairs_2") as "task=mqar (vocab=16, pairs_2)"."""
    task, parameters, *rest = names
    return f"task={task} ({', '.join([f'{key}={value}' for key, value in parameters.items()] + rest)})"
