"""What every backbone promises, as tests that an architecture's author runs on their own.

    # tests/test_mine.py
    from archs.conformance import Conformance
    from mine import Mine

    class TestMine(Conformance):
        def build(self, vocab_size):
            return Mine(vocab_size=vocab_size, dim=24, depth=2)

pytest collects the inherited tests; one that has no meaning for a family (a state, for an encoder) is
skipped with its reason. A failure says what was changed, what should have stayed, and where to look. What
may be set for an architecture (`dtype`, `tolerance`, `length`, `loss_band`, `learning_rate`,
`flops_beyond_products`) stands in `archs.conformance.subject.Subject`. Needs pytest.

interface   shapes, types, the head                causality  who sees whom
padding     pads change nothing                    state      one forward == any steps
cost        FLOPs and state bytes as declared      learning   loss, gradients, attention
weights     saving, initialisation, weight decay   refusals   bad input, in one line
"""

from archs.conformance.causality import Causality
from archs.conformance.cost import Cost
from archs.conformance.interface import Interface
from archs.conformance.learning import Learning
from archs.conformance.padding import Padding
from archs.conformance.refusals import Refusals
from archs.conformance.state import Stateful
from archs.conformance.weights import Weights

__all__ = ["Conformance"]


class Conformance(Interface, Causality, Padding, Stateful, Cost, Learning, Weights, Refusals):
    """Subclass it under a name that starts with Test, and define `build`."""
