"""Objectives: what a window becomes, and how a model is asked."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import START

from archs.contract import Family
from tasks import Causal, FillInTheMiddle, Masked, Prefix, Span, SpanPrefix, native
from tasks.objectives.causal import END, MID, PRE, SUF
from tasks.rows import IGNORE
from tasks.tokenizer import BOS, EOS, MASK, N_SPECIAL, SENTINELS

V = N_SPECIAL + 300
ENCODER, DECODER, ENCODER_DECODER = Family
LEGAL = {
    (Masked, ENCODER),
    (Causal, DECODER),
    (FillInTheMiddle, DECODER),
    (Prefix, DECODER),
    (Prefix, ENCODER_DECODER),
    (Span, ENCODER_DECODER),
    (SpanPrefix, ENCODER_DECODER),
}
by_pair = pytest.mark.parametrize(
    ("objective", "family"), sorted(LEGAL, key=str), ids=lambda x: getattr(x, "name", str(x))
)


def windows(B=8, T=64, seed=0):
    """Corpus ids with document ends in some rows."""
    ids = np.random.default_rng(seed).integers(N_SPECIAL, V, (B, T)).astype(np.uint16)
    if T > 8:
        ids[::2, 5:7] = EOS, BOS
    return ids


def rng(seed=0):
    return np.random.default_rng(seed)


def asked(batch):
    """Targets of each row, in order."""
    return [row[row != IGNORE].numpy() for row in batch.targets]


def kept(tokens, keep, row):
    return tokens[row].numpy() if keep is None else tokens[row][keep[row]].numpy()


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("objective", [Masked, Causal, FillInTheMiddle, Prefix, Span, SpanPrefix])
def test_every_pair_trains_or_is_refused_by_name(objective, family):
    if (objective, family) in LEGAL:
        batch = objective(family=family, start=START).batch(windows(), rng(), vocab_size=V)
        assert batch.consumed == 8 * 64
        assert (batch.source is not None) == (family is ENCODER_DECODER)
        assert (batch.targets != IGNORE).any()
    else:
        with pytest.raises(
            ValueError, match=rf"^objective={objective.name} cannot train an? {family} .*; try objective="
        ):
            objective(family=family, start=START)


def test_native_objective_of_each_family():
    names = {family: native(family=family, start=START).name for family in Family}
    assert names == {ENCODER: "masked", DECODER: "causal", ENCODER_DECODER: "span_prefix"}


def test_encoder_decoder_needs_a_start_token():
    with pytest.raises(ValueError, match=r"arch\.start"):
        Span(family=ENCODER_DECODER)


@by_pair
def test_batches_are_pure_and_their_rows_as_long_as_declared(objective, family):
    question = objective(family=family, start=START)
    for seed in range(8):
        one, two = (question.batch(windows(T=33), rng(seed), vocab_size=V) for _ in range(2))
        for name, value in vars(one).items():
            other = getattr(two, name)
            assert value.equal(other) if torch.is_tensor(value) else value == other
        assert one.tokens.shape[1] <= 33 + question.markers
        assert one.tokens.shape == one.targets.shape


@by_pair
def test_short_windows(objective, family):
    for T in range(2, 9):
        batch = objective(family=family, start=START).batch(windows(T=T), rng(T), vocab_size=V)
        assert len(asked(batch)[0]) > 0


@by_pair
def test_the_start_token_is_read_first_and_never_scored(objective, family):
    batch = objective(family=family, start=1).batch(windows(), rng(), vocab_size=V)
    assert (batch.targets != 1).all()
    if family is ENCODER_DECODER:
        assert (batch.tokens[:, 0] == 1).all()
        assert (
            batch.tokens[:, 1:][batch.targets[:, 1:] != IGNORE]
            == batch.targets[:, :-1][batch.targets[:, 1:] != IGNORE]
        ).all()


def test_causal_names_every_next_token():
    batch = Causal(family=DECODER).batch(windows(), rng(), vocab_size=V)
    np.testing.assert_array_equal(batch.tokens, windows()[:, :-1])
    np.testing.assert_array_equal(batch.targets, windows()[:, 1:])


def test_masked_rates():
    ids = windows(200, 512)
    batch = Masked(family=ENCODER).batch(ids, rng(), vocab_size=V)
    tokens, targets = batch.tokens.numpy(), batch.targets.numpy()
    chosen = targets != IGNORE
    assert (chosen.sum(axis=1) == round(0.15 * 512)).all()
    assert (ids[chosen] == targets[chosen]).all()
    assert (ids[chosen] >= N_SPECIAL).all(), "specials are never chosen"
    assert (tokens[~chosen] == ids[~chosen]).all()
    masked = tokens[chosen] == MASK
    same = tokens[chosen] == ids[chosen]
    other = tokens[chosen][~masked & ~same]
    assert masked.mean() == pytest.approx(0.8, abs=0.01)
    assert same.mean() == pytest.approx(0.1 + 0.1 / 300, abs=0.01)
    assert other.min() >= N_SPECIAL
    assert len(np.unique(other)) > 290, "any ordinary token is drawn"


def test_masked_copes_with_windows_of_few_ordinary_tokens():
    ids = np.full((2, 20), EOS)
    ids[:, 3] = V - 1
    batch = Masked(rate=0.5, family=ENCODER).batch(ids, rng(), vocab_size=V)
    assert [list(row) for row in asked(batch)] == [[V - 1]] * 2


@given(
    T=st.integers(2, 200), density=st.floats(0.01, 0.9), mean_span=st.floats(1, 9), seed=st.integers(0, 99)
)
@settings(max_examples=60)
def test_span_corruption_loses_nothing(T, density, mean_span, seed):
    ids = windows(3, T, seed)
    question = Span(density, mean_span, family=ENCODER_DECODER, start=START)
    noise, spans = question.counts(T)
    batch = question.batch(ids, rng(seed), vocab_size=V)
    assert batch.source.shape[1] == T - noise + spans
    assert batch.targets.shape[1] == noise + spans + 1
    for window, source, target in zip(ids, batch.source.tolist(), asked(batch), strict=True):
        lost, name = {}, None
        for token in target.tolist():
            if token in SENTINELS:
                name = token
                lost[name] = []
            else:
                lost[name].append(token)
        assert list(lost) == list(SENTINELS[: spans + 1])
        assert lost.pop(name) == [], "the closing sentinel names nothing"
        assert all(lost.values())
        text = [t for token in source for t in (lost[token] if token in SENTINELS else [token])]
        assert text == window.tolist()


def test_span_corruption_has_the_lengths_of_t5():
    """T5's own pipeline reads 568 tokens to fill 512 inputs and 114 targets, an <eos> in each."""
    batch = Span(family=ENCODER_DECODER, start=START).batch(windows(4, 568), rng(), vocab_size=V)
    assert batch.source.shape[1] == 512 - 1
    assert batch.targets.shape[1] == 114 - 1 + 1  # ours closes with a sentinel instead


def test_span_lengths_and_places_are_uniform_compositions():
    from tasks.objectives.span import compositions

    drawn = compositions(rng(), 30000, 5, 3)
    kinds, counts = np.unique(drawn, axis=0, return_counts=True)
    assert (kinds.sum(axis=1) == 5).all()
    assert (kinds >= 1).all()
    assert len(kinds) == 6  # (4 choose 2)
    assert counts / 30000 == pytest.approx(np.full(6, 1 / 6), abs=0.01)


def test_more_spans_than_sentinels_is_refused():
    with pytest.raises(ValueError, match=r"objective\.mean_span=4 or more"):
        Span(family=ENCODER_DECODER, start=START).batch(windows(1, 2048), rng(), vocab_size=V)
    Span(mean_span=4, family=ENCODER_DECODER, start=START).batch(windows(1, 2048), rng(), vocab_size=V)


@given(T=st.integers(2, 50), seed=st.integers(0, 99))
@settings(max_examples=60)
def test_fill_in_the_middle_loses_nothing(T, seed):
    ids = windows(6, T, seed)
    batch = FillInTheMiddle(rate=0.6, family=DECODER).batch(ids, rng(seed), vocab_size=V)
    for b, window in enumerate(ids.tolist()):
        tokens = kept(batch.tokens, batch.keep, b).tolist()
        row = [tokens[0], *asked(batch)[b].tolist()]
        assert row[:-1] == tokens
        if row[0] == PRE and row[-1] == END:
            suffix, middle = row.index(SUF), row.index(MID)
            row = row[1:suffix] + row[middle + 1 : -1] + row[suffix + 1 : middle]
        assert row == window


def test_share_of_windows_rearranged():
    batch = FillInTheMiddle(rate=0.3, family=DECODER).batch(windows(4000, 8), rng(), vocab_size=V)
    assert (batch.tokens[:, 0] == PRE).float().mean().item() == pytest.approx(0.3, abs=0.03)


def test_prefix_decoder_is_scored_on_the_suffix_alone():
    ids = windows(5000, 9)
    batch = Prefix(family=DECODER).batch(ids, rng(), vocab_size=V)
    np.testing.assert_array_equal(batch.tokens, ids[:, :-1])
    scored = np.array([len(row) for row in asked(batch)])
    assert all((row == window[-n:]).all() for row, window, n in zip(asked(batch), ids, scored, strict=True))
    assert np.bincount(scored)[1:] / 5000 == pytest.approx(np.full(8, 1 / 8), abs=0.02)


def test_prefix_encoder_decoder_splits_uniformly_and_wastes_little():
    ids, question = windows(4, 9), Prefix(family=ENCODER_DECODER, start=START)
    splits = []
    for seed in range(2000):
        batch = question.batch(ids, rng(seed), vocab_size=V)
        assert batch.source.shape[1] + batch.tokens.shape[1] <= 1.25 * 9
        for b, window in enumerate(ids.tolist()):
            prefix = kept(batch.source, batch.source_keep, b).tolist()
            assert prefix + asked(batch)[b].tolist() == window
            assert len(kept(batch.tokens, batch.keep, b)) == len(asked(batch)[b])
            splits.append(len(prefix))
    assert np.bincount(splits)[1:] / 8000 == pytest.approx(np.full(8, 1 / 8), abs=0.02)


def test_mixture_is_even():
    question = SpanPrefix(family=ENCODER_DECODER, start=START)
    batches = [question.batch(windows(2, 32), rng(seed), vocab_size=V) for seed in range(600)]
    spans = [bool((batch.source == SENTINELS[0]).any()) for batch in batches]
    assert np.mean(spans) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Masked(rate=0, family=ENCODER),
        lambda: FillInTheMiddle(rate=1.1, family=DECODER),
        lambda: Span(density=1, family=ENCODER_DECODER, start=START),
        lambda: SpanPrefix(mean_span=0.5, family=ENCODER_DECODER, start=START),
    ],
)
def test_impossible_options_are_refused_in_one_line(make):
    with pytest.raises(ValueError, match=r"^objective\.\w+=\S+ is not [^\n]*$"):
        make()
