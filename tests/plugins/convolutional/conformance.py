"""What the author of this plugin runs: pytest conformance.py."""

from convolutional import Convolutional

from archs.conformance import Conformance


class TestConvolutional(Conformance):
    def build(self, vocab_size):
        return Convolutional(vocab_size=vocab_size, channels=24, depth=2, taps=3, expansion=32)
