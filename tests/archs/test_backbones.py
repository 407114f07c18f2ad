"""What every composition of parts promises, whatever it is made of."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import FlopCounterMode

from archs import Autoregressive, Backbone, Family, allowed, decay_groups, parameter_counts
from archs.attention import KV

V = 61
WINDOWED = ("arch/mixer=sliding", "mixer.window=3")
DECODERS = {
    "gpt": ("gpt",),
    "rotary, grouped": ("gpt", "arch/position=rope", "arch/norm=rms", "arch/mlp=swiglu", "kv_heads=2"),
    "alibi": ("gpt", "arch/position=alibi"),
    "sinusoidal": ("gpt", "arch/position=sinusoidal", "arch/head=untied"),
    "relative": ("gpt", "arch/position=t5_bias"),
    "post-norm": ("gpt", "post_norm=true", "embed_norm=true"),
    "window": ("gpt", *WINDOWED),
    "window, rotary": ("gpt", *WINDOWED, "arch/position=rope", "kv_heads=1"),
    "window, relative": ("gpt", *WINDOWED, "arch/position=t5_bias"),
    "s6": ("gpt", "arch/mixer=s6"),
    "mamba": ("mamba",),
}
ENCODERS = {
    "bert": ("bert",),
    "bert, rotary": ("bert", "arch/position=rope"),
    "bert, relative": ("bert", "arch/position=t5_bias"),
    "bert, window": ("bert", *WINDOWED),
    "bert, window, alibi": ("bert", *WINDOWED, "arch/position=alibi"),
}
PAIRS = {"t5": ("t5",), "t5, rotary": ("t5", "arch/position=rope", "arch/mixer=attention")}
AUTOREGRESSIVE = DECODERS | PAIRS
ALL = DECODERS | ENCODERS | PAIRS


@pytest.fixture(scope="module")
def made(build, perturb):
    """One float64 model per composition, its parameters away from their special first values."""
    cache = {}

    def _made(name):
        if name not in cache:
            cache[name] = perturb(build(*ALL[name]).double())
        return cache[name]

    return _made


def tokens(rows, length, seed=0):
    return torch.randint(V, (rows, length), generator=torch.Generator().manual_seed(seed))


def reading(model, rows=2, length=7, keep=None):
    """What a forward needs besides its tokens."""
    if model.family is not Family.ENCODER_DECODER:
        return {}
    return {"source": tokens(rows, length, seed=9), "source_keep": keep}


def assert_close(ours, expected):
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ALL)
def test_keeps_the_contract(made, name):
    model = made(name)
    assert isinstance(model, Backbone)
    assert isinstance(model, Autoregressive) == (model.family is not Family.ENCODER)
    out = model(tokens(2, 5), **reading(model))
    assert out.hidden.shape == (2, 5, 24)
    assert out.state is None
    assert out.aux == {}
    assert model.head(out.hidden).shape == (2, 5, V)


@pytest.mark.parametrize("name", AUTOREGRESSIVE)
@settings(max_examples=8, deadline=None)
@given(T=st.integers(2, 11), data=st.data())
def test_no_token_sees_the_future(made, name, T, data):
    model, x = made(name), tokens(2, T)
    at = data.draw(st.integers(1, T - 1))
    y = x.clone()
    y[:, at] = (y[:, at] + 1) % V
    before, after = (model(t, **reading(model)).hidden for t in (x, y))
    assert_close(after[:, :at], before[:, :at])
    assert (after[:, at] - before[:, at]).abs().max() > 1e-6


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_sees_both_sides(made, name):
    model, x = made(name), tokens(1, 5)
    y = x.clone()
    y[:, 2] = (y[:, 2] + 1) % V
    assert ((model(x).hidden - model(y).hidden).abs().amax(-1) > 1e-6).all()


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_pads_change_nothing_wherever_they_stand(made, name, data):
    """Each row of a padded batch equals that row alone, in value and in finite gradients."""
    model, T, S = made(name), 9, 6
    mask = st.lists(st.booleans(), min_size=T, max_size=T)
    keep = torch.tensor([data.draw(mask), data.draw(mask), [False] * T])
    source_keep = torch.tensor([[True] * S, [True] * 2 + [False] * 4, [False] * S])
    x = tokens(3, T)
    read = reading(model, 3, S, source_keep)
    hidden = model(x, keep, **read).hidden
    for row in range(2):
        if keep[row].any():
            alone = {}
            if read:
                alone = {"source": read["source"][row : row + 1, source_keep[row]]}
            assert_close(hidden[row : row + 1, keep[row]], model(x[row : row + 1, keep[row]], **alone).hidden)
    (hidden * keep[..., None]).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    model.zero_grad()


@pytest.mark.parametrize("name", AUTOREGRESSIVE)
@settings(max_examples=10, deadline=None)
@given(sizes=st.lists(st.sampled_from([1, 1, 2, 3, 5]), min_size=1, max_size=6), grad=st.booleans())
def test_steps_are_one_forward(made, name, sizes, grad):
    """Split anywhere; with autograd also in gradient."""
    model, T = made(name), sum(sizes)
    x, read = tokens(2, T), reading(model)
    weights = torch.randn(2, T, 24, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.set_grad_enabled(grad):
        whole = model(x, **read).hidden
        state = model.start(2, **read, max_len=T, dtype=torch.float64)
        pieces = []
        for piece in x.split(sizes, 1):
            hidden, state, _ = model.step(piece, state)
            pieces.append(hidden)
        steps = torch.cat(pieces, 1)
    assert_close(steps, whole)
    assert state.seen.tolist() == [T, T]
    if grad:
        expected = torch.autograd.grad((whole * weights).sum(), list(model.parameters()), allow_unused=True)
        ours = torch.autograd.grad((steps * weights).sum(), list(model.parameters()), allow_unused=True)
        for mine, other in zip(ours, expected, strict=True):
            if other is not None:
                torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", AUTOREGRESSIVE)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_rows_go_on_by_themselves(made, name, data):
    """Rows that keep different numbers of tokens per step: each is what it would be alone."""
    model, pieces = made(name), data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    T = sum(pieces)
    keep = torch.tensor([[data.draw(st.booleans()) for _ in range(T)] for _ in range(2)])
    x, read = tokens(2, T), reading(model)
    with torch.no_grad():
        state = model.start(2, **read, max_len=T, dtype=torch.float64)
        hidden = []
        for piece, kept in zip(x.split(pieces, 1), keep.split(pieces, 1), strict=True):
            out = model.step(piece, state, kept)
            state = out.state
            hidden.append(out.hidden)
        hidden = torch.cat(hidden, 1)
        assert state.seen.tolist() == keep.sum(1).tolist()
        for row in range(2):
            if keep[row].any():
                alone = {"source": read["source"][row : row + 1]} if read else {}
                expected = model(x[row : row + 1, keep[row]], **alone).hidden
                assert_close(hidden[row : row + 1, keep[row]], expected)


@pytest.mark.parametrize("name", [n for n in AUTOREGRESSIVE if n not in ("s6", "mamba")])
def test_a_step_reads_only_what_was_written(made, name):
    """Room that is not used yet costs nothing and means nothing: fill it with NaN."""
    model, x = made(name), tokens(2, 5)
    read = reading(model)
    with torch.no_grad():
        state = model.start(2, **read, max_len=64, dtype=torch.float64)
        for cache in (s for layer in state.layers for s in layer if isinstance(s, KV)):
            tree_map(lambda t: t.fill_(math.nan), cache)
        state = model.step(x[:, :4], state).state
        assert_close(model.step(x[:, 4:], state).hidden, model(x, **read).hidden[:, 4:])


@pytest.mark.parametrize("name", AUTOREGRESSIVE)
def test_a_state_follows_its_rows(made, name):
    """A beam search reorders rows by a tree map."""
    model, x = made(name), tokens(2, 6)
    with torch.no_grad():
        state = model.step(x[:, :4], model.start(2, **reading(model), max_len=6, dtype=torch.float64)).state
        straight = model.step(x[:, 4:], tree_map(torch.clone, state)).hidden
        swapped = model.step(x[:, 4:].flip(0), tree_map(lambda t: t[[1, 0]], state)).hidden
    assert_close(swapped.flip(0), straight)


@pytest.mark.parametrize("name", AUTOREGRESSIVE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_state_bytes_as_declared(build, name, dtype):
    model = build(*AUTOREGRESSIVE[name]).to(dtype)
    for T, S in [(1, 4), (9, 7)]:
        state = model.start(1, **reading(model, 1, S), max_len=T, dtype=dtype)
        assert model.state_bytes(T, S, dtype) == sum(t.nbytes for t in tree_leaves(state))


def counted(model, T, S):
    """torch's own count on the meta device, where attention is plain matrix products."""
    model = model.to("meta")
    read = {} if S is None else {"source": torch.zeros(1, S, dtype=torch.int64, device="meta")}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.head(model(torch.zeros(1, T, dtype=torch.int64, device="meta"), **read).hidden)
    return counter.get_total_flops()


@pytest.mark.parametrize("name", ["bert", "bert, rotary", "bert, relative", "gpt", "rotary, grouped", "t5"])
def test_flops_as_torch_counts_them(build, name):
    """torch counts the whole square of causal attention: the upper triangle is taken off by hand."""
    model, T = build(*ALL[name], "dim=40", "head_dim=6"), 13
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


@pytest.mark.parametrize("composition", [*ALL.values(), *SWAPPED], ids=" ".join)
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


@pytest.mark.parametrize("name", ALL)
def test_no_dead_parameters_and_one_batch_is_learned(build, name):
    model = build(*ALL[name], "dropout=0.1").train()
    x, read = tokens(2, 8), reading(model)
    optimizer = torch.optim.AdamW(decay_groups(model, 0.01), lr=1e-2)
    losses = []
    for _ in range(15):
        loss = torch.nn.functional.cross_entropy(
            model.head(model(x, **read).hidden).flatten(0, 1), x.flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("name", ALL)
def test_decay_spares_norms_and_biases(build, name):
    model = build(*ALL[name])
    decayed, spared = decay_groups(model, 0.1)
    assert decayed["weight_decay"] == 0.1
    assert spared["weight_decay"] == 0.0
    names = {p: n for n, p in model.named_parameters()}
    assert {names[p] for g in (decayed, spared) for p in g["params"]} == set(names.values())
    for p in spared["params"]:
        assert any(word in names[p] for word in ("norm", "bias", "A_log", ".D", "position.table")), names[p]
    for p in decayed["params"]:
        assert not any(word in names[p] for word in ("norm", "bias", "A_log", ".D")), names[p]


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
    for hidden in (model(tokens(8, 32), source=tokens(8, 32)).hidden, model.encode(tokens(8, 32), None)):
        assert float((hidden == 0).double().mean()) == pytest.approx(0.25, abs=0.03)


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
