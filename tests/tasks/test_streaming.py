"""Streaming: what one pass over the whole text says, whatever the chunks; and who cannot."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from archs.contract import Family
from harness import build
from tasks.rows import Row
from tasks.scoring import row_costs
from tasks.streaming import StreamReader, file_tokens, why_not
from tasks.tokenizer import BOS, EOS, N_SPECIAL, raw_bytes, train_bpe

VOCAB = N_SPECIAL + 40
SMALL = ["arch.dim=16", "arch.depth=2", "arch.heads=2"]
SLIDING = ["arch/mixer=sliding", "arch.mixer.window=7"]
STREAMING = {
    "mamba": ("mamba", []),
    "mamba reference": ("mamba", ["arch.mixer.backend=reference"]),
    "mamba2": ("mamba2", ["arch.mixer.chunk=8"]),
    "mamba with an MLP": ("mamba", ["arch/mlp=swiglu"]),
    "mistral": ("mistral", ["arch.mixer.window=7"]),
    "window rope": ("gpt", [*SLIDING, "arch/position=rope"]),
    "window alibi": ("gpt", [*SLIDING, "arch/position=alibi"]),
    "window t5_bias": ("gpt", [*SLIDING, "arch/position=t5_bias"]),
    "window none": ("gpt", [*SLIDING, "arch/position=none"]),
    "experts and a window": ("mixtral", SLIDING),
    "hybrid with a window": (
        "hybrid",
        ["arch/mixer@arch.mixers.attention=sliding", "arch.mixers.attention.window=7", "arch.depth=4"],
    ),
}
LENGTHS = np.arange(VOCAB) % 5 + 1  # bytes of a token
LENGTHS[:N_SPECIAL] = 0


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    return {
        name: build(arch, vocab_size=VOCAB, overrides=[*SMALL, *overrides])
        for name, (arch, overrides) in STREAMING.items()
    }


def tokens(n, seed=0):
    """A document of ordinary tokens between its special ones, and the beginning of another."""
    ids = np.random.default_rng(seed).integers(N_SPECIAL, VOCAB, n)
    ids[0], ids[2 * n // 3 : 2 * n // 3 + 2] = BOS, (EOS, BOS)
    return ids


def one_pass(model, ids):
    scored = np.flatnonzero(ids[1:] >= N_SPECIAL)
    (nats,) = row_costs(model, [Row(ids[:-1], scored, ids[1:][scored])])
    return nats.sum(), len(scored), LENGTHS[ids[1:][scored]].sum()


@pytest.mark.parametrize("name", STREAMING)
@given(
    chunk=st.integers(1, 70),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    seed=st.integers(0, 100),
)
@example(chunk=1, cuts=[], seed=0)
@example(chunk=7, cuts=[1, 1, 20], seed=1)
@settings(max_examples=8)
def test_a_stream_costs_what_one_pass_does(models, name, chunk, cuts, seed):
    model, ids = models[name], tokens(61, seed)
    reader = StreamReader(model, LENGTHS, chunk=chunk)
    costs = [cost for piece in np.split(ids, sorted(cuts)) for cost in reader.read(piece)]
    nats, count, length = one_pass(model, ids)
    assert sum(cost.nats for cost in costs) == pytest.approx(nats, rel=1e-5)
    assert sum(cost.tokens for cost in costs) == count
    assert sum(cost.bytes for cost in costs) == length


@pytest.mark.parametrize("name", STREAMING)
def test_the_state_does_not_grow(models, name):
    model = models[name]
    reader = StreamReader(model, LENGTHS, chunk=16)

    def held():
        leaves = torch.utils._pytree.tree_leaves(reader.state)
        return sum(leaf.numel() * leaf.element_size() for leaf in leaves)

    before = held()
    assert before == model.state_bytes(10**9)
    for _ in reader.read(tokens(200)):
        assert held() == before


def test_reading_leaves_no_trace(models):
    model = models["mamba"].train()
    reader = StreamReader(model, LENGTHS, chunk=4)
    for _ in reader.read(tokens(9)):
        assert torch.is_grad_enabled()
        assert model.training


def test_half_precision_streams_too(models):
    torch.manual_seed(0)
    model = build("mamba", vocab_size=VOCAB, overrides=SMALL).to(torch.bfloat16)
    costs = list(StreamReader(model, LENGTHS, chunk=5).read(tokens(30)))
    assert all(np.isfinite(cost.nats) for cost in costs)


REFUSED = [
    ("gpt", [], r"its state grows with what it has read, to \d+ MB after 1,000,000 tokens"),
    ("hybrid", ["arch.depth=4"], "its state grows"),
    ("gpt", SLIDING, "its positions end at 1024 tokens"),
    ("bert", [], "an encoder cannot stream"),
    ("t5", [], "an encoder-decoder cannot stream"),
]


@pytest.mark.parametrize(("arch", "overrides", "words"), REFUSED)
def test_who_cannot_is_told_why_in_one_line(arch, overrides, words):
    model = build(arch, vocab_size=VOCAB, overrides=[*SMALL, *overrides])
    with pytest.raises(ValueError, match=words) as refused:
        StreamReader(model, LENGTHS)
    assert "\n" not in str(refused.value)


def test_a_model_that_can_has_no_reason_not_to(models):
    assert {why_not(model) for model in models.values()} == {None}
    assert {model.family for model in models.values()} == {Family.DECODER}
    with pytest.raises(ValueError, match="chunk=0 must be at least 1"):
        StreamReader(models["mamba"], LENGTHS, chunk=0)


WORDS = ["the", "people's", "naïve", "東京,", "1905", "we'll\n\n", "  ", "\r\n", "!?", "x" * 90, " " * 80]


@given(seed=st.integers(0, 1000), block=st.integers(1, 400))
@settings(max_examples=40)
def test_a_file_is_tokenized_as_if_it_were_whole(tmp_path_factory, seed, block):
    text = " ".join(np.random.default_rng(seed).choice(WORDS, 60))
    file = tmp_path_factory.mktemp("text") / "book.txt"
    file.write_bytes(text.encode())
    for tokenizer in TOKENIZERS:
        found = np.concatenate(list(file_tokens(file, tokenizer, block)))
        assert found.tolist() == [BOS, *tokenizer.encode(text)]


TOKENIZERS = [raw_bytes(), train_bpe([" ".join(WORDS) * 9], 420)]


def test_a_file_that_is_no_text_is_one_line(tmp_path):
    (tmp_path / "book.txt").write_bytes(b"ab\xff\xfe")
    with pytest.raises(ValueError, match=r"book.txt is no UTF-8 text: invalid start byte$"):
        list(file_tokens(tmp_path / "book.txt", TOKENIZERS[0]))
