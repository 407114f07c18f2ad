"""Questions with their answers, before any family has seen them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

PAD = 0  # behind the end of a shorter source or answer; never part of either


class Example(NamedTuple):
    """A supervised example, as integer arrays of ids >= N_SPECIAL (a class may be any reserved token).

    source  (L,) what is read.
    target  (A,) the answer, always.
    at      (A,) positions in `source` where target[i] is read in place (associative recall, tagging),
            decidable from source[: at[i] + 1]; None where the answer follows the source
            (classification, translation, sorting).
    """

    source: np.ndarray
    target: np.ndarray
    at: np.ndarray | None = None


@dataclass(frozen=True)
class Examples:
    """N examples side by side: what generators draw, so that drawing is vectorised.

    source      (N, L) int64, target (N, A) int64, both PAD on the right where an example is shorter
    at          (N, A) int64, or None for all of them
    source_len  (N,) and target_len (N,): their lengths; None where all are L, or A, long
    """

    source: np.ndarray
    target: np.ndarray
    at: np.ndarray | None = None
    source_len: np.ndarray | None = None
    target_len: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, i: int) -> Example:
        sources, targets = self.source_lengths[i], self.target_lengths[i]
        at = None if self.at is None else self.at[i, :targets]
        return Example(self.source[i, :sources], self.target[i, :targets], at)

    def __iter__(self) -> Iterator[Example]:
        return (self[i] for i in range(len(self)))

    @property
    def source_lengths(self) -> np.ndarray:
        """(N,) int64."""
        return lengths(self.source, self.source_len)

    @property
    def target_lengths(self) -> np.ndarray:
        """(N,) int64."""
        return lengths(self.target, self.target_len)

    @property
    def tokens(self) -> int:
        """Of sources and answers together: what training on them consumes."""
        return int(self.source_lengths.sum() + self.target_lengths.sum())

    def take(self, which: np.ndarray | slice) -> Examples:
        """The examples at these indices, in this order."""
        optional = (self.at, self.source_len, self.target_len)
        return Examples(
            self.source[which],
            self.target[which],
            *(None if part is None else part[which] for part in optional),
        )

    @staticmethod
    def of(examples: Sequence[Example]) -> Examples:
        """Single examples side by side; `at` is given for all of them or for none."""
        at = None
        if examples[0].at is not None:
            at = padded([example.at for example in examples if example.at is not None])
        return Examples(
            padded([example.source for example in examples]),
            padded([example.target for example in examples]),
            at,
            np.array([len(example.source) for example in examples]),
            np.array([len(example.target) for example in examples]),
        )

    @staticmethod
    def concat(parts: Sequence[Examples]) -> Examples:
        """All examples of all parts, in order."""
        if len(parts) == 1:
            return parts[0]
        at = None if parts[0].at is None else stacked([part.at for part in parts if part.at is not None])
        return Examples(
            stacked([part.source for part in parts]),
            stacked([part.target for part in parts]),
            at,
            _joined([part.source for part in parts], [part.source_len for part in parts]),
            _joined([part.target for part in parts], [part.target_len for part in parts]),
        )

    @staticmethod
    def in_turn(parts: Sequence[Examples]) -> Examples:
        """a0 b0 c0 a1 b1 c1 ... of parts a, b, c of equal length."""
        order = np.arange(len(parts) * len(parts[0])).reshape(len(parts), -1).T.ravel()
        return Examples.concat(parts).take(order) if len(parts) > 1 else parts[0]


def lengths(rows: np.ndarray, known: np.ndarray | None) -> np.ndarray:
    return np.full(len(rows), rows.shape[1]) if known is None else known


def padded(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """1-D arrays as the rows of one, (N, longest), PAD on the right."""
    out = np.full((len(arrays), max(map(len, arrays))), PAD, dtype=np.int64)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return out


def stacked(blocks: Sequence[np.ndarray]) -> np.ndarray:
    """(N, L) arrays of any widths under one another, PAD on the right."""
    out = np.full((sum(map(len, blocks)), max(block.shape[1] for block in blocks)), PAD, dtype=np.int64)
    first = 0
    for block in blocks:
        out[first : first + len(block), : block.shape[1]] = block
        first += len(block)
    return out


def _joined(blocks: Sequence[np.ndarray], known: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """The lengths of all, or None where they are all alike and none is known."""
    if all(some is None for some in known) and len({block.shape[1] for block in blocks}) == 1:
        return None
    return np.concatenate([lengths(*pair) for pair in zip(blocks, known, strict=True)])
