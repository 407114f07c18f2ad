"""The short convolution: against torch's own, in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from archs.kernels import causal_convolution

BACKENDS = ("torch", "numba")


def inputs(batch, T, E, K, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    shapes = [(batch, T, E), (E, K), (E,), (batch, K - 1, E)]
    return [
        torch.randn(*s, generator=generator, dtype=torch.float64).to(dtype).requires_grad_() for s in shapes
    ]


def expected(x, weight, bias, past):
    channels_first = torch.cat([past, x], 1).transpose(1, 2)
    y = torch.nn.functional.conv1d(channels_first, weight[:, None], bias, groups=len(bias))
    return torch.nn.functional.silu(y).transpose(1, 2)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=15, derandomize=True)
@given(
    batch=st.integers(1, 3),
    T=st.sampled_from([1, 2, 3, 4, 5, 37]),
    E=st.sampled_from([1, 5, 255, 256, 257]),
    K=st.sampled_from([1, 2, 4, 7]),
)
def test_equals_torch_in_value_and_gradient(backend, batch, T, E, K):
    args = inputs(batch, T, E, K)
    doubles = [t.detach().double().requires_grad_() for t in args]
    y, reference = causal_convolution(*args, backend=backend), expected(*doubles)
    dy = torch.linspace(-1, 1, y.numel()).view_as(y)
    found = [y, *torch.autograd.grad(y, args, dy)]
    wanted = [reference, *torch.autograd.grad(reference, doubles, dy.double())]
    for a, b in zip(found, wanted, strict=True):
        assert torch.allclose(a.double(), b, rtol=1e-5, atol=1e-5)


def test_gradients_by_finite_differences():
    assert torch.autograd.gradcheck(causal_convolution, inputs(2, 3, 2, 4, torch.float64))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_past_continues_a_sequence_and_none_means_zeros(backend):
    x, weight, bias, past = inputs(2, 9, 5, 4)
    whole = causal_convolution(x, weight, bias, backend=backend)
    first = causal_convolution(x[:, :5], weight, bias, past * 0, backend)
    second = causal_convolution(x[:, 5:], weight, bias, x[:, 2:5], backend)
    assert torch.allclose(torch.cat([first, second], 1), whole, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_not_finite_stays_so(backend):
    x, weight, bias, past = (t.detach() for t in inputs(1, 9, 5, 4))
    x[0, 2, 1] = float("nan")
    spoilt = ~causal_convolution(x, weight, bias, past, backend).isfinite()
    assert spoilt.nonzero()[:, 1:].tolist() == [[t, 1] for t in range(2, 6)]


@pytest.mark.parametrize("backend", [None, *BACKENDS])
def test_half_precision_and_autocast_are_computed_in_float32(backend):
    args = [t.detach() for t in inputs(2, 9, 5, 4)]
    halves = [t.bfloat16() for t in args]
    y = causal_convolution(*halves, backend=backend)
    assert y.dtype == torch.bfloat16
    assert torch.allclose(y.double(), expected(*(t.double() for t in halves)), rtol=1e-2, atol=1e-3)
    with torch.autocast("cpu", torch.bfloat16):
        y = causal_convolution(*args, backend=backend)
    assert torch.allclose(y.double(), expected(*(t.double() for t in args)), rtol=1e-5, atol=1e-5)


def test_any_number_of_threads_gives_the_same_bits():
    args, before, found = inputs(4, 256, 300, 4), torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            y = causal_convolution(*args, backend="numba")
            found.append([y, *torch.autograd.grad(y.sin().sum(), args)])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("which", range(1, 4))
def test_a_shape_that_does_not_fit_is_refused(which):
    args = inputs(2, 9, 5, 4)
    args[which] = args[which][:-1]
    with pytest.raises(ValueError, match="expected"):
        causal_convolution(*args)
