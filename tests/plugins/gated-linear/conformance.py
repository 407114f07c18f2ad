"""What the author of this plugin runs: pytest conformance.py."""

from functools import partial

from gated_linear import GatedLinear

from archs import Decoder, GatedMLP, LMHead, Position, RMSNorm
from archs.conformance import Conformance


class TestGatedLinear(Conformance):
    def build(self, vocab_size):
        return Decoder(
            vocab_size=vocab_size,
            dim=24,
            depth=2,
            mixer=partial(GatedLinear, heads=2, memory=5),
            mlp=partial(GatedMLP, hidden=32),
            norm=RMSNorm,
            position=Position,
            head=LMHead,
        )
