"""Attention against its definition: a mask, a softmax, a product."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kept_bytes import kept_bytes

from archs import allowed, attend
from archs.attend import additive, attend_window, window_mask


def by_definition(q, k, v, mask, scale, bias=None):
    """softmax over what the mask allows, one step at a time."""
    k, v = (t.repeat_interleave(q.shape[1] // t.shape[1], 1) for t in (k, v))
    scores = q @ k.mT * scale
    if bias is not None:
        scores = scores + bias
    return scores.masked_fill(~mask, -torch.inf).softmax(-1) @ v


def qkv(T, S, heads=4, kv_heads=2, dim=6, rows=2):
    generator = torch.Generator().manual_seed(T * 100 + S)
    shapes = [(rows, heads, T, dim), (rows, kv_heads, S, dim), (rows, kv_heads, S, dim)]
    return [torch.randn(s, generator=generator, dtype=torch.float64, requires_grad=True) for s in shapes]


def assert_same(ours, expected, inputs):
    """In value and in gradient."""
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for mine, other in zip(
        torch.autograd.grad((ours * weights).sum(), inputs, retain_graph=True),
        torch.autograd.grad((expected * weights).sum(), inputs, retain_graph=True),
        strict=True,
    ):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-11)


def test_who_may_read_whom():
    drawn = allowed(torch.arange(5), torch.arange(5), causal=True, window=2).int().tolist()
    assert drawn == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 1, 1]]
    both = allowed(torch.arange(4), torch.arange(4), causal=False, window=2).int().tolist()
    assert both == [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]]
    assert not allowed(torch.tensor([3]), torch.tensor([-1]), causal=False).any()  # an empty place


@pytest.mark.parametrize("T", [1, 7])
def test_causal_attention_is_its_mask(T):
    q, k, v = qkv(T, T)
    mask = allowed(torch.arange(T), torch.arange(T), causal=True)
    assert_same(attend(q, k, v, scale=0.3, causal=True), by_definition(q, k, v, mask, 0.3), (q, k, v))
    assert_same(attend(q, k, v, scale=0.3, mask=mask), by_definition(q, k, v, mask, 0.3), (q, k, v))


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("kv_heads", [2, 4])
def test_a_learned_bias_is_learned(rows, kv_heads):
    """Also one that is masked, and one of each row's own."""
    q, k, v = qkv(5, 7, kv_heads=kv_heads)
    generator = torch.Generator().manual_seed(5)
    bias = torch.randn(rows, 4, 5, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    mask = allowed(torch.arange(5), torch.arange(7), causal=True)
    ours = attend(q, k, v, scale=0.3, mask=additive(mask, bias, q.dtype))
    assert_same(ours, by_definition(q, k, v, mask, 0.3, bias), (q, k, v, bias))


@settings(max_examples=40)
@given(
    T=st.integers(1, 23), window=st.integers(1, 9), causal=st.booleans(), biased=st.booleans(), data=st.data()
)
def test_a_window_in_blocks_is_its_mask(T, window, causal, biased, data):
    q, k, v = qkv(T, T)
    lengths = data.draw(st.none() | st.tuples(st.integers(1, T), st.just(T)))
    keep = None if lengths is None or causal else torch.arange(T) < torch.tensor(lengths)[:, None]
    slope = torch.tensor([0.5, 0.1, 0.2, 0.9], dtype=torch.float64)[:, None, None]

    def bias(q_pos, k_pos):
        return slope * (k_pos[:, None, None, :] - q_pos[:, None, :, None]) if biased else None

    n = data.draw(st.integers(1, T))  # queries, the last ones
    mask = window_mask(k, q.shape[1], window=window, causal=causal, keep=keep, bias=bias)
    ours = attend_window(q[:, :, -n:], k, v, window=window, causal=causal, scale=0.3, mask=mask)
    places = torch.arange(T)
    mask = allowed(places, places, causal, window)
    if keep is not None:
        mask = mask & keep[:, None, None]
        mask = mask | ~mask.any(-1, keepdim=True)
    expected = by_definition(q, k, v, mask, 0.3, bias(places[None], places[None]))
    real = (torch.ones(2, T, dtype=torch.bool) if keep is None else keep)[:, -n:]
    expected = expected[:, :, -n:].transpose(1, 2)
    assert_same(ours.transpose(1, 2)[real], expected[real], (q, k, v))


def test_a_window_takes_memory_linear_in_length():
    """The largest tensor of the blocked form, twice as long, is twice as large."""

    def largest(T):
        sizes = []

        class Watch(torch.utils._python_dispatch.TorchDispatchMode):
            def __torch_dispatch__(self, func, types, args=(), kwargs=None):
                out = func(*args, **(kwargs or {}))
                sizes.extend(o.untyped_storage().nbytes() for o in [out] if isinstance(o, torch.Tensor))
                return out

        q = torch.zeros(1, 2, T, 4)
        with Watch():
            mask = window_mask(q, 2, window=16, causal=True)
            attend_window(q, q, q, window=16, causal=True, scale=1.0, mask=mask)
        return max(sizes)

    assert largest(2048) <= 2.1 * largest(1024)


def test_layers_with_a_window_keep_their_tokens_once_and_share_a_mask(build):
    """What one more layer keeps for its backward pass does not grow with its window."""
    tokens = torch.zeros(1, 512, dtype=torch.long)

    def per_layer(*mixer):
        few, many = (build("gpt", *mixer, f"depth={n}", "position.max_len=512") for n in (2, 6))
        kept = [kept_bytes(model, lambda model=model: model(tokens).hidden) for model in (few, many)]
        return (kept[1] - kept[0]) / 4

    full = per_layer()
    narrow, wide = (per_layer("arch/mixer=sliding", f"mixer.window={window}") for window in (32, 128))
    assert wide < 1.05 * narrow
    # What is kept in their stead: queries, keys and values as they come from one projection.
    assert narrow < 1.05 * full
