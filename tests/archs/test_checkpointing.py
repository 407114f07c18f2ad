"""Recomputing activations changes what is kept, and nothing else."""

import copy
from functools import cache
from itertools import product
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kept_bytes import kept_bytes
from torch import nn
from torch.utils._pytree import tree_map

import archs
from archs import Checkpointable, Family
from harness.building import build

V = 61
ARCHS = sorted(path.stem for path in (Path(__file__).parents[2] / "conf" / "arch").glob("*.yaml"))
SMALL = ("arch.dim=24", "arch.depth=2", "arch.heads=4", "arch.dropout=0.2")
SHORT = {
    "mistral": ("arch.mixer.window=4",),
    "modernbert": ("arch.mixers.local.window=4",),
    "hybrid": ("arch.mixers.ssd.chunk=4",),
    "mamba2": ("arch.mixer.chunk=4",),
}
# What sublayers share: tables, a learned bias, a memory; and a loss of all layers, beside an encoder's own.
COMPOSED = {
    "window, relative": ("gpt", "arch/mixer=sliding", "arch.mixer.window=3", "arch/position=t5_bias"),
    "bert, relative": ("bert", "arch/position=t5_bias"),
    "bert, ssd": ("bert", "arch/mixer=ssd_bidirectional", "arch/position=none"),
    "gpt, experts": ("gpt", "arch/mlp=moe", "arch.depth=3"),
    "t5, experts": ("t5", "arch/mlp=moe"),
    "mamba, torch": ("mamba", "arch.mixer.backend=torch"),
}
ALL = {name: (name, *SHORT.get(name, ())) for name in ARCHS} | COMPOSED


@cache
def untouched(name):
    arch, *overrides = ALL[name]
    torch.manual_seed(0)
    return build(arch, vocab_size=V, overrides=[*SMALL, *overrides]).train()


def made(name):
    return copy.deepcopy(untouched(name))


def batch(model, rows=2, length=9, seed=0, holes=False):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(V, (rows, length), generator=generator)
    keep = torch.rand(rows, length, generator=generator) < 0.7 if holes else None
    source = {}
    if model.family is Family.ENCODER_DECODER:
        source = {"source": tokens.flip(1)[:, : length // 2 + 1]}
    return tokens, keep, source


def step(model, on, tokens, keep, source, precision=None):
    """The loss, the backbone's own, every gradient, and a number drawn afterwards."""
    archs.checkpointing(model, on)
    torch.manual_seed(7)
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
        out = model(tokens, keep, **source)
        logits = model.head(out.hidden)
    loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), tokens.roll(-1, 1).flatten())
    after = torch.rand(1)
    (loss + sum(out.aux.values())).backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return {"loss": loss.detach(), "drawn": after, **out.aux, **gradients}


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", ALL)
def test_values_gradients_and_dropout_are_the_same(name, precision):
    model = made(name)
    of = batch(model)
    kept, computed = (step(model, on, *of, precision) for on in (False, True))
    assert kept.keys() == computed.keys()
    for key, value in kept.items():
        assert torch.equal(computed[key], value), key


@given(
    name=st.sampled_from(sorted(ALL)),
    rows=st.integers(1, 3),
    length=st.integers(1, 12),
    seed=st.integers(0, 99),
    holes=st.booleans(),
)
@settings(max_examples=25)
def test_on_rows_of_any_shape(name, rows, length, seed, holes):
    model = made(name)
    of = batch(model, rows, length, seed, holes)
    kept, computed = (step(model, on, *of) for on in (False, True))
    for key, value in kept.items():
        torch.testing.assert_close(computed[key], value, msg=key, equal_nan=True)


@pytest.mark.parametrize("name", ["gpt", "mamba", "mamba2", "hybrid", "window, relative"])
def test_a_state_is_carried_as_without(name):
    """Gradients reach from the second window into the first, through the state."""
    model = made(name).eval()
    tokens, *_ = batch(model, length=10)
    found = []
    for on in (False, True):
        archs.checkpointing(model, on)
        model.zero_grad()
        state = model.start(2, max_len=10)
        for piece in tokens.split(5, 1):
            hidden, state, _ = model.step(piece, state)
        hidden.square().sum().backward()
        found.append([hidden.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    for kept, computed in zip(*found, strict=True):
        assert torch.equal(kept, computed)


def test_nothing_is_computed_twice_where_nothing_is_learned():
    model = made("gpt").eval()
    archs.checkpointing(model)
    calls = []
    model.stack.layers[0]["mlp"].register_forward_pre_hook(lambda *_: calls.append(1))
    tokens = torch.randint(V, (2, 5))
    with torch.no_grad():
        model(tokens)
        state = model.start(2, max_len=5)
        model.step(tokens, tree_map(torch.clone, state))
    assert len(calls) == 2
    model(tokens).hidden.sum().backward()
    assert len(calls) == 4, "forward, and once more in the backward pass"


def saved_bytes(model, length, on, **more):
    archs.checkpointing(model, on)
    tokens, _, source = batch(model, 1, length)
    return kept_bytes(model, lambda: model(tokens, **source, **more))


@pytest.mark.parametrize("name", ["bert", "gpt", "llama", "mistral", "mixtral", "t5", "mamba", "mamba2"])
def test_what_is_kept_is_what_goes_into_each_layer(name):
    arch, *overrides = ALL[name]
    deep = [*SMALL[:1], "arch.depth=8", *SMALL[2:3], *overrides]
    torch.manual_seed(0)
    model = build(arch, vocab_size=V, overrides=deep).train()
    length = 128
    with_all, without = (saved_bytes(model, length, on) for on in (False, True))
    layers = sum(len(stack.layers) for stack in model.modules() if isinstance(stack, archs.Stack))
    inputs = 4 * 24 * length * layers
    assert without < 1.5 * inputs + 8 * 24 * length + 10_000
    assert without < with_all / 5


@pytest.mark.parametrize("position", ["rope", "alibi", "t5_bias"])
def test_a_sliding_window_keeps_memory_linear_in_length(position):
    """From an empty state, and from one that others have left; kept or computed again."""
    parts = ["arch/mixer=sliding", "arch.mixer.window=16", f"arch/position={position}"]
    model = build("gpt", vocab_size=V, overrides=[*SMALL[:3], *parts])
    with torch.no_grad():
        state = model.step(batch(model, 1, 40)[0], model.start(1, max_len=4096)).state
    for on, before in product((False, True), (None, state)):
        found = [saved_bytes(model, length, on, state=before) for length in (256, 512, 1024)]
        assert 1.9 < (found[2] - found[1]) / (found[1] - found[0]) < 2.1


def test_layers_are_computed_again_one_after_the_other():
    """What one needs is gone before the next one is computed."""
    model = made("gpt")
    archs.checkpointing(model)
    events = []
    for i, layer in enumerate(model.stack.layers):
        mixer = layer["mixer"]
        mixer.register_forward_pre_hook(lambda *_, i=i: events.append(("computed", i)))
        mixer.register_full_backward_hook(lambda *_, i=i: events.append(("done", i)))
    model(torch.randint(V, (2, 5))).hidden.sum().backward()
    assert events[:2] == [("computed", 0), ("computed", 1)]
    assert events[2:] == [("computed", 1), ("done", 1), ("computed", 0), ("done", 0)]


def test_a_module_of_ones_own_can_take_part():
    class Mine(nn.Module):
        activation_checkpointing = False

    both = nn.ModuleList([Mine(), made("gpt")])
    archs.checkpointing(both)
    assert both[0].activation_checkpointing
    assert both[1].stack.activation_checkpointing
    assert isinstance(both[0], Checkpointable)
    archs.checkpointing(both, False)
    assert not both[0].activation_checkpointing
    assert not both[1].stack.activation_checkpointing


def test_a_backbone_without_any_is_refused_in_one_line():
    with pytest.raises(ValueError, match=r"\ALinear cannot[^\n]*activation_checkpointing[^\n]*\Z"):
        archs.checkpointing(nn.Linear(2, 2))
    archs.checkpointing(nn.Linear(2, 2), False)
