"""Who sees whom."""

from __future__ import annotations

import torch

from archs.conformance.subject import Subject, changed, reading, tokens
from archs.contract import Family

VISIBLE = 1e-6  # a change smaller than this is none


class Causality(Subject):
    def test_no_token_sees_the_future(self) -> None:
        """Change token t: what stands before it stays."""
        backbone = self._made()
        self._skip(backbone, Family.ENCODER, "sees both sides")
        T = self._longest(backbone)
        x, read = tokens(2, T), reading(backbone)
        with torch.no_grad():
            before = backbone(x, **read).hidden
            for t in range(1, T):
                after = backbone(changed(x, t), **read).hidden
                self._equal(
                    after[:, :t],
                    before[:, :t],
                    f"token {t} of {T} was changed, and the hidden values of tokens 0 to {t - 1}",
                    "Look for a mask, a shift, a convolution's padding, or a norm or a pooling over time.",
                )

    def test_the_past_is_read(self) -> None:
        """Change token t: its own hidden value changes, and the next one's."""
        backbone = self._made()
        self._skip(backbone, Family.ENCODER, "has no past")
        T = self._longest(backbone)
        x, read = tokens(2, T), reading(backbone)
        with torch.no_grad():
            before = backbone(x, **read).hidden
            for t in range(T):
                moved = (backbone(changed(x, t), **read).hidden - before).abs().amax(-1)
                for reader in range(t, min(t + 2, T)):
                    assert (moved[:, reader] > VISIBLE).all(), (
                        f"token {t} of {T} was changed, and the hidden value of token {reader} stayed: "
                        "a decoder reads a token and what stands before it. Look at the mask or the shift."
                    )

    def test_both_sides_are_read(self) -> None:
        """Change one token: its neighbours on both sides see it. Of an encoder-decoder, in the source."""
        backbone = self._made()
        self._skip(backbone, Family.DECODER, "sees the left side alone")
        T = min(5, self._longest(backbone))
        x = tokens(2, T)
        with torch.no_grad():
            if backbone.family == Family.ENCODER_DECODER:
                for t in range(T):
                    before, after = (backbone(x, source=s).hidden for s in (x.flip(1), changed(x.flip(1), t)))
                    assert ((after - before).abs().amax(-1) > VISIBLE).all(), (
                        f"token {t} of {T} of the source was changed, and a hidden value stayed: "
                        "the decoder reads the whole source, at every position."
                    )
                return
            before = backbone(x).hidden
            for t in range(T):
                moved = (backbone(changed(x, t)).hidden - before).abs().amax(-1)
                for reader in range(max(t - 1, 0), min(t + 2, T)):
                    assert (moved[:, reader] > VISIBLE).all(), (
                        f"token {t} of {T} was changed, and the hidden value of token {reader} stayed: an "
                        "encoder sees both sides. Look for a causal mask or a mixer that only looks back."
                    )
