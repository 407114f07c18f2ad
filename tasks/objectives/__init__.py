"""How a corpus window becomes inputs and targets, one objective per class."""

from archs.contract import Family

from .base import Objective
from .causal import Causal, FillInTheMiddle
from .masked import Masked
from .prefix import Prefix
from .span import Span, SpanPrefix

__all__ = ["Causal", "FillInTheMiddle", "Masked", "Objective", "Prefix", "Span", "SpanPrefix", "native"]


def native(masked_rate: float = 0.15, *, family: Family, start: int | None = None) -> Objective:
    """The objective that a family is known for: masked, causal, or span corruption mixed with prefix LM.

    masked_rate: of masked tokens, where the family is trained on those.
    """
    if family is Family.ENCODER:
        return Masked(masked_rate, family=family, start=start)
    return (Causal if family is Family.DECODER else SpanPrefix)(family=family, start=start)
