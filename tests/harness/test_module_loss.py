"""The training loss is cross-entropy of the head's logits, however it is computed."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from archs.contract import Family, LinearHead
from harness.building import build
from harness.module import scored_loss
from tasks.rows import IGNORE, Batch

SMALL = ["arch.dim=24", "arch.depth=1", "arch.heads=2"]


def subject(name, *extra, vocab=61, shape=(3, 7), every=1, dtype=torch.float64):
    """A model of an architecture, and a batch in which every so many positions have a target."""
    torch.manual_seed(0)
    model = build(name, vocab_size=vocab, overrides=[*SMALL, *extra]).to(dtype).train()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3)
    tokens = torch.randint(vocab, shape)
    targets = tokens.roll(1, 1).clone()
    targets.view(-1)[torch.arange(tokens.numel()) % every > 0] = IGNORE
    source = tokens if model.family is Family.ENCODER_DECODER else None
    return model, Batch(tokens=tokens, targets=targets, source=source)


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def by_definition(model, batch):
    logits = model.head(model(batch.tokens, source=batch.source).hidden)
    return cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORE)


# gpt: tied, no bias; bert: tied, a transform and a bias; t5: tied and scaled; llama: an output matrix.
@pytest.mark.parametrize("every", [1, 6, 21])
@pytest.mark.parametrize("name", ["gpt", "bert", "t5", "llama"])
def test_value_and_gradients_are_those_of_cross_entropy(name, every):
    model, batch = subject(name, every=every)
    loss, aux = scored_loss(model, batch)
    expected = by_definition(model, batch)
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-13)
    mine, other = gradients(model, loss), gradients(model, expected)
    for key, gradient in other.items():
        torch.testing.assert_close(mine[key], gradient, rtol=0, atol=1e-12, msg=key)
    assert not aux


def test_many_rows_come_in_pieces(monkeypatch):
    """Rows that no piece divides, and no tensor as large as the logits."""
    monkeypatch.setattr("harness.loss.ROWS", 5)
    monkeypatch.setattr("harness.loss.LOGITS", 1)
    model, batch = subject("gpt", vocab=2003, shape=(3, 40))
    sizes = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            sizes.extend(t.numel() for t in [out] if isinstance(t, torch.Tensor))
            return out

    with Watch():
        loss, _ = scored_loss(model, batch)
        mine = gradients(model, loss)
    assert max(sizes) == model.embedding.weight.numel() < batch.tokens.numel() * 2003
    for key, gradient in gradients(model, by_definition(model, batch)).items():
        torch.testing.assert_close(mine[key], gradient, rtol=0, atol=1e-12, msg=key)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["gpt", "bert"])
def test_under_autocast_it_is_as_near_the_truth_as_cross_entropy(name, dtype, monkeypatch):
    monkeypatch.setattr("harness.loss.ROWS", 3)
    monkeypatch.setattr("harness.loss.LOGITS", 1)
    model, batch = subject(name, every=2, dtype=torch.float32)
    true = gradients(model, by_definition(model, batch))

    def error(loss_of):
        with torch.autocast("cpu", dtype):
            loss = loss_of(model, batch)
        found = gradients(model, loss)
        return sum((found[key] - true[key]).square().sum() for key in true).sqrt()

    scale = sum(gradient.square().sum() for gradient in true.values()).sqrt()
    plain = error(by_definition)
    assert error(lambda *of: scored_loss(*of)[0]) <= 1.5 * plain < 0.1 * scale


def test_float16_scales_the_loss_before_it_takes_gradients():
    """What a scaler is for: gradients too small for float16 arrive, times what the loss was multiplied by."""
    model, batch = subject("gpt", "arch/head=untied", shape=(16, 40), dtype=torch.float32)
    torch.nn.init.normal_(model.lm_head.output.weight, std=1e-5)
    true = gradients(model, by_definition(model, batch))["embedding.weight"]
    with torch.autocast("cpu", torch.float16):
        loss, _ = scored_loss(model, batch)
    found = gradients(model, loss * 2.0**16)["embedding.weight"] / 2.0**16
    torch.testing.assert_close(found, true, rtol=0, atol=0.02 * float(true.abs().max()))


def test_a_head_that_is_not_linear_is_read_through_head():
    model, batch = subject("gpt")

    class Squashed(torch.nn.Module):
        family = Family.DECODER

        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, *args, **kwargs):
            return self.inner(*args, **kwargs)

        def head(self, hidden):
            return self.inner.head(hidden).tanh()

    squashed = Squashed()
    assert not isinstance(squashed, LinearHead)
    logits = squashed.head(model(batch.tokens).hidden)
    expected = cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
    torch.testing.assert_close(scored_loss(squashed, batch)[0], expected)


def test_the_same_bits_every_time(recwarn):
    """And not a word on the terminal."""
    model, batch = subject("bert", every=3, dtype=torch.float32)
    first, second = (gradients(model, scored_loss(model, batch)[0]) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not recwarn.list
