"""One forward pass and any number of steps give the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from archs.conformance.subject import Subject, masks, reading, tokens
from archs.contract import Family

WHERE = (
    "step is forward from a state on, for any number of tokens (archs.contract.Autoregressive). Look at "
    "what the state holds: positions, keys, a convolution's last inputs, a recurrence's value."
)


class Stateful(Subject):
    def _autoregressive(self) -> Any:
        backbone = self._made()
        self._skip(backbone, Family.ENCODER, "carries no state")
        return backbone

    def _steps(self, backbone: Any, x: Tensor, sizes: list[int], read: dict[str, Tensor]) -> Tensor:
        state = backbone.start(len(x), **read, max_len=x.shape[1], dtype=self.dtype)
        hidden = []
        for piece in x.split(sizes, 1):
            out = backbone.step(piece, state)
            assert out.state is not None, "step gave no state to go on from: Output.state holds it"
            state = out.state
            hidden.append(out.hidden)
        return torch.cat(hidden, 1)

    def test_steps_are_one_forward(self) -> None:
        """Steps of 1 and of 3, and split in two anywhere."""
        backbone = self._autoregressive()
        T = self._longest(backbone)
        x, read = tokens(2, T), reading(backbone)
        splits = [[1] * T, [3] * (T // 3) + [T % 3] * (T % 3 > 0), [T]]
        splits += [[t, T - t] for t in range(1, T)]
        with torch.no_grad():
            whole = backbone(x, **read).hidden
            for sizes in splits:
                what = f"{T} tokens in steps of {sizes} and in one forward"
                self._equal(self._steps(backbone, x, sizes, read), whole, what, WHERE)

    def test_steps_have_the_gradients_of_one_forward(self) -> None:
        """A state is carried through training too: nothing is detached on the way."""
        backbone = self._autoregressive()
        T = self._longest(backbone)
        x, read = tokens(2, T), reading(backbone)
        named = [(name, p) for name, p in backbone.named_parameters() if p.requires_grad]
        sizes = [1, 1, T - 2] if T > 2 else [1] * T
        found = []
        for hidden in (backbone(x, **read).hidden, self._steps(backbone, x, sizes, read)):
            weights = torch.randn(
                hidden.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
            )
            total = (hidden * weights.to(self.dtype)).sum()
            found.append(torch.autograd.grad(total, [p for _, p in named], allow_unused=True))
        for (name, _), whole, steps in zip(named, *found, strict=True):
            if whole is not None:
                what = f"the gradient of {name} in steps of {sizes} and in one forward"
                assert steps is not None, f"{what}: the steps have none. Is the state detached?"
                self._equal(steps, whole, what, WHERE + " Is it detached?", 10)

    def test_rows_go_on_by_themselves(self) -> None:
        """Rows that keep different numbers of tokens per step: each is what it would be alone."""
        backbone = self._autoregressive()
        T = self._longest(backbone)
        x, read = tokens(3, T), reading(backbone, 3)
        with torch.no_grad():
            for seed, size in enumerate((1, 2, 5)):
                keep = masks(3, T, seed)
                keep[0, : T // 2] = False  # a row that begins with a step of pads alone
                keep[0, -1] = True
                state = backbone.start(3, **read, max_len=T, dtype=self.dtype)
                hidden = []
                for piece, kept in zip(x.split(size, 1), keep.split(size, 1), strict=True):
                    out = backbone.step(piece, state, kept)
                    state = out.state
                    hidden.append(out.hidden)
                steps = torch.cat(hidden, 1)
                for row in range(3):
                    alone = {"source": read["source"][row : row + 1]} if read else {}
                    shown = "".join(".x"[int(kept)] for kept in keep[row])
                    self._equal(
                        steps[row : row + 1, keep[row]],
                        backbone(x[row : row + 1, keep[row]], **alone).hidden,
                        f"a row in steps of {size} tokens, pads among them (keep {shown}), and without them",
                        "A pad changes no state, and positions count kept tokens. " + WHERE,
                    )

    def _halfway(self, backbone: Any) -> tuple[Any, Any, Tensor]:
        """A state of 2 rows before the first token, the one after half of the tokens, and the other half."""
        T = self._longest(backbone)
        first, second = tokens(2, T).split([T // 2, T - T // 2], 1)
        fresh = backbone.start(2, **reading(backbone), max_len=2 * T, dtype=self.dtype)
        state = backbone.step(first, tree_map(copied, fresh)).state
        for leaf in tree_leaves((fresh, state)):
            assert isinstance(leaf, Tensor), (
                f"the state holds a {type(leaf).__name__}: it is a pytree of tensors whose first axis is "
                "the batch, so that rows can be reordered (archs.contract.Output)"
            )
            assert leaf.shape[:1] == (2,), (
                f"the state of 2 rows holds a tensor of shape {tuple(leaf.shape)}: batch comes first"
            )
        return fresh, state, second

    def test_a_state_follows_its_rows(self) -> None:
        """A beam search reorders rows by a tree map, and goes on."""
        backbone = self._autoregressive()
        with torch.no_grad():
            _, state, x = self._halfway(backbone)
            straight = backbone.step(x, tree_map(torch.clone, state)).hidden
            swapped = backbone.step(x.flip(0), tree_map(lambda t: t[[1, 0]], state)).hidden
        what = "going on with rows swapped, in the tokens and in the state"
        self._equal(swapped.flip(0), straight, what, WHERE)

    def test_a_state_does_not_mix_rows(self) -> None:
        """One row begins anew: the other goes on as before."""
        backbone = self._autoregressive()
        with torch.no_grad():
            fresh, state, x = self._halfway(backbone)
            mixed = tree_map(lambda a, b: torch.stack([a[0], b[1]]), state, fresh)
            both, old, new = (backbone.step(x, start).hidden for start in (mixed, state, fresh))
        self._equal(both[0], old[0], "a row that goes on, beside one that begins anew and not", WHERE)
        self._equal(both[1], new[1], "a row that begins anew, beside one that goes on and not", WHERE)


def copied(leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, Tensor) else leaf
