"""The selective scan: every backend against the definition, computed in float64."""

import sys
import types

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scans import inputs, with_gradients

from archs.kernels import scan_numba, scan_torch, selective_scan
from archs.kernels.scan import reference, resolve

FAST = ("torch", "numba")
CHUNKS = {"torch": scan_torch.CHUNK, "numba": scan_numba.CHUNK}
CPU = torch.device("cpu")


def double(args):
    return [t.detach().double().requires_grad_() for t in args]


def assert_near(found, expected, tolerance):
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        error = (a.double() - b).abs().max() / b.abs().max().clamp(min=1e-3)
        assert error <= tolerance, f"output {i}: relative error {error:.1e}"


@pytest.mark.parametrize("backend", FAST)
@settings(max_examples=15, derandomize=True)
@given(
    batch=st.integers(1, 3),
    T=st.sampled_from([1, 2, 31, 32, 33, 37, 64, 97]),
    E=st.sampled_from([1, 5, 63, 64, 65, 130]),
    N=st.sampled_from([1, 3, 16, 20]),
    seed=st.integers(0, 9),
)
def test_backends_equal_the_definition_in_value_gradient_and_state(backend, batch, T, E, N, seed):
    args = inputs(batch, T, E, N, seed)
    assert_near(with_gradients(backend, args), with_gradients("reference", double(args)), 2e-6)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize(("chunks", "more"), [(0, 1), (1, -1), (1, 0), (1, 1), (2, 5), (3, 1)])
def test_every_length_about_a_chunk(backend, chunks, more):
    args = inputs(2, chunks * CHUNKS[backend] + more, 5, 3)  # from one step; 69 and 97 fit no chunk
    assert_near(with_gradients(backend, args), with_gradients("reference", double(args)), 2e-6)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("N", [1, 2, 7, 64, 129])
def test_any_size_of_the_state(backend, N):
    args = inputs(1, 35, 3, N)
    assert_near(with_gradients(backend, args), with_gradients("reference", double(args)), 3e-6)


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_gradients_by_finite_differences(backend):
    args = inputs(1, 3, 2, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *a: selective_scan(*a, backend=backend), args)


@pytest.mark.parametrize("backend", FAST)
@settings(max_examples=10, derandomize=True)
@given(cut=st.integers(1, 69))
def test_a_sequence_may_be_cut_anywhere(backend, cut):
    x, delta, A, B, C, D, h0 = inputs(2, 70, 5, 4)
    whole, last = selective_scan(x, delta, A, B, C, D, h0, backend)
    first, h = selective_scan(x[:, :cut], delta[:, :cut], A, B[:, :cut], C[:, :cut], D, h0, backend)
    second, h = selective_scan(x[:, cut:], delta[:, cut:], A, B[:, cut:], C[:, cut:], D, h, backend)
    assert_near([torch.cat([first, second], 1), h], [whole.double(), last.double()], 1e-6)


@pytest.mark.parametrize("backend", FAST)
def test_no_initial_state_means_zeros(backend):
    *args, h0 = inputs(2, 9, 5, 4)
    for a, b in zip(
        selective_scan(*args, None, backend), selective_scan(*args, h0 * 0, backend), strict=True
    ):
        assert torch.equal(a, b)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize(("size", "rate"), [(20.0, -64.0), (1e-8, -64.0), (20.0, -1e-6), (1e4, -1e4)])
def test_extreme_steps_and_decays(backend, size, rate):
    args = inputs(1, 50, 3, 2)
    with torch.no_grad():
        args[1].fill_(size)
        args[2].fill_(rate)
    found = with_gradients(backend, args)
    assert all(t.isfinite().all() for t in found)
    assert_near(found, with_gradients("reference", double(args)), 1e-5)


@pytest.mark.parametrize("backend", FAST)
def test_a_step_of_size_zero_leaves_the_state_bit_by_bit(backend):
    x, delta, A, B, C, D, h0 = inputs(2, 40, 5, 4)
    _, h = selective_scan(x, delta * 0, A, B, C, D, h0, backend)
    assert torch.equal(h, h0)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("which", range(7))
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_so_and_stays_where_it_is(backend, which, value):
    args = inputs(2, 40, 5, 4)
    spoilt = [t.detach().clone().requires_grad_() for t in args]
    with torch.no_grad():
        spoilt[which].reshape(-1)[-1] = value
    found, expected = with_gradients(backend, spoilt), with_gradients("reference", double(spoilt))
    if (which == 1 and value > 0) or which == 5:  # an infinite step forgets all: 0, in the definition too
        expected = expected[:2]
    for a, b in zip(found, expected, strict=False):
        assert bool(a.isfinite().all()) == bool(b.isfinite().all())
    assert torch.equal(found[0][0].isfinite(), expected[0][0].isfinite())  # y of the first sequence


@pytest.mark.parametrize("backend", [None, *FAST])
def test_half_precision_is_computed_in_float32(backend):
    args = [t.detach() for t in inputs(2, 40, 5, 4)]
    y, h = selective_scan(*(t.bfloat16() for t in args), backend=backend)
    expected, _ = reference(*(t.bfloat16().float() for t in args))
    assert (y.dtype, h.dtype) == (torch.bfloat16, torch.float32)
    assert torch.equal(y, expected.bfloat16()) or (y - expected).abs().max() < 0.01 * expected.abs().max()
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = selective_scan(*args, backend=backend)
    assert_near([y], [reference(*args)[0].double()], 1e-6)


def test_the_backend_follows_device_and_dtype():
    assert resolve(None, CPU, torch.float32) == "numba"
    assert resolve(None, CPU, torch.float64) == "torch"
    assert resolve(None, torch.device("meta"), torch.float32) == "torch"
    assert resolve("reference", CPU, torch.float32) == "reference"


@pytest.mark.parametrize(
    ("backend", "dtype", "said"),
    [
        ("nmba", torch.float32, "nmba"),
        ("numba", torch.float64, "float64"),
        ("mamba_ssm", torch.float32, "GPU"),
    ],
)
def test_a_backend_that_cannot_run_is_refused_in_one_line(backend, dtype, said):
    with pytest.raises(ValueError, match=said) as error:
        resolve(backend, CPU, dtype)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("which", range(1, 7))
def test_a_shape_that_does_not_fit_is_refused(which):
    args = inputs(2, 9, 5, 4)
    args[which] = args[which][..., :-1]
    with pytest.raises(ValueError, match="expected"):
        selective_scan(*args)


def test_the_meta_device_gives_shapes():
    args = [t.detach().to("meta").requires_grad_() for t in inputs(2, 70, 5, 4)]
    y, h = selective_scan(*args)
    assert (y.shape, h.shape) == ((2, 70, 5), (2, 5, 4))
    assert torch.autograd.grad(y.sum(), args[0])[0].shape == (2, 70, 5)


def test_mamba_ssm_is_called_in_its_own_layout(monkeypatch):
    """A stand-in with the signature and the channels-first layout that mamba_ssm documents."""

    def selective_scan_fn(u, delta, A, B, C, D=None, return_last_state=False):
        assert all(t.is_contiguous() for t in (u, delta, B, C))
        time_first = [t.transpose(1, 2) for t in (u, delta, B, C)]
        u, delta, B, C = time_first
        y, h = reference(u, delta, A, B, C, D, torch.zeros(u.shape[0], *A.shape))
        return y.transpose(1, 2), h

    names = ("mamba_ssm", "mamba_ssm.ops", "mamba_ssm.ops.selective_scan_interface")
    for name in names:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules[names[-1]].selective_scan_fn = selective_scan_fn
    from archs.kernels.scan_mamba_ssm import scan

    *args, h0 = inputs(2, 9, 5, 4)
    y, h = scan(*args, h0 * 0)
    assert_near([y, h], selective_scan(*double(args)), 1e-6)
    doubles = double(args)
    gradients = torch.autograd.grad(y.sin().sum(), args, retain_graph=True)
    wanted = torch.autograd.grad(selective_scan(*doubles, backend="reference")[0].sin().sum(), doubles)
    assert_near(gradients, wanted, 2e-6)
    with pytest.raises(RuntimeError, match="last state"):
        h.sum().backward()
