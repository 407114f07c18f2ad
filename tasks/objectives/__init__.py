"""How a corpus window becomes inputs and targets, one objective per class."""

from archs.contract import Family

from .base import Objective
from .causal import Causal, FillInTheMiddle
from .masked import Masked
from .prefix import Prefix
from .span import Span, SpanPrefix

__all__ = ["Causal", "FillInTheMiddle", "Masked", "Objective", "Prefix", "Span", "SpanPrefix", "native"]

NATIVE: dict[Family, type[Objective]] = {
    Family.ENCODER: Masked,
    Family.DECODER: Causal,
    Family.ENCODER_DECODER: SpanPrefix,
}


def native(*, family: Family, start: int | None = None) -> Objective:
    """The objective that a family is known for: masked, causal, or span corruption mixed with prefix LM."""
    return NATIVE[family](family=family, start=start)
