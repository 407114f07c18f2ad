"""A mixture of experts against its definition, token by token."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from archs import MoE, Position
from archs.context import Context


def made(dim=6, hidden=5, experts=4, top_k=2, **options):
    torch.manual_seed(0)
    moe = MoE(dim, hidden, experts, top_k, **options).double()
    with torch.no_grad():
        for parameter in moe.parameters():
            parameter.normal_()
    return moe


def context(B, T, keep=None):
    return Context(torch.arange(T)[None], keep, Position(6, causal=True), T)


def definition(moe, x):
    """One token after the other: softmax over all experts, the best k, weights that sum to one."""
    out = torch.zeros_like(x)
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            p = torch.softmax(moe.router.weight @ x[b, t], 0)
            best = sorted(range(moe.experts), key=lambda e: -p[e].item())[: moe.top_k]
            for e in best:
                gate, value = (moe.up[e] @ x[b, t]).split(moe.hidden)
                y = moe.down[e] @ (torch.nn.functional.silu(gate) * value)
                out[b, t] += p[e] / sum(p[i] for i in best) * y
    return out


@settings(max_examples=15, derandomize=True)
@given(B=st.integers(1, 3), T=st.integers(1, 6), experts=st.integers(1, 5), data=st.data())
def test_equals_the_definition_in_value_and_gradient(B, T, experts, data):
    moe = made(experts=experts, top_k=data.draw(st.integers(1, experts)))
    x = torch.randn(B, T, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(B + T))
    x.requires_grad_()
    y, expected = moe(x, context(B, T))[0], definition(moe, x)
    torch.testing.assert_close(y, expected)
    leaves = [x, *moe.parameters()]
    weights = torch.randn(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for ours, theirs in zip(
        torch.autograd.grad((y * weights).sum(), leaves),
        torch.autograd.grad((expected * weights).sum(), leaves, materialize_grads=True),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_balance_of_perfectly_even_experts_is_top_k():
    """Probabilities all alike: every token adds top_k assignments, E * sum(share * 1/E) = top_k."""
    moe = made(balance=0.5)
    torch.nn.init.zeros_(moe.router.weight)
    ctx = context(2, 8)
    moe(torch.randn(2, 8, 6, dtype=torch.float64), ctx)
    assert ctx.losses()["balance"].item() == pytest.approx(0.5 * moe.top_k)


def test_balance_pools_layers_and_leaves_pads_out():
    """Two layers pool their tokens before the product; pads count for nothing."""
    moe, x = made(balance=1.0), torch.randn(1, 4, 6, dtype=torch.float64)
    keep = torch.tensor([[True, True, False, False]])
    padded, bare = context(1, 4, keep), context(1, 2)
    for ctx, rows in ((padded, x), (bare, x[:, :2])):
        moe(rows, ctx)
        moe(-rows, ctx)
    assert padded.losses()["balance"].item() == pytest.approx(bare.losses()["balance"].item())

    probabilities = torch.cat([torch.softmax(y[0, :2] @ moe.router.weight.T, -1) for y in (x, -x)])
    share = torch.zeros(4, dtype=torch.float64)
    for row in probabilities:
        share[row.topk(2).indices] += 1 / 4
    expected = 4 * (share * probabilities.mean(0)).sum().item()
    assert padded.losses()["balance"].item() == pytest.approx(expected)


def test_no_balance_in_decoding_or_without_weight():
    """But in training with a state that is carried on."""
    x = torch.randn(1, 3, 6, dtype=torch.float64)
    for moe, seen, losses in (
        (made(balance=0.0), None, set()),
        (made().eval(), torch.tensor([0]), set()),
        (made().train(), torch.tensor([0]), {"balance"}),
    ):
        ctx = Context(torch.arange(3)[None], None, Position(6, True), 3, seen=seen)
        moe(x, ctx)
        assert ctx.losses().keys() == losses


def test_counts():
    moe = made(dim=6, hidden=5, experts=4, top_k=2)
    assert moe.idle_parameters == 2 * 3 * 6 * 5
    assert moe.flops(7) == 7 * (2 * 6 * 4 + 2 * 6 * 6 * 5)


@pytest.mark.parametrize("wrong", [{"top_k": 0}, {"top_k": 5}, {"hidden": 0}])
def test_what_does_not_fit_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        made(**wrong)
