"""Two-way tables between our state dicts and those of transformers: the same rules read and write.

A rule names one key of ours, the keys of theirs that hold the same numbers, and how they are laid out
there. Both directions are strict: a table that leaves a key of either side out, or uses one twice, is an
error that names the key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

Weights = dict[str, Tensor]


class Op(Protocol):
    """How `count` tensors of theirs and one of ours hold the same numbers."""

    def read(self, theirs: list[Tensor]) -> Tensor:
        """theirs to ours. Raises ValueError where theirs are not what they should be."""

    def write(self, ours: Tensor, count: int) -> list[Tensor]:
        """ours to theirs."""


class Tied:
    """The same tensor, under one name or under several that must agree."""

    def read(self, theirs: list[Tensor]) -> Tensor:
        first, *others = theirs
        if not all(torch.equal(first, other) for other in others):
            raise ValueError("one tensor here, hold different numbers")
        return first

    def write(self, ours: Tensor, count: int) -> list[Tensor]:
        return [ours.clone()] * count


class First:
    """The first of theirs; the others are never read there, and get the same numbers."""

    def read(self, theirs: list[Tensor]) -> Tensor:
        return theirs[0]

    def write(self, ours: Tensor, count: int) -> list[Tensor]:
        return [ours.clone()] * count


class Transpose:
    """Theirs is (in, out), as GPT-2's Conv1D stores it."""

    def read(self, theirs: list[Tensor]) -> Tensor:
        return theirs[0].T

    def write(self, ours: Tensor, count: int) -> list[Tensor]:
        return [ours.T.clone(memory_format=torch.contiguous_format)]


@dataclass(frozen=True)
class Cat:
    """Ours holds theirs one below the other; sizes: rows of each."""

    sizes: tuple[int, ...]

    def read(self, theirs: list[Tensor]) -> Tensor:
        rows = tuple(len(tensor) for tensor in theirs)
        if rows != self.sizes:
            raise ValueError(f"have {rows} rows instead of {self.sizes}")
        return torch.cat(theirs)

    def write(self, ours: Tensor, count: int) -> list[Tensor]:
        return [piece.clone() for piece in ours.split(list(self.sizes))]


@dataclass(frozen=True)
class Unsqueeze:
    """Theirs has one axis more, of length 1, at `axis`."""

    axis: int

    def read(self, theirs: list[Tensor]) -> Tensor:
        if theirs[0].shape[self.axis] != 1:
            raise ValueError(f"has shape {tuple(theirs[0].shape)} instead of 1 on axis {self.axis}")
        return theirs[0].squeeze(self.axis)

    def write(self, ours: Tensor, count: int) -> list[Tensor]:
        return [ours.unsqueeze(self.axis).clone()]


@dataclass(frozen=True)
class AfterRows:
    """Theirs begins with rows that nothing reads: dropped here, zero there."""

    rows: int

    def read(self, theirs: list[Tensor]) -> Tensor:
        return theirs[0][self.rows :]

    def write(self, ours: Tensor, count: int) -> list[Tensor]:
        return [torch.cat([ours.new_zeros(self.rows, *ours.shape[1:]), ours])]


@dataclass(frozen=True)
class PlusFirstRow:
    """Theirs is a table and a second one of `rows` rows, of which row 0 is added to every row of the first.

    Ours is the sum. Written back, the second table is zero: the function is the same.
    """

    rows: int

    def read(self, theirs: list[Tensor]) -> Tensor:
        return theirs[0] + theirs[1][0]

    def write(self, ours: Tensor, count: int) -> list[Tensor]:
        return [ours.clone(), ours.new_zeros(self.rows, *ours.shape[1:])]


SAME = Tied()


class Rule(NamedTuple):
    """One key of ours, the keys of theirs, and the op between them."""

    ours: str
    theirs: tuple[str, ...]
    op: Op = SAME


def rule(ours: str, *theirs: str, op: Op = SAME) -> Rule:
    return Rule(ours, theirs, op)


def linear(ours: str, *theirs: str, bias: bool, op: Op = SAME) -> list[Rule]:
    """A linear map or a norm: its weight, and its bias where it has one, which no op but `Cat` concerns."""
    rules = [Rule(f"{ours}.weight", tuple(f"{name}.weight" for name in theirs), op)]
    if bias:
        names = tuple(f"{name}.bias" for name in theirs)
        rules.append(Rule(f"{ours}.bias", names, op if isinstance(op, Cat) else SAME))
    return rules


def layers(which: Iterable[int], rules: Iterable[Rule]) -> list[Rule]:
    """The rules of one layer, written with {i}, for each of these layers."""
    return [
        Rule(ours.replace("{i}", str(i)), tuple(name.replace("{i}", str(i)) for name in theirs), op)
        for i in which
        for ours, theirs, op in rules
    ]


def read(rules: list[Rule], theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> Weights:
    """Weights of theirs as weights of ours, which has to have the keys and shapes of `ours`.

    Raises ValueError naming a key of either side that is missing, left over, or of another shape.
    """
    _check("the model", [name for rule in rules for name in rule.theirs], theirs)
    _check("the backbone", [rule.ours for rule in rules], ours)
    weights: Weights = {}
    for key, names, op in rules:
        shown = ", ".join(names)
        try:
            weights[key] = op.read([theirs[name] for name in names])
        except ValueError as error:
            raise ValueError(f"{shown}: {error}") from None
        if weights[key].shape != ours[key].shape:
            raise ValueError(
                f"{shown}: gives {key} the shape {tuple(weights[key].shape)} instead of "
                f"{tuple(ours[key].shape)}"
            )
    return weights


def write(rules: list[Rule], ours: Mapping[str, Tensor]) -> Weights:
    """Weights of ours as weights of theirs. Raises ValueError naming a key that no rule or two rules use."""
    _check("the backbone", [rule.ours for rule in rules], ours)
    written = [
        pair for key, names, op in rules for pair in zip(names, op.write(ours[key], len(names)), strict=True)
    ]
    _check("the table", [name for name, _ in written], dict(written))
    return dict(written)


def _check(owner: str, named: list[str], there: Mapping[str, Tensor]) -> None:
    """Every key that is there is named exactly once, and every key that is named is there."""
    counts = Counter(named)
    for problem, keys in (
        ("has keys that two rules convert:", {key for key, count in counts.items() if count > 1}),
        ("has no", counts.keys() - there.keys()),
        ("has keys that no rule converts:", there.keys() - counts.keys()),
    ):
        if keys:
            first = sorted(keys)
            more = f" and {len(first) - 3} more" if len(first) > 3 else ""
            raise ValueError(f"{owner} {problem} {', '.join(first[:3])}{more}")
