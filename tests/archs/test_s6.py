"""Mamba's mixer, by itself and in the backbone that conf/arch/mamba.yaml composes."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import MambaConfig, MambaForCausalLM

import archs
from archs.kernels import BACKENDS

V, ALL_KEPT = 61, SimpleNamespace(keep=None)


def tokens(rows, length, seed=0):
    return torch.randint(V, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model(build, perturb):
    return perturb(build("mamba"))


def from_mamba(theirs, depth):
    out = {
        "embedding.weight": theirs["backbone.embeddings.weight"],
        "stack.final_norm.weight": theirs["backbone.norm_f.weight"],
    }
    for i in range(depth):
        mine, layer = f"stack.layers.{i}.mixer", f"backbone.layers.{i}"
        out[f"{mine}.norm.weight"] = theirs[f"{layer}.norm.weight"]
        out[f"{mine}.fn.conv_weight"] = theirs[f"{layer}.mixer.conv1d.weight"].squeeze(1)
        out[f"{mine}.fn.conv_bias"] = theirs[f"{layer}.mixer.conv1d.bias"]
        same = (
            "in_proj.weight",
            "x_proj.weight",
            "dt_proj.weight",
            "dt_proj.bias",
            "A_log",
            "D",
            "out_proj.weight",
        )
        out |= {f"{mine}.fn.{name}": theirs[f"{layer}.mixer.{name}"] for name in same}
    return out


@pytest.mark.parametrize("length", [3, 37])  # shorter than the convolution, and past a chunk of the scan
def test_is_the_mamba_of_transformers(build, perturb, length):
    config = MambaConfig(vocab_size=V, hidden_size=24, num_hidden_layers=2, state_size=5, use_cache=False)
    theirs = perturb(MambaForCausalLM(config).eval())
    ours = build("mamba")
    for layer in ours.stack.layers:
        layer["mixer"].fn = archs.S6(24, state=5)
    source = from_mamba(theirs.state_dict(), depth=2)
    assert set(source) == set(ours.state_dict())
    ours.load_state_dict(source)
    x = tokens(3, length)
    expected, found = theirs(x).logits, ours.head(ours(x).hidden)
    scale = expected.abs().max()
    assert (found - expected).abs().max() <= 1e-5 * scale

    weights = torch.linspace(-1, 1, expected.numel()).view_as(expected)
    (expected * weights).sum().backward()
    (found * weights).sum().backward()
    wanted = from_mamba({name: p.grad for name, p in theirs.named_parameters()}, depth=2)
    for name, parameter in ours.named_parameters():
        error = (parameter.grad - wanted[name]).abs().max() / wanted[name].abs().max()
        assert error < 1e-4, name


@settings(max_examples=15, derandomize=True)
@given(pieces=st.lists(st.sampled_from([1, 2, 3, 4, 5, 33]), min_size=1, max_size=5))
def test_steps_of_any_length_give_what_one_pass_gives(model, pieces):
    x = tokens(2, sum(pieces))
    state, found = model.start(2, max_len=x.shape[1]), []
    with torch.no_grad():
        for piece in x.split(pieces, 1):
            hidden, state, _ = model.step(piece, state)
            found.append(hidden)
        whole = model(x).hidden
    assert torch.allclose(torch.cat(found, 1), whole, atol=1e-5 * whole.detach().abs().max().item())


@pytest.mark.parametrize("shape", [{}, {"conv": 1}, {"state": 1, "dt_rank": 1}, {"conv": 3, "inner": 7}])
@pytest.mark.parametrize("rows", [1, 3])
def test_a_single_token_is_decoded_as_defined(shape, rows):
    """Without gradients a step of one token is one kernel: the same as the definition in float64."""
    torch.manual_seed(0)
    mixer = archs.S6(24, **shape)
    precise = archs.S6(24, **shape, backend="reference").double()
    precise.load_state_dict(mixer.state_dict())
    found, wanted = mixer.init_state(rows, 9), precise.init_state(rows, 9, dtype=torch.float64)
    for u in torch.randn(9, rows, 1, 24):
        with torch.no_grad():
            y, found = mixer(u, ALL_KEPT, found)
            expected, wanted = precise(u.double(), ALL_KEPT, wanted)
        for a, b in zip((y, *found), (expected, *wanted), strict=True):
            assert torch.allclose(a.double(), b, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("spoilt", ["u", "past", "h"])
def test_a_token_that_is_not_finite_spoils_its_own_row(spoilt):
    mixer = archs.S6(24)
    u, state = torch.randn(2, 1, 24), mixer.init_state(2, 9)
    {"u": u, "past": state.past, "h": state.h}[spoilt][1] = float("nan")
    with torch.no_grad():
        y, _ = mixer(u, ALL_KEPT, state)
    assert y.isfinite().all(-1).flatten().tolist() == [True, False]


@pytest.mark.parametrize("length", [1, 3])
def test_a_state_of_another_batch_is_refused_in_one_line(length):
    mixer = archs.S6(24)
    with torch.no_grad(), pytest.raises(ValueError, match="past has shape") as error:
        mixer(torch.randn(2, length, 24), ALL_KEPT, mixer.init_state(3, 9))
    assert "\n" not in str(error.value)


@settings(max_examples=15, derandomize=True)
@given(keep=st.lists(st.lists(st.booleans(), min_size=9, max_size=9), min_size=3, max_size=3))
def test_pads_anywhere_change_no_kept_position_and_no_state(model, keep):
    x, keep = tokens(3, 9), torch.tensor(keep)
    with torch.no_grad():
        hidden, state, _ = model.step(x, model.start(3, max_len=9), keep)
        plain = model(x, keep).hidden
        after = model.step(x[:, :1], state).hidden  # the state is what the kept tokens alone leave
        for row in range(3):
            kept = x[row, keep[row]][None]
            full = model(torch.cat([kept, x[row : row + 1, :1]], 1)).hidden[0]
            for found in (hidden, plain):
                assert torch.allclose(found[row, keep[row]], full[:-1], atol=1e-4)
            assert torch.allclose(after[row, 0], full[-1], atol=1e-4)


def test_gradients_flow_through_a_carried_state(model):
    x = tokens(2, 12)
    whole = torch.autograd.grad(model(x).hidden[:, 8:].square().sum(), model.embedding.weight)[0]
    state = model.step(x[:, :8], model.start(2, max_len=12)).state
    cut = torch.autograd.grad(model.step(x[:, 8:], state).hidden.square().sum(), model.embedding.weight)[0]
    assert torch.allclose(whole, cut, atol=1e-4 * whole.detach().abs().max().item())


@pytest.mark.parametrize("backend", ["reference", "torch", "numba"])
def test_every_backend_gives_the_same_mixer(backend):
    torch.manual_seed(0)
    mixer, x = archs.S6(24), torch.randn(2, 37, 24)
    expected, _ = mixer.double()(x.double(), ALL_KEPT)
    mixer.float().backend = backend
    found, _ = mixer(x, ALL_KEPT)
    assert torch.allclose(found.double(), expected, atol=1e-5 * expected.detach().abs().max().item())


def test_under_autocast_only_the_maps_lose_precision(build):
    model, x = build("mamba"), tokens(2, 40)
    expected = model(x).hidden
    with torch.autocast("cpu", torch.bfloat16):
        found = model(x).hidden
    assert (found - expected).abs().mean() < 0.01 * expected.abs().mean()
    found.float().sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("length", [1, 5])
def test_the_state_stays_in_float32_in_half_precision(length):
    torch.manual_seed(0)
    mixer, u = archs.S6(24), torch.randn(2, length, 24)
    expected, wanted = mixer(u, ALL_KEPT, mixer.init_state(2, 9))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        y, state = mixer(u, ALL_KEPT, mixer.init_state(2, 9))
    assert (y.dtype, state.h.dtype) == (torch.bfloat16, torch.float32)
    assert (state.h - wanted.h).norm() < 0.01 * wanted.h.norm()
    y, state = mixer.bfloat16()(u.bfloat16(), ALL_KEPT, mixer.init_state(2, 9, dtype=torch.bfloat16))
    assert (y.dtype, state.past.dtype, state.h.dtype) == (torch.bfloat16, torch.bfloat16, torch.float32)
    assert (y - expected).norm() < 0.02 * expected.norm()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"causal": False}, "look back"),
        ({"cross": True}, "no memory"),
        ({"backend": "cuda"}, "backend='cuda'"),
        ({"state": 0}, "state=0"),
    ],
)
def test_what_it_cannot_do_is_refused_in_one_line(keys, said):
    with pytest.raises(ValueError, match=said) as error:
        archs.S6(16, **keys)
    assert "\n" not in str(error.value)


def test_an_encoder_of_it_is_refused(build):
    with pytest.raises(ValueError, match="look back"):
        build("bert", "arch/mixer=s6", "arch/position=none")


@pytest.mark.parametrize("overrides", [["arch/mlp=swiglu"], ["arch/mixer=attention", "arch/position=rope"]])
def test_parts_swap_in(build, overrides):
    model = build("mamba", *overrides)
    assert model.head(model(tokens(2, 5)).hidden).shape == (2, 5, V)
    build("gpt", "arch/mixer=s6")(tokens(2, 5))


def test_starts_as_mamba_ssm_does():
    torch.manual_seed(0)
    mixer = archs.S6(64)
    mixer.reset_parameters(depth=9)
    steps = torch.nn.functional.softplus(mixer.dt_proj.bias.double())
    assert 1e-3 * 0.999 <= steps.min() < 2e-3
    assert 5e-2 < steps.max() <= 1e-1 * 1.001
    assert torch.allclose(mixer.A_log.exp(), torch.arange(1.0, 17).expand(128, 16))
    assert bool((mixer.D == 1).all())
    bound = 1 / (math.sqrt(128) * math.sqrt(9))  # torch's default, over sqrt(depth)
    assert 0.9 * bound < mixer.out_proj.weight.abs().max().item() <= bound


def test_first_loss_is_that_of_a_uniform_guess(build):
    model = build("mamba", "dim=128", "depth=8", vocab_size=512)
    x = torch.randint(512, (4, 65))
    logits = model.head(model(x[:, :-1]).hidden)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten())
    assert abs(loss.item() - math.log(512)) < 0.3


def test_decay_spares_what_sets_the_time_scales(build):
    model = build("mamba")
    spared = {
        id(p)
        for group in archs.decay_groups(model, 0.1)
        if not group["weight_decay"]
        for p in group["params"]
    }
    names = {
        name.split(".")[-2] + "." + name.split(".")[-1]
        for name, p in model.named_parameters()
        if id(p) in spared
    }
    assert {"fn.A_log", "fn.D", "dt_proj.bias", "fn.conv_bias", "norm.weight"} <= names
    assert (
        not {"in_proj.weight", "x_proj.weight", "dt_proj.weight", "out_proj.weight", "embedding.weight"}
        & names
    )


def test_flops_are_the_matmuls_and_the_recurrence():
    mixer, T = archs.S6(24, inner=40, state=5, conv=3, dt_rank=7), 11
    with FlopCounterMode(display=False) as counter:
        mixer(torch.randn(1, T, 24), ALL_KEPT)
    per_token = 7 * 40 * 5 + 2 * 3 * 40 + 4 * 40
    assert mixer.flops(T) == counter.get_total_flops() + per_token * T
    assert mixer.flops(T, S=1000) == mixer.flops(T)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_state_bytes_are_what_the_state_holds_at_any_length(dtype):
    mixer = archs.S6(24, state=5)
    state = mixer.init_state(1, 1000, "cpu", dtype)
    assert (
        mixer.state_bytes(1, dtype=dtype)
        == mixer.state_bytes(10**6, dtype=dtype)
        == sum(t.nbytes for t in state)
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_can_be_forced_by_name(build, backend):
    model = build("mamba", f"mixer.backend={backend}")
    if backend == "mamba_ssm":
        with pytest.raises(ValueError, match="GPU"):
            model(tokens(1, 3))
    else:
        assert model(tokens(1, 3)).hidden.isfinite().all()


def test_a_step_into_a_state_that_a_graph_still_needs_is_noticed(build):
    """Decoding writes into the state: the gradients of what saved it would be of other numbers."""
    model = build("mamba")
    state = model.start(1, max_len=4)
    h = state.layers[0][0].h.requires_grad_()
    loss = (h * h.clone()).sum()
    with torch.no_grad():
        model.step(torch.zeros(1, 1, dtype=torch.int64), state)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
