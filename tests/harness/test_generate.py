"""Sampling, and text as it streams."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.building import build
from harness.generate import choose, generate, stream_text
from tasks.tokenizer import N_SPECIAL, raw_bytes

FAMILIES = ["gpt", "bert", "t5", "mamba"]


def tiny(arch):
    torch.manual_seed(0)
    model = build(arch, vocab_size=300, overrides=["arch.dim=16", "arch.depth=1", "arch.heads=2"])
    return model.eval()


def sample(logits, n=4000, **options):
    settings = {"temperature": 1.0, "top_k": None, "top_p": None} | options
    generator = torch.Generator().manual_seed(0)
    return choose(logits.expand(n, -1), generator=generator, **settings)


def test_temperature_zero_is_greedy():
    logits = torch.tensor([0.1, 2.0, 1.9])
    assert (sample(logits, temperature=0) == 1).all()


def test_temperature_reshapes_the_distribution():
    logits = torch.tensor([0.0, 1.0])
    share = (sample(logits, n=20000, temperature=0.5) == 1).float().mean()
    assert share == pytest.approx(torch.sigmoid(torch.tensor(2.0)).item(), abs=0.01)


@given(st.integers(1, 8), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_top_k_draws_only_from_the_k_likeliest(k, seed):
    logits = torch.randn(8, generator=torch.Generator().manual_seed(seed))
    assert set(sample(logits, top_k=k).tolist()) <= set(logits.topk(k).indices.tolist())


def test_nucleus_keeps_the_fewest_that_reach_p():
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    assert set(sample(logits, top_p=0.5).tolist()) == {0}
    assert set(sample(logits, top_p=0.6).tolist()) == {0, 1}
    assert set(sample(logits, top_p=0.96).tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("arch", FAMILIES)
def test_a_seed_repeats_a_text_and_another_changes_it(arch):
    model, prompt = tiny(arch), np.array([2, 150, 151])
    texts = [list(generate(model, prompt, max_tokens=12, start=0, seed=seed)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert all(token >= N_SPECIAL for token in texts[0])


@pytest.mark.parametrize("arch", ["gpt", "mamba"])
def test_decoding_from_a_state_equals_reading_everything_again(arch):
    model, prompt = tiny(arch), np.array([2, 150, 151, 152])
    tokens = list(generate(model, prompt, max_tokens=8, temperature=0))
    ids = list(prompt)
    for token in tokens:
        with torch.no_grad():
            logits = model.head(model(torch.tensor([ids])).hidden[0, -1]).clone()
        logits[:N_SPECIAL] = -torch.inf
        assert int(logits.argmax()) == token
        ids.append(token)


def test_a_text_longer_than_the_position_table_is_refused():
    model = build(
        "gpt",
        vocab_size=300,
        overrides=["arch.dim=16", "arch.depth=1", "arch.heads=2", "arch.position.max_len=8"],
    )
    with pytest.raises(ValueError, match="8"):
        list(generate(model, np.array([2, 150]), max_tokens=20))


@given(st.text(max_size=20))
@settings(max_examples=50, deadline=None)
def test_streamed_pieces_join_to_the_text(text):
    tokenizer = raw_bytes()
    pieces = list(stream_text(tokenizer, iter(tokenizer.encode(text).tolist())))
    assert "".join(pieces) == text
    assert "\N{REPLACEMENT CHARACTER}" in text or not any("\N{REPLACEMENT CHARACTER}" in p for p in pieces)
