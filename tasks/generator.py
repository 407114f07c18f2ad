"""Generated examples: reproducible streams, and splits that cannot overlap.

A task draws examples from a random stream addressed by (task, parameters, split, block of examples), plus
the seed in the training split only, so that what is drawn depends neither on workers nor on global random
state, and validation and test are the same for every seed. Which split an example belongs to is decided by
a hash of its source: a draw that belongs elsewhere is thrown away, and splits are disjoint by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .example import Example
from .rows import pad
from .streams import stream

SPLITS = ("test", "validation", "train")
BELONGS = np.array([0, 1, 2, 2, 2, 2, 2, 2])  # split by hash modulo 8: 1/8 test, 1/8 validation, 6/8 train
BLOCK = 1024  # training examples drawn together, so that drawing is vectorised
PATIENCE = 64  # draws of BLOCK examples in a row without a new one before a space counts as used up

# How many examples to draw from a random generator
Draw = Callable[[np.random.Generator, int], list[Example]]


def fingerprints(examples: Sequence[Example]) -> np.ndarray:
    """A 64-bit hash of every source (N,): equal for equal sources, otherwise as good as random."""
    sources = pad([example.source for example in examples], -1)[0].numpy().astype(np.uint64) + np.uint64(1)
    odd = stream("fingerprint").integers(0, 2**63, sources.shape[1], dtype=np.uint64) * np.uint64(
        2
    ) + np.uint64(1)
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


def training_block(draw: Draw, names: tuple, seed: int, block: int) -> list[Example]:
    """BLOCK training examples: a pure function of its arguments.

    names: what addresses the stream, the task and its parameters. Raises ValueError where the space is so
    small that no example of it falls to the training split.
    """
    rng = stream(*names, "train", block, seed)
    found: list[Example] = []
    for _ in range(PATIENCE):
        drawn = draw(rng, BLOCK)
        found += [drawn[i] for i in np.flatnonzero(belong(fingerprints(drawn), "train"))]
        if len(found) >= BLOCK:
            return found[:BLOCK]
    raise ValueError(
        f"{spelled(names)}: too few distinct examples exist to train on; enlarge the task's space"
    )


def fixed_examples(draw: Draw, names: tuple, split: str, count: int) -> list[Example]:
    """`count` distinct examples of "validation" or "test", the same for every seed.

    Raises ValueError where the space holds fewer.
    """
    found: dict[int, Example] = {}
    block = idle = 0
    while len(found) < count:
        drawn = draw(stream(*names, split, block), BLOCK)
        hashes = fingerprints(drawn)
        before = len(found)
        for i in np.flatnonzero(belong(hashes, split)):
            found.setdefault(int(hashes[i]), drawn[i])
        idle = idle + 1 if len(found) == before else 0
        if idle == PATIENCE:
            raise ValueError(
                f"{spelled(names)}: only {len(found)} distinct examples exist for {split}, not {count}; "
                "ask for fewer or enlarge the task's space"
            )
        block += 1
    return list(found.values())[:count]


def spelled(names: tuple) -> str:
    """("mqar", {"vocab": 16}, "pairs_2") as "task=mqar (vocab=16, pairs_2)"."""
    task, parameters, *rest = names
    return f"task={task} ({', '.join([f'{key}={value}' for key, value in parameters.items()] + rest)})"
