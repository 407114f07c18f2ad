"""Mamba-2's mixer, by itself and in the backbone that conf/arch/mamba2.yaml composes."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import Mamba2Config, Mamba2ForCausalLM

import archs
from archs.kernels import BACKENDS

V, ALL_KEPT = 61, SimpleNamespace(keep=None)
CHUNK = 8


def tokens(rows, length, seed=0):
    return torch.randint(V, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model(build, perturb):
    return perturb(build("mamba2", "mixer.state=5", "mixer.groups=2", f"mixer.chunk={CHUNK}"))


# Against transformers ------------------------------------------------------------------------------


def from_mamba2(theirs, depth):
    out = {
        "embedding.weight": theirs["backbone.embeddings.weight"],
        "stack.final_norm.weight": theirs["backbone.norm_f.weight"],
        "lm_head.output.weight": theirs["lm_head.weight"],
    }
    for i in range(depth):
        mine, layer = f"stack.layers.{i}.mixer", f"backbone.layers.{i}"
        out[f"{mine}.norm.weight"] = theirs[f"{layer}.norm.weight"]
        out[f"{mine}.fn.conv_weight"] = theirs[f"{layer}.mixer.conv1d.weight"].squeeze(1)
        out[f"{mine}.fn.conv_bias"] = theirs[f"{layer}.mixer.conv1d.bias"]
        same = ("in_proj.weight", "dt_bias", "A_log", "D", "norm.weight", "out_proj.weight")
        out |= {f"{mine}.fn.{name}": theirs[f"{layer}.mixer.{name}"] for name in same}
    return out


@pytest.fixture
def pair(build, perturb):
    """pair(groups) -> theirs and ours with the same weights, none of them where it starts."""

    def _pair(groups, seed=0):
        torch.manual_seed(seed)
        config = Mamba2Config(
            vocab_size=V,
            hidden_size=24,
            num_hidden_layers=2,
            num_heads=6,
            head_dim=8,
            expand=2,
            state_size=5,
            n_groups=groups,
            chunk_size=CHUNK,
            use_cache=False,
        )
        theirs = perturb(Mamba2ForCausalLM(config).eval())
        mixer = ("heads=6", "mixer.state=5", f"mixer.groups={groups}", f"mixer.chunk={CHUNK}")
        ours = build("mamba2", *mixer, "arch/head=untied")
        source = from_mamba2(theirs.state_dict(), depth=2)
        assert set(source) == set(ours.state_dict())
        ours.load_state_dict(source)
        return theirs, ours

    return _pair


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize(
    "length", [3, 37]
)  # shorter than the convolution; past a chunk, and no multiple of it
def test_is_the_mamba2_of_transformers(pair, groups, length):
    theirs, ours = pair(groups)
    x = tokens(3, length)
    expected, found = theirs(x).logits, ours.head(ours(x).hidden)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()

    weights = torch.linspace(-1, 1, expected.numel()).view_as(expected)
    (expected * weights).sum().backward()
    (found * weights).sum().backward()
    wanted = from_mamba2({name: p.grad for name, p in theirs.named_parameters()}, depth=2)
    for name, parameter in ours.named_parameters():
        error = (parameter.grad - wanted[name]).abs().max() / wanted[name].abs().max()
        assert error < 1e-4, name


def test_is_it_in_padded_batches_too(pair):
    theirs, ours = pair(2)
    x, keep = tokens(3, 21), torch.arange(21) < torch.tensor([[21], [5], [2]])
    expected, found = theirs(x, attention_mask=keep.long()).logits, ours.head(ours(x, keep).hidden)
    assert (found - expected)[keep].abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("step", [1, 3])
def test_steps_are_those_of_transformers_whole(pair, step):
    theirs, ours = pair(2)
    x = tokens(2, 21)
    state, found = ours.start(2, max_len=21), []
    with torch.no_grad():
        for piece in x.split(step, 1):
            hidden, state, _ = ours.step(piece, state)
            found.append(ours.head(hidden))
        expected = theirs(x).logits
    assert (torch.cat(found, 1) - expected).abs().max() <= 1e-5 * expected.abs().max()


# As a mixer ----------------------------------------------------------------------------------------


@settings(max_examples=15, derandomize=True)
@given(pieces=st.lists(st.sampled_from([1, 2, 3, 4, 8, 17]), min_size=1, max_size=5))
def test_steps_of_any_length_give_what_one_pass_gives(model, pieces):
    x = tokens(2, sum(pieces))
    state, found = model.start(2, max_len=x.shape[1]), []
    with torch.no_grad():
        for piece in x.split(pieces, 1):
            hidden, state, _ = model.step(piece, state)
            found.append(hidden)
        whole = model(x).hidden
    assert torch.allclose(torch.cat(found, 1), whole, atol=1e-5 * whole.abs().max().item())


@settings(max_examples=15, derandomize=True)
@given(keep=st.lists(st.lists(st.booleans(), min_size=11, max_size=11), min_size=3, max_size=3))
def test_pads_anywhere_change_no_kept_position_and_no_state(model, keep):
    x, keep = tokens(3, 11), torch.tensor(keep)
    with torch.no_grad():
        hidden, state, _ = model.step(x, model.start(3, max_len=12), keep)
        plain = model(x, keep).hidden
        after = model.step(x[:, :1], state).hidden  # the state is what the kept tokens alone leave
        for row in range(3):
            kept = x[row, keep[row]][None]
            full = model(torch.cat([kept, x[row : row + 1, :1]], 1)).hidden[0]
            for found in (hidden, plain):
                assert torch.allclose(found[row, keep[row]], full[:-1], atol=1e-4)
            assert torch.allclose(after[row, 0], full[-1], atol=1e-4)


def test_gradients_flow_through_a_carried_state(model):
    x = tokens(2, 22)
    whole = torch.autograd.grad(model(x).hidden[:, 9:].square().sum(), model.embedding.weight)[0]
    state = model.step(x[:, :9], model.start(2, max_len=22)).state
    cut = torch.autograd.grad(model.step(x[:, 9:], state).hidden.square().sum(), model.embedding.weight)[0]
    assert torch.allclose(whole, cut, atol=1e-4 * whole.abs().max().item())


@pytest.mark.parametrize("backend", ["reference", "torch", "numba"])
def test_every_backend_gives_the_same_mixer(backend):
    torch.manual_seed(0)
    mixer, x = archs.SSD(24, state=16, groups=2), torch.randn(2, 150, 24)
    expected, _ = mixer.double()(x.double(), ALL_KEPT)
    mixer.float().backend = backend
    mixer.norm.backend = backend
    found, _ = mixer(x, ALL_KEPT)
    assert torch.allclose(found.double(), expected, atol=1e-5 * expected.abs().max().item())


def test_under_autocast_only_the_maps_lose_precision(build):
    model, x = build("mamba2"), tokens(2, 80)
    expected = model(x).hidden
    with torch.autocast("cpu", torch.bfloat16):
        found = model(x).hidden
        state = model.step(x, model.start(2, max_len=80)).state
    assert (found - expected).abs().mean() < 0.01 * expected.abs().mean()
    assert state.layers[0][0].h.dtype == torch.float32
    found.float().sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"causal": False}, "look back"),
        ({"cross": True}, "no memory"),
        ({"backend": "cuda"}, "backend='cuda'"),
        ({"state": 0}, "state=0"),
        ({"chunk": 0}, "chunk=0"),
        ({"heads": 5}, "heads=5 must divide inner=32"),
        ({"groups": 3}, "groups=3 must divide heads=4"),
    ],
)
def test_what_it_cannot_do_is_refused_in_one_line(keys, said):
    with pytest.raises(ValueError, match=said) as error:
        archs.SSD(16, **keys)
    assert "\n" not in str(error.value)


def test_an_encoder_of_it_is_refused(build):
    with pytest.raises(ValueError, match="look back"):
        build("bert", "arch/mixer=ssd", "arch/position=none")


@pytest.mark.parametrize("overrides", [["arch/mlp=swiglu"], ["arch/mixer=attention", "arch/position=rope"]])
def test_parts_swap_in(build, overrides):
    model = build("mamba2", *overrides)
    assert model.head(model(tokens(2, 5)).hidden).shape == (2, 5, V)
    build("gpt", "arch/mixer=ssd")(tokens(2, 5))


def test_starts_as_mamba_ssm_does():
    torch.manual_seed(0)
    mixer = archs.SSD(512, heads=256)
    mixer.reset_parameters(depth=9)
    steps = torch.nn.functional.softplus(mixer.dt_bias.double())
    assert 1e-3 * 0.999 <= steps.min() < 2e-3
    assert 5e-2 < steps.max() <= 1e-1 * 1.001
    assert 1 <= mixer.A_log.exp().min() < 2
    assert 15 < mixer.A_log.exp().max() <= 16.001
    assert bool((mixer.D == 1).all())
    bound = 1 / (math.sqrt(1024) * math.sqrt(9))  # torch's default, over sqrt(depth)
    assert 0.9 * bound < mixer.out_proj.weight.abs().max().item() <= bound


def test_first_loss_is_that_of_a_uniform_guess(build):
    model = build("mamba2", "dim=128", "depth=8", vocab_size=512)
    x = torch.randint(512, (4, 65), generator=torch.Generator().manual_seed(0))
    logits = model.head(model(x[:, :-1]).hidden)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten())
    assert abs(loss.item() - math.log(512)) < 0.3


def test_decay_spares_what_sets_the_time_scales(build):
    model = build("mamba2")
    decayed = {
        id(p) for group in archs.decay_groups(model, 0.1) if group["weight_decay"] for p in group["params"]
    }
    names = {name.split(".fn.")[-1] for name, p in model.named_parameters() if id(p) in decayed}
    assert names == {"in_proj.weight", "conv_weight", "out_proj.weight", "embedding.weight"}


# What it costs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("T", [16, 64, 1])
def test_flops_are_the_matmuls_and_the_recurrence(T):
    E, N, G, K = 40, 5, 2, 3
    mixer = archs.SSD(24, inner=E, state=N, groups=G, conv=K, chunk=16)
    with FlopCounterMode(display=False) as counter:
        mixer(torch.randn(1, T, 24), ALL_KEPT)
    # beside products: taps of the convolution; 2 to pass on each state; delta x, D x and its sum, the gate
    rest = 2 * K * (E + 2 * G * N) * T + 4 * E * T
    states = 3 * E * N if T == 1 else 2 * E * N * T // 16
    assert mixer.flops(T) == counter.get_total_flops() + rest + states
    assert mixer.flops(T, S=1000) == mixer.flops(T)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_state_bytes_are_what_the_state_holds_at_any_length(dtype):
    mixer = archs.SSD(24, state=5, groups=2)
    state = mixer.init_state(1, 1000, "cpu", dtype)
    assert (
        mixer.state_bytes(1, dtype=dtype)
        == mixer.state_bytes(10**6, dtype=dtype)
        == sum(t.nbytes for t in state)
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_can_be_forced_by_name(build, backend):
    model = build("mamba2", f"mixer.backend={backend}")
    if backend == "mamba_ssm":
        with pytest.raises(ValueError, match="GPU"):
            model(tokens(1, 3))
    else:
        assert model(tokens(1, 3)).hidden.isfinite().all()
