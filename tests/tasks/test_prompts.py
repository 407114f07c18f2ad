"""How each objective puts the two questions of language modelling: what comes next, and what fills a gap."""

import numpy as np
import pytest
from toys import START

from archs.contract import Family
from tasks import Causal, FillInTheMiddle, Masked, Prefix, Span, SpanPrefix
from tasks.objectives.causal import MID, PRE, SUF
from tasks.tokenizer import MASK, N_SPECIAL, SENTINELS

ENCODER, DECODER, ENCODER_DECODER = Family
LEFT, SPAN, RIGHT = (np.array(ids) + N_SPECIAL for ids in ([1, 2, 3], [4, 5], [6, 7]))
S0 = SENTINELS[0]


def shown(rows):
    """Rows with ordinary tokens as small numbers, for reading: (source, tokens, at, target)."""

    def small(ids):
        return None if ids is None else [int(i) - N_SPECIAL if i >= N_SPECIAL else f"<{i}>" for i in ids]

    return [(small(row.source), small(row.tokens), row.at.tolist(), small(row.target)) for row in rows]


M, Z = f"<{MASK}>", f"<{START}>"
CAUSAL_CONTINUATION = [(None, [1, 2, 3, 4], [2, 3], [4, 5])]
PREFIX_CONTINUATION = [([1, 2, 3], [Z, 4], [0, 1], [4, 5])]


@pytest.mark.parametrize(
    ("objective", "family", "expected"),
    [
        (Causal, DECODER, CAUSAL_CONTINUATION),
        (FillInTheMiddle, DECODER, CAUSAL_CONTINUATION),
        (Prefix, DECODER, CAUSAL_CONTINUATION),
        (Masked, ENCODER, [(None, [1, 2, 3, M], [3], [4]), (None, [1, 2, 3, 4, M], [4], [5])]),
        (Prefix, ENCODER_DECODER, PREFIX_CONTINUATION),
        (SpanPrefix, ENCODER_DECODER, PREFIX_CONTINUATION),
        (Span, ENCODER_DECODER, [([1, 2, 3, f"<{S0}>"], [Z, f"<{S0}>", 4], [1, 2], [4, 5])]),
    ],
)
def test_continuation_prompts(objective, family, expected):
    assert shown(objective(family=family, start=START).continuation_prompt(LEFT, SPAN)) == expected


SPAN_INFILL = [([1, 2, 3, f"<{S0}>", 6, 7], [Z, f"<{S0}>", 4], [1, 2], [4, 5])]


@pytest.mark.parametrize(
    ("objective", "family", "context", "expected"),
    [
        (Causal, DECODER, "left", CAUSAL_CONTINUATION),
        (Prefix, DECODER, "left", CAUSAL_CONTINUATION),
        (
            FillInTheMiddle,
            DECODER,
            "both",
            [(None, [f"<{PRE}>", 1, 2, 3, f"<{SUF}>", 6, 7, f"<{MID}>", 4], [7, 8], [4, 5])],
        ),
        (
            Masked,
            ENCODER,
            "both",
            [(None, [1, 2, 3, M, M, 6, 7], [3], [4]), (None, [1, 2, 3, 4, M, 6, 7], [4], [5])],
        ),
        (Prefix, ENCODER_DECODER, "left", PREFIX_CONTINUATION),
        (SpanPrefix, ENCODER_DECODER, "both", SPAN_INFILL),
        (Span, ENCODER_DECODER, "both", SPAN_INFILL),
    ],
)
def test_infill_prompts(objective, family, context, expected):
    question = objective(family=family, start=START)
    assert shown(question.infill_prompt(LEFT, SPAN, RIGHT)) == expected
    assert question.infill_context == context
