"""What a backbone says it costs is what it costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import FlopCounterMode

from archs.conformance.attention import Pairs, attention_by
from archs.conformance.subject import Subject, reading, tokens
from archs.contract import Family

WHERE = (
    "One multiply-add is 2, embedding lookups, norms, softmax and activations are 0, attention counts the "
    "pairs that may be read. A scan belongs into the test's flops_beyond_products. "
    "See archs.contract.Backbone.flops."
)


def counted(call: Callable[[], Any]) -> int:
    """FLOPs of matrix products and attention within `call`.

    torch's counter misses attention on a CPU and takes causal attention for the whole square: attention is
    counted by its pairs instead.
    """
    pairs = Pairs()
    # With gradients: kernels that only serve decoding would hide their products from the counter.
    with torch.enable_grad(), attention_by(pairs), FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops()) + pairs.flops


def _check(declared: int, found: int, beyond: int, call: str) -> None:
    __tracebackhide__ = True
    assert declared == found + beyond, (
        f"{call} says {declared}: {found} were counted in products and attention, and "
        f"flops_beyond_products says {beyond}, together {found + beyond}. {WHERE}"
    )


class Cost(Subject):
    def test_flops_as_counted(self) -> None:
        """A forward pass, with as many tokens scored as there are, and with fewer."""
        backbone = self._built()
        longest = self._longest(backbone)
        read = reading(backbone, 1, longest)
        S = longest if read else 0
        for length, scored in ((longest, None), (1, None), (longest, 2)):

            def forward(length: int = length, scored: int | None = scored) -> None:
                backbone.head(backbone(tokens(1, length), **read).hidden[:, :scored])

            call = f"flops({length}, {S}" + (f", scored={scored})" if scored else ")")
            _check(
                backbone.flops(length, S, scored),
                counted(forward),
                self.flops_beyond_products(length, S),
                call,
            )

    def test_flops_of_going_on(self) -> None:
        """A decoder's step with S tokens in its state."""
        backbone = self._built()
        self._skip(backbone, Family.ENCODER, "has no state to go on from")
        self._skip(backbone, Family.ENCODER_DECODER, "counts its source by S")
        S = self._longest(backbone) - 3
        x = tokens(1, S + 3)
        with torch.no_grad():
            state = backbone.step(x[:, :S], backbone.start(1, max_len=S + 3)).state
        for T in (1, 3):

            def step(T: int = T) -> None:
                backbone.head(backbone.step(x[:, S : S + T], tree_map(torch.clone, state)).hidden)

            _check(backbone.flops(T, S), counted(step), self.flops_beyond_products(T, S), f"flops({T}, {S})")

    def test_state_bytes_as_declared(self) -> None:
        """After T tokens and S of source, in single and in half precision."""
        for dtype in (torch.float32, torch.bfloat16):
            backbone = self._built().to(dtype)
            if backbone.family == Family.ENCODER:
                assert backbone.state_bytes(7, dtype=dtype) == 0, (
                    "an encoder carries no state: state_bytes is 0"
                )
                continue
            for T, S in ((1, 4), (self._longest(backbone), 7)):
                with torch.no_grad():
                    state = backbone.start(1, **reading(backbone, 1, S), max_len=T, dtype=dtype)
                    state = backbone.step(tokens(1, T), state).state
                held = sum(leaf.nbytes for leaf in tree_leaves(state))
                declared = backbone.state_bytes(T, S, dtype)
                assert declared == held, (
                    f"state_bytes({T}, {S}, {dtype}) says {declared}, but the state of start(1, max_len={T}) "
                    f"holds {held} after {T} tokens. Count every tensor of it: see archs.contract.Backbone."
                )
                alive = {s.data_ptr(): s.nbytes() for s in map(Tensor.untyped_storage, tree_leaves(state))}
                assert sum(alive.values()) <= held, (
                    f"the tensors of a state have {held} bytes, but are views of {sum(alive.values())} after "
                    f"{T} tokens, which stay alive as long as the state does: clone what you keep"
                )
