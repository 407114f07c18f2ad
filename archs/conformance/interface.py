"""The interface: members, shapes and types."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from archs.conformance.subject import VOCAB, Subject, reading, tokens
from archs.contract import Autoregressive, Family, LinearHead, Output

MEMBERS = ("family", "vocab_size", "max_len", "forward", "head", "flops", "state_bytes")


class Interface(Subject):
    def test_keeps_the_contract(self) -> None:
        backbone = self._made()
        missing = [name for name in MEMBERS if not hasattr(backbone, name)]
        assert not missing, f"no {', '.join(missing)}: see archs.contract.Backbone"
        assert isinstance(backbone.family, Family), f"family is {backbone.family!r}, not an archs.Family"
        assert backbone.vocab_size == VOCAB, (
            f"vocab_size is {backbone.vocab_size}, but build was given {VOCAB}: every token has a logit"
        )
        assert backbone.max_len is None or backbone.max_len >= 1, (
            f"max_len is {backbone.max_len}: the longest sequence it can read, or None where there is no end"
        )
        goes_on = backbone.family != Family.ENCODER
        assert isinstance(backbone, Autoregressive) == goes_on, f"a backbone of family {backbone.family} " + (
            "needs start and step: see archs.contract.Autoregressive" if goes_on else "has no start or step"
        )

    def test_gives_an_output(self) -> None:
        backbone = self._made()
        T = min(5, self._longest(backbone))
        out = backbone(tokens(2, T), **reading(backbone))
        assert isinstance(out, Output), f"forward gave {type(out).__name__}: see archs.contract.Output"
        assert out.hidden.ndim == 3, (
            f"hidden has shape {tuple(out.hidden.shape)}, expected (batch, length, dim)"
        )
        assert out.hidden.shape[:2] == (2, T), (
            f"hidden has shape {tuple(out.hidden.shape)}, expected (2, {T}, dim)"
        )
        assert out.state is None, (
            "forward gave a state, but none went in: state=None means that none is built"
        )
        for name, loss in out.aux.items():
            assert loss.ndim == 0, (
                f"aux[{name!r}] has shape {tuple(loss.shape)}: a weighted scalar is added to the loss"
            )
        logits = backbone.head(out.hidden)
        assert logits.shape == (2, T, VOCAB), (
            f"logits have shape {tuple(logits.shape)}, expected (2, {T}, {VOCAB})"
        )

    def test_the_same_again(self) -> None:
        """In eval mode a forward pass draws nothing and remembers nothing."""
        backbone = self._made()
        x, read = tokens(2, self._longest(backbone)), reading(backbone)
        with torch.no_grad():
            first = backbone(x, **read).hidden
            backbone(tokens(2, 1, seed=5), **read)
            self._equal(
                backbone(x, **read).hidden,
                first,
                "the same tokens in eval mode, another forward pass between",
                "Look for random numbers, or for a cache on the module: state is passed, not stored.",
            )

    def test_the_head_reads_each_position_by_itself(self) -> None:
        """Losses are computed from the positions that are scored, and from no others."""
        backbone = self._made()
        with torch.no_grad():
            hidden = backbone(tokens(2, self._longest(backbone)), **reading(backbone)).hidden
            logits = backbone.head(hidden)
            self._equal(
                backbone.head(hidden[1, -1]),
                logits[1, -1],
                "head(hidden[1, -1]) and head(hidden)[1, -1]",
                "head maps (..., dim) to (..., vocabulary), each position by itself: archs.contract.",
            )
            if isinstance(backbone, LinearHead):
                self._equal(
                    F.linear(*backbone.readout(hidden)),
                    logits,
                    "F.linear(*readout(hidden)) and head(hidden)",
                    "readout lays the head open, see archs.contract.LinearHead.",
                )
