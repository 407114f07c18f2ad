"""What one forward pass shares with all of its sublayers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor

if TYPE_CHECKING:
    from archs.positions import Position

Value = TypeVar("Value")


@dataclass(frozen=True)
class Context:
    """Built once per forward by the Stack; the only thing handed down beside x and the state.

    Rows are right-padded: the Stack has moved kept tokens to the front of each row (and moves the
    results back), so that no mixer has to know of any other padding.

    pos          (1 | B, T) int64, positions of this call's tokens; past the kept ones of a row, meaningless.
    keep         (B, T) bool, False only in the tail of a row; None where all tokens are kept.
    position     the scheme: mixers call its `rotate` and `bias`.
    seen         (B,) int64, tokens the state held before this call; None when there is no state.
    level        the number seen where it is the same for all rows, else None; 0 without a state.
    end          one past the last kept position of the longest row.
    memory       (B, S, D), what cross-attention reads; None in a step, whose state has it digested.
    memory_keep  (B, S) bool or None.
    collected    what sublayers contribute to losses of the whole stack, see `collect`.
    """

    pos: Tensor
    keep: Tensor | None
    position: Position
    end: int
    seen: Tensor | None = None
    level: int | None = 0
    memory: Tensor | None = None
    memory_keep: Tensor | None = None
    memo: dict[Any, Any] = field(default_factory=dict)
    collected: dict[str, tuple[Callable[[list[Tensor]], Tensor], list[Tensor]]] = field(default_factory=dict)

    def once(self, key: Any, make: Callable[[], Value]) -> Value:
        """What all sublayers share (tables, masks, biases) is made by the first that asks for it."""
        if key not in self.memo:
            self.memo[key] = make()
        value: Value = self.memo[key]
        return value

    def collect(self, name: str, loss: Callable[[list[Tensor]], Tensor], term: Tensor) -> None:
        """Add this sublayer's term to those that `loss` makes one weighted scalar of, `Output.aux[name]`."""
        self.collected.setdefault(name, (loss, []))[1].append(term)

    def fork(self) -> Context:
        """The same, to which one layer may add without changing this one: it can then be computed twice."""
        collected = {name: (loss, [*terms]) for name, (loss, terms) in self.collected.items()}
        return replace(self, memo={**self.memo}, collected=collected)

    def losses(self) -> dict[str, Tensor]:
        return {name: loss(terms) for name, (loss, terms) in self.collected.items()}
