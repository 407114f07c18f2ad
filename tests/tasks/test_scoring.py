"""Costs of rows: equal to values computed by hand on a Markov chain, for every family and prompt."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import START, Markov

from archs.contract import Family
from tasks import Causal, FillInTheMiddle, Masked, Prefix, Row, Span, SpanPrefix
from tasks.rows import IGNORE
from tasks.scoring import native_loss, row_costs
from tasks.tokenizer import EOS, N_SPECIAL

ENCODER, DECODER, ENCODER_DECODER = Family
K = 5


def chain(seed=0):
    p = np.random.default_rng(seed).random((K, K)) ** 3 + 0.01
    return p / p.sum(axis=1, keepdims=True)


def text(n, seed=0):
    return np.random.default_rng(seed).integers(0, K, n) + N_SPECIAL


def steps(p, ids):
    """ln p of every transition along ids."""
    return np.log(p[ids[:-1] - N_SPECIAL, ids[1:] - N_SPECIAL])


PAIRS = [
    (Causal, DECODER),
    (FillInTheMiddle, DECODER),
    (Prefix, DECODER),
    (Masked, ENCODER),
    (Prefix, ENCODER_DECODER),
    (Span, ENCODER_DECODER),
    (SpanPrefix, ENCODER_DECODER),
]


@pytest.mark.parametrize(("objective", "family"), PAIRS)
@given(seed=st.integers(0, 1000), k=st.integers(1, 6))
@settings(max_examples=10)
def test_a_continuation_costs_its_transitions(objective, family, seed, k):
    p, ids = chain(seed), text(12, seed)
    rows = objective(family=family, start=START).continuation_prompt(ids[:-k], ids[-k:])
    nats = sum(cost.sum() for cost in row_costs(Markov(family, p, gap=k), rows))
    assert nats == pytest.approx(-steps(p, ids[-k - 1 :]).sum(), rel=1e-5)


@pytest.mark.parametrize(("objective", "family"), PAIRS)
@given(seed=st.integers(0, 1000), n=st.integers(1, 5))
@settings(max_examples=10)
def test_an_infilled_span_costs_the_exact_conditional(objective, family, seed, n):
    """-ln p(span | left, right) = -ln of all transitions over that of n + 1 steps from left to right."""
    p, ids, question = chain(seed), text(14, seed), objective(family=family, start=START)
    left, span, right = np.split(ids, [5, 5 + n])
    nats = sum(
        cost.sum() for cost in row_costs(Markov(family, p, gap=n), question.infill_prompt(left, span, right))
    )
    if question.infill_context == "both":
        across = np.linalg.matrix_power(p, n + 1)[left[-1] - N_SPECIAL, right[0] - N_SPECIAL]
        expected = np.log(across) - steps(p, ids[4 : 6 + n]).sum()
    else:
        expected = -steps(p, ids[4 : 5 + n]).sum()
    assert nats == pytest.approx(expected, rel=1e-5)


def rows_of_many_lengths():
    return [
        row
        for n in range(2, 12)
        for row in Masked(family=ENCODER).continuation_prompt(text(n, n), text(1 + n % 3, n + 50))
    ]


def test_costs_do_not_depend_on_batching_or_order():
    model, rows = Markov(ENCODER, chain()), rows_of_many_lengths()
    together, alone = row_costs(model, rows), row_costs(model, rows, batch_tokens=1)
    reverse = row_costs(model, rows[::-1], batch_tokens=40)[::-1]
    for a, b, c in zip(together, alone, reverse, strict=True):
        assert a.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=1e-6)
        np.testing.assert_allclose(a, c, rtol=1e-6)


def test_rows_without_targets_cost_nothing():
    none = np.array([], dtype=np.int64)
    costs = row_costs(
        Markov(DECODER, chain()), [Row(text(3), none, none), Row(text(3), np.array([1]), text(3)[2:])]
    )
    assert [len(cost) for cost in costs] == [0, 1]
    assert row_costs(Markov(DECODER, chain()), []) == []


def test_special_tokens_are_never_paid_for_and_never_scored():
    """The toy gives every special token e^30 times what an ordinary one has: the costs above do not see it,
    the loss of training does."""
    ids = text(9)
    row = Causal(family=DECODER).continuation_prompt(ids[:1], ids[1:])[0]
    model = Markov(DECODER, chain())
    batch = Causal(family=DECODER).batch(ids[None], np.random.default_rng(0), vocab_size=N_SPECIAL + K)
    nats, targets = native_loss(model, batch)
    assert targets == 8
    assert nats == pytest.approx(row_costs(model, [row])[0].sum() + 8 * (30 + np.log(N_SPECIAL)), rel=1e-5)
    with pytest.raises(ValueError, match="only ordinary tokens"):
        row_costs(model, [Row(ids, np.array([0]), np.array([EOS]))])


def test_native_loss_is_torch_s_cross_entropy():
    batch = SpanPrefix(family=ENCODER_DECODER, start=START).batch(
        text(160).reshape(4, 40), np.random.default_rng(1), vocab_size=N_SPECIAL + K
    )

    class Untrained(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(N_SPECIAL + K, 8)
            self.head = torch.nn.Linear(8, N_SPECIAL + K)

        def forward(self, tokens, keep=None, *, source=None, source_keep=None, state=None):
            return type("Output", (), {"hidden": self.embedding(tokens)})

    model = Untrained().train()
    nats, targets = native_loss(model, batch)
    logits = model.head(model.embedding(batch.tokens))
    mean = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORE
    )
    assert nats / targets == pytest.approx(mean.item(), rel=1e-5)
    assert model.training, "the mode is put back"
