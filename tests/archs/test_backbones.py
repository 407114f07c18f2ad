"""What is special to compositions of our parts; what every backbone promises is in test_conformance.py."""

import math

import pytest
import torch
from torch.utils._pytree import tree_map
from torch.utils.flop_counter import FlopCounterMode

from archs import Family, allowed, decay_groups, parameter_counts
from archs.attention import KV

V = 61
CACHED = {
    "gpt": ("gpt",),
    "rotary, grouped": ("gpt", "arch/position=rope", "kv_heads=2"),
    "alibi": ("gpt", "arch/position=alibi"),
    "relative": ("gpt", "arch/position=t5_bias"),
    "window": ("gpt", "arch/mixer=sliding", "mixer.window=3"),
    "window, relative": ("gpt", "arch/mixer=sliding", "mixer.window=3", "arch/position=t5_bias"),
    "t5": ("t5",),
}


def tokens(rows, length, seed=0):
    return torch.randint(V, (rows, length), generator=torch.Generator().manual_seed(seed))


def reading(model, rows=2, length=7):
    """What a forward needs besides its tokens."""
    if model.family is not Family.ENCODER_DECODER:
        return {}
    return {"source": tokens(rows, length, seed=9)}


@pytest.mark.parametrize("name", CACHED)
def test_a_step_reads_only_what_was_written(build, perturb, name):
    """Room that is not used yet costs nothing and means nothing: fill it with NaN."""
    model, x = perturb(build(*CACHED[name]).double()), tokens(2, 5)
    read = reading(model)
    with torch.no_grad():
        state = model.start(2, **read, max_len=64, dtype=torch.float64)
        for cache in (s for layer in state.layers for s in layer if isinstance(s, KV)):
            tree_map(lambda t: t.fill_(math.nan), cache)
        state = model.step(x[:, :4], state).state
        found, expected = model.step(x[:, 4:], state).hidden, model(x, **read).hidden[:, 4:]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def counted(model, T, S):
    """torch's own count on the meta device, where attention is plain matrix products."""
    model = model.to("meta")
    read = {} if S is None else {"source": torch.zeros(1, S, dtype=torch.int64, device="meta")}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.head(model(torch.zeros(1, T, dtype=torch.int64, device="meta"), **read).hidden)
    return counter.get_total_flops()


@pytest.mark.parametrize("name", ["bert", "gpt", "rotary, grouped", "t5"])
def test_flops_as_torch_counts_them(build, name):
    """torch counts the whole square of causal attention: the upper triangle is taken off by hand."""
    model, T = build(*CACHED.get(name, (name,)), "dim=40", "head_dim=6"), 13
    S = 9 if model.family is Family.ENCODER_DECODER else None
    square = 0 if model.family is Family.ENCODER else 2 * 4 * (4 * 6) * T * (T - 1) // 2  # layers 4 A pairs
    assert model.flops(T, S or 0) == counted(model, T, S) - square


def test_flops_count_the_pairs_that_are_allowed(build):
    """A window, a state that was there before, and both, by counting the entries of the mask."""
    for window in (None, 3, 50):
        for causal in (True, False):
            name = "gpt" if causal else "bert"
            mixer = "sliding" if window else "attention"
            with_window = [f"mixer.window={window}"] if window else []
            model = build(name, f"arch/mixer={mixer}", *with_window)
            attention = model.stack.layers[0]["mixer"].fn
            for T, S in [(1, 0), (9, 0), (2, 1), (4, 11)]:
                if not causal and S:
                    continue
                pairs = allowed(torch.arange(S, S + T), torch.arange(S + T), causal, window).sum()
                projections = 2 * T * 4 * 24 * 24
                assert attention.flops(T, S) == projections + 4 * 24 * pairs


HEADS = ("tied", "untied", "tied_scaled", "bert")
SWAPPED = [
    (arch, f"init={init}", f"arch/head={head}")
    for arch in ("gpt", "bert", "t5", "mamba")
    for init in ("normal", "fan_in")
    for head in HEADS
]


@pytest.mark.parametrize("composition", SWAPPED, ids=" ".join)
def test_loss_starts_near_the_uniform_one(build, composition):
    """ln V plus what the spread of the logits and a tied head's own token add: less than a nat more."""
    model = build(*composition, vocab_size=509)
    x = torch.randint(509, (4, 64), generator=torch.Generator().manual_seed(0))
    read = {"source": x.flip(1)} if model.family is Family.ENCODER_DECODER else {}
    target = x.roll(-1, 1)
    loss = torch.nn.functional.cross_entropy(
        model.head(model(x, **read).hidden).flatten(0, 1), target.flatten()
    )
    assert math.log(509) - 0.1 < loss < math.log(509) + 1


@pytest.mark.parametrize("name", ["bert", "gpt", "mamba", "mixtral", "hybrid", "t5"])
def test_decay_spares_norms_biases_and_recurrences_by_name(build, name):
    model = build(name)
    _, spared = decay_groups(model, 0.1)
    kinds = ("norm", "bias", "A_log", ".D", "position.table")
    expected = {n for n, _ in model.named_parameters() if any(kind in n for kind in kinds)}
    expected -= {"stack.position.table.weight"} if name in ("bert", "gpt") else set()  # learned positions
    assert {n for n, p in model.named_parameters() if any(p is q for q in spared["params"])} == expected


def test_counts_leave_out_the_tables(build):
    tied, untied = build("gpt"), build("gpt", "arch/head=untied")
    ours, theirs = parameter_counts(tied), parameter_counts(untied)
    assert ours["total"] == sum(p.numel() for p in tied.parameters())
    assert ours["total"] - ours["non_embedding"] == (V + 1024) * 24
    assert theirs["non_embedding"] == ours["non_embedding"]
    assert theirs["total"] == theirs["active"] == ours["total"] + V * 24


def test_t5_drops_out_behind_the_final_norms_too(build):
    model = build("t5", "dropout=0.25").train()
    torch.manual_seed(0)
    for out in (model(tokens(8, 32), source=tokens(8, 32)), model.encode(tokens(8, 32), None)):
        assert float((out.hidden == 0).double().mean()) == pytest.approx(0.25, abs=0.03)


def test_weights_start_where_the_papers_say(build):
    def std(weight):
        return float(weight.detach().std())

    gpt = build("gpt", "dim=96", "depth=3").stack.layers[1]
    assert std(gpt["mixer"].fn.qkv.weight) == pytest.approx(0.02, rel=0.05)
    for output in (gpt["mixer"].fn.out, gpt["mlp"].fn.down):
        assert std(output.weight) == pytest.approx(0.02 / math.sqrt(6), rel=0.05)
    bert = build("bert", "dim=96", "depth=3").stack.layers[1]
    assert std(bert["mixer"].fn.out.weight) == pytest.approx(0.02, rel=0.05)
    t5 = build("t5", "dim=96", "head_dim=16", "hidden=200", vocab_size=500)
    layer = t5.decoder.layers[1]
    q, k, v = layer["mixer"].fn.qkv.weight.chunk(3)
    assert std(t5.embedding.weight) == pytest.approx(1, rel=0.05)
    for query in (q, layer["cross"].fn.q.weight):
        assert std(query) == pytest.approx((96 * 16) ** -0.5, rel=0.05)
    for key in (k, v, *layer["cross"].fn.kv.weight.chunk(2), layer["mlp"].fn.up.weight):
        assert std(key) == pytest.approx(96**-0.5, rel=0.05)
    assert std(layer["mixer"].fn.out.weight) == pytest.approx(64**-0.5, rel=0.05)
    assert std(layer["mlp"].fn.down.weight) == pytest.approx(200**-0.5, rel=0.05)
